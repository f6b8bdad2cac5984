"""What a report says of solvers: it is told beside the proof, and is no part of it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import verify
from socicnn._arrays import Array
from socicnn.conic.solvers import Clarabel
from socicnn.conic.solvers._base import Answer, Engine
from socicnn.errors import MissingExtra, SolverError
from tests.support.frozen_nets import NETS, random_net


def test_a_solver_that_fails_is_not_a_difference() -> None:
    report = verify.equivalence(random_net(1), np.ones(4), solvers=(Clarabel(max_iter=1),))
    assert report.ok
    solver = report.solvers["clarabel"]
    assert not solver.solved.any()
    assert "solver failed at 1" in solver.status
    assert "solved 0 of 1" in str(report)
    assert np.isnan(solver.error)
    json.loads(report.to_json())


def test_a_solver_that_disagrees_is_told_beside_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    from socicnn.conic.solvers._base import Prepared

    honest = Prepared.solve
    monkeypatch.setattr(Prepared, "solve", lambda *a: replace(honest(*a), value=honest(*a).value + 1e-3))
    report = verify.equivalence(random_net(1), np.ones(4), proof=True)
    assert report.ok
    assert report.passed.all()
    assert not report.agreed
    report.raise_if_failed()
    with pytest.raises(verify.VerificationError, match=r"Clarabel is 1\.0e-03 off the proven value at point 0"):
        report.raise_if_failed(solvers=True)
    assert "PASSED" in str(report)
    assert "clarabel, not part of the proof: solved 1 of 1 points; Clarabel is 1.0e-03 off the proven value" in str(
        report
    )
    assert json.loads(report.to_json())["agreed"] is False


def _lying(answer: Callable[[Any], Answer]) -> Clarabel:
    """Return an adapter whose package answers whatever `answer` makes of the program."""

    class Lie(Engine):
        def __init__(self, program: Any) -> None:
            self.program = program

        def run(self, b: Array, c: Array) -> Answer:
            return answer(self.program)

    class Liar(Clarabel):
        name, label = "liar", "Liar"

        def engine(self, program: Any) -> Engine:
            return Lie(program)

    return Liar()


def _optimal(v: Any, y: Any) -> Answer:
    return Answer("optimal", "solved it", v, y, 0.0)


LIES = {
    "wrong optimum": (lambda p: _optimal(np.full(p.A.shape[1], 5.0), np.ones(p.A.shape[0])), "almost solved"),
    "nan": (lambda p: _optimal(np.full(p.A.shape[1], np.nan), np.ones(p.A.shape[0])), "primal point is not finite"),
    "no point": (lambda p: _optimal(None, None), "returned no primal point"),
    "no dual point": (lambda p: _optimal(np.zeros(p.A.shape[1]), None), "returned no dual point"),
    "infeasible": (lambda p: Answer("infeasible", "found nothing", None, None, 0.0), "Liar found nothing"),
    "unbounded": (lambda p: Answer("unbounded", "found no end", None, None, 0.0), "Liar found no end"),
    "raises": (lambda p: 1 / 0, "the adapter of Liar raised ZeroDivisionError: division by zero"),
    "wrong length": (lambda p: _optimal(np.zeros(1), np.zeros(1)), r"its primal point has shape \(1,\)"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_adapter_that_lies_or_breaks_is_one_sentence_and_no_failed_proof(lie: str) -> None:
    answer, sentence = LIES[lie]
    report = verify.equivalence(random_net(1), np.ones((2, 4)), solvers=(_lying(answer), "clarabel"), proof=True)
    assert report.ok
    assert not report.agreed
    report.raise_if_failed()
    solver = report.solvers["liar"]
    assert not solver.solved.any()
    assert re.search(rf"solved 0 of 2 points; solver failed at 2: .*{sentence}", solver.status)
    assert "\n" not in solver.status
    assert report.solvers["clarabel"].ok
    assert "PASSED" in str(report)
    json.loads(report.to_json())


def test_an_adapter_that_cannot_be_set_up_is_one_sentence() -> None:
    class Broken(Clarabel):
        def engine(self, program: Any) -> Engine:
            raise RuntimeError("no licence\nfound")

    report = verify.equivalence(random_net(1), np.ones((3, 4)), solvers=Broken())
    assert report.ok
    assert report.solvers["clarabel"].status == (
        "solved 0 of 3 points; solver failed at 3: the adapter of Clarabel raised RuntimeError: no licence found"
    )


def test_solvers_that_agree_are_told_too() -> None:
    report = verify.equivalence(random_net(1), np.ones((2, 4)))
    assert report.agreed
    assert "Clarabel is at most" in report.solvers["clarabel"].status
    report.raise_if_failed(solvers=True)


def test_unknown_and_unfit_solvers_are_refused() -> None:
    with pytest.raises(SolverError, match="unknown solver 'simplex'"):
        verify.equivalence(random_net(1), np.ones(4), solvers=("simplex",))
    with pytest.raises((SolverError, MissingExtra)):
        verify.equivalence(random_net(1), np.ones(4), solvers=("highs",))
    assert verify.equivalence(random_net(1, **NETS["relu"]), np.ones(4), solvers=("highs",)).ok


def test_solvers_see_a_sample_spread_over_the_batch() -> None:
    x = np.random.default_rng(0).normal(size=(301, 4))
    report = verify.equivalence(random_net(1), x, max_solver_points=4)
    assert report.solvers["clarabel"].points.tolist() == [0, 100, 200, 300]
    assert len(report.forward) == 301
    assert (
        verify.equivalence(random_net(1), x[:2], max_solver_points=0).solvers["clarabel"].status
        == "solved 0 of 0 points"
    )
