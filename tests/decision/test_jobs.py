"""Blocks of contexts on several processes: the same answers, bit for bit on one thread."""

import numpy as np
import pytest
import torch

from decision import DecideOptions, Polytope, Simplex, _work, decide
from decision.sets import OracleSet
from socicnn.errors import ModelError, SolverError
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic

K = 20


def net() -> FrozenNet:
    rng = np.random.default_rng(0)
    return FrozenNet(
        [Layer(None, rng.normal(size=(6, 3)), rng.normal(size=(K, 6)))],
        Output(rng.uniform(size=6), rng.normal(size=(K, 3))),
        [Quadratic(np.ones(K), 0.3 * np.eye(3))],
    )


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_work, "BLOCK", 8)


@pytest.mark.usefixtures("_small")
def test_jobs_change_no_bit() -> None:
    totals = np.linspace(1.0, 2.0, K)[:, None]
    moving = Polytope(E=np.ones((1, 3)), f=totals, lower=0.0)
    one, two = decide(net(), moving), decide(net(), moving, jobs=2)
    for name in ("x", "value", "gap", "scale", "floor", "violation", "iterations"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    assert one.status == two.status
    assert one.certified.all()


@pytest.mark.usefixtures("_small")
def test_what_a_worker_refuses_is_raised_here() -> None:
    with pytest.raises(SolverError, match="is empty, which is proven"):
        decide(net(), Polytope(A=np.ones((1, 3)), b=[-1.0], lower=0.0), options=DecideOptions(jobs=2))


@pytest.mark.usefixtures("_small")
def test_empty_sets_of_one_block_are_no_failure_of_the_others() -> None:
    totals = np.where(np.arange(K) < 8, -1.0, 1.0)[:, None]
    found = decide(net(), Polytope(A=np.ones((1, 3)), b=totals, lower=0.0))
    assert found.certified.tolist() == [False] * 8 + [True] * 12


@pytest.mark.usefixtures("_small")
def test_sets_that_cannot_be_pickled_are_named() -> None:
    simplex = Simplex(3)
    own = OracleSet(3, lambda x: simplex.project(x), lambda g: simplex.minimise_linear(g))
    with pytest.raises(ModelError, match="can be pickled"):
        decide(net(), own, jobs=2)


@pytest.mark.parametrize("jobs", [0, 1.5, "2"])
def test_jobs_are_counted(jobs: object) -> None:
    with pytest.raises(ModelError, match="jobs must be an integer >= 1"):
        decide(net(), Simplex(3), jobs=jobs)
