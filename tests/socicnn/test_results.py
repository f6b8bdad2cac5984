"""Every result speaks one language: a verdict, a summary that begins with it, one line, and HTML for notebooks."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import verify
from decision import Box, decide, evaluate, tasks
from socicnn._results import Result
from socicnn.training import History
from tests.support.frozen_nets import random_net

POINTS = np.linspace(-1.0, 1.0, 8).reshape(2, 4)
BOUNDS = (np.full(2, -1.0), np.full(2, 1.0))


def _evaluation() -> Any:
    task = tasks.make("box_socp", features=3, seed=0)
    context = task.sample_contexts(2, seed=1)
    x, F = task.optimum(context)
    answer: Any = type("Given", (), {"x": x, "value": F, "gap": torch.zeros(2, dtype=torch.float64)})()
    return evaluate(task, answer, context, optimum=(x, F))


def _bent(x: Any) -> Any:
    return np.abs(x).sum(axis=1) - 0.01 * np.maximum(x[:, 0] - 0.3, 0)


def _rough() -> Any:
    decision = decide(random_net(0), Box(4, -1.0, 1.0))
    return replace(decision, gap=decision.gap + decision.scale)


# name -> result, its verdict, and the words with which its summary begins
RESULTS: dict[str, tuple[Callable[[], Any], bool, str]] = {
    "Report": (lambda: verify.equivalence(random_net(1), POINTS), True, "PASSED"),
    "failed Report": (lambda: verify.equivalence(random_net(1), POINTS, tolerance=0.0, solvers=()), False, "FAILED"),
    "SolverReport": (lambda: verify.equivalence(random_net(1), POINTS).solvers["clarabel"], True, "solved 2 of 2"),
    "Certificate": (lambda: verify.certify(random_net(1), POINTS), True, "network = program holds at all 2 points"),
    "Decision": (lambda: decide(random_net(0), Box(4, -1.0, 1.0)), True, "The decision is certified"),
    "rough Decision": (_rough, False, "The decision is not certified"),
    "History": (lambda: History([3.0, 2.0], [2.5, 4.0], best_epoch=1), True, "2 epochs"),
    "lost History": (lambda: History([3.0, math.nan]), False, "2 epochs"),
    "Falsification": (lambda: verify.falsify(_bent, BOUNDS, evaluations=20_000), False, "violation found"),
    "Evaluation": (_evaluation, True, "mean regret"),
}
VALUED = ["Report", "Certificate", "Decision"]


@pytest.fixture(params=RESULTS)
def case(request: pytest.FixtureRequest) -> tuple[Any, bool, str]:
    make, ok, begin = RESULTS[request.param]
    return make(), ok, begin


def test_it_gives_its_verdict(case: tuple[Any, bool, str]) -> None:
    result, ok, begin = case
    assert isinstance(result, Result)
    assert result.ok is ok
    assert result.summary().startswith(begin)
    assert str(result) == result.summary()


def test_its_repr_is_one_line(case: tuple[Any, bool, str]) -> None:
    result, _, begin = case
    assert "\n" not in repr(result)
    assert repr(result).startswith(f"<{type(result).__name__}: {begin}")
    assert len(repr(result)) < 300


def test_its_html_is_a_sentence_and_a_table_of_equal_rows(case: tuple[Any, bool, str]) -> None:
    result, _, _ = case
    text = result._repr_html_()
    head, rows = result.table()
    assert text.startswith("<p>")
    assert text.count("<tr>") == (1 + len(rows) if rows else 0)
    assert all(len(row) == len(head) for row in rows)


@pytest.mark.parametrize("name", VALUED)
def test_values_and_gaps_are_arrays_in_the_units_of_f(name: str) -> None:
    result = RESULTS[name][0]()
    value, gap = np.asarray(result.value), np.asarray(result.gap)
    assert value.shape == gap.shape
    assert value.dtype == gap.dtype == np.float64
    assert result.max_gap == np.abs(gap).max()
    assert isinstance(result.max_gap, float)


class _Odd(Result):
    @property
    def ok(self) -> bool:
        return False

    def summary(self) -> str:
        return "a < b & c\nsecond line"

    def table(self) -> Any:
        return ("<i>",), [(f"<b>{i}",) for i in range(50)]


def test_html_is_escaped_and_short() -> None:
    text = _Odd()._repr_html_()
    assert text.startswith("<p>a &lt; b &amp; c</p><table><tr><th>&lt;i&gt;</th></tr><tr><td>&lt;b&gt;0</td></tr>")
    assert text.count("<tr>") == 21
    assert text.endswith("<p>20 of 50 rows</p>")
    assert "<b>" not in text
    assert repr(_Odd()) == "<_Odd: a < b & c>"


def test_an_old_name_of_the_gaps_warns() -> None:
    report = verify.equivalence(random_net(1), POINTS, solvers=())
    with pytest.warns(DeprecationWarning, match="Report.gap"):
        assert np.array_equal(report.gaps, report.gap)


def test_an_old_name_of_a_violation_warns() -> None:
    falsification = RESULTS["Falsification"][0]()
    with pytest.warns(DeprecationWarning, match="Falsification.found"):
        assert falsification.found is falsification.violated is True
