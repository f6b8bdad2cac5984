"""Exact solves, one after the other; their bounds, block by block."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch

from decision import Box, DecideOptions, Simplex, decide
from decision._minimise import exact, methods
from decision._minimise.methods import Problem, exact_is_faster
from decision._minimise.stack_surrogate import StackSurrogate
from socicnn.conic.solvers import Highs, Prepared, Solver, _base
from socicnn.errors import MissingExtra
from socicnn.frozen import FrozenNet, Layer, Norm, Output
from tests.support.frozen_nets import random_net


def stacked(contexts: int, hidden: tuple[int, ...] = (6, 5)) -> FrozenNet:
    net = random_net(3, hidden=hidden)
    moves = np.random.default_rng(0).normal(size=(contexts, 4))
    return replace(net, output=replace(net.output, v=net.output.v + moves, c=np.zeros(contexts)))


@pytest.mark.parametrize("block", [2, 256])
def test_a_batch_has_the_bounds_of_single_contexts(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "BLOCK", block)  # the last block is not full
    net = stacked(5)
    together = decide(net, Simplex(4), method="exact")
    assert bool(together.certified.all())
    assert together.iterations.tolist() == [1] * 5
    for i in range(5):
        apart = decide(net[i], Simplex(4), method="exact")
        assert abs(float(together.value[i] - apart.value[0])) <= float(together.gap[i] + apart.gap[0])
        assert float(together.gap[i]) <= 2 * float(apart.gap[0]) + 1e-9


def test_a_context_without_a_solution_leaves_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = Prepared.solve_each

    def broken(self, *vectors):
        first, second, *others = solve(self, *vectors)
        return [first, replace(second, v=np.full_like(second.v, np.nan), ok=False), *others]

    monkeypatch.setattr(Prepared, "solve_each", broken)
    found = decide(stacked(3), Simplex(4), method="exact")
    assert found.certified.tolist() == [True, False, True]
    assert torch.isfinite(found.x).all()
    assert "1 of 3 contexts" in found.status


def linear(contexts: int = 6, hidden: tuple[int, ...] = (6, 5)) -> FrozenNet:
    return replace(stacked(contexts, hidden), quadratics=(), norms=())


def solvers_used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    used: list[str] = []
    prepare = Solver.prepare

    def noted(self: Solver, program):
        used.append(self.name)
        return prepare(self, program)

    monkeypatch.setattr(Solver, "prepare", noted)
    return used


@pytest.mark.parametrize("feasible_set", [Simplex(4), Box(4, -1.0, 2.0)])
def test_linear_programs_go_to_highs_and_decide_alike(
    feasible_set: Simplex | Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("highspy")
    slow = decide(linear(), feasible_set, method="exact", options=DecideOptions(solver="clarabel"))
    used = solvers_used(monkeypatch)
    fast = decide(linear(), feasible_set, method="exact")
    assert used == ["highs"]  # set up once: the basis of one context starts the next
    assert bool(fast.certified.all())
    assert bool(slow.certified.all())
    assert bool(((fast.value - slow.value).abs() <= fast.gap + slow.gap).all())


@pytest.mark.parametrize(
    ("net", "options"),
    [
        (stacked(3), DecideOptions()),
        (linear(1), DecideOptions()),
        (linear(), DecideOptions(settings={"max_iter": 100})),
        (linear(), DecideOptions(solver="clarabel")),
    ],
    ids=["cones", "one-context", "settings", "named"],
)
def test_other_programs_go_to_clarabel(net: FrozenNet, options: DecideOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    used = solvers_used(monkeypatch)
    assert bool(decide(net, Simplex(4), method="exact", options=options).certified.all())
    assert set(used) == {"clarabel"}


def test_without_highs_linear_programs_go_to_clarabel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    used = solvers_used(monkeypatch)
    assert bool(decide(linear(), Simplex(4), method="exact").certified.all())
    assert set(used) == {"clarabel"}


def test_a_highs_that_cannot_be_loaded_leaves_clarabel(monkeypatch: pytest.MonkeyPatch) -> None:
    def clash(name: str) -> None:
        raise ImportError(f"{name}: undefined symbol")  # as after OR-Tools

    monkeypatch.setattr(methods, "find_spec", lambda name: name)
    monkeypatch.setattr(_base, "import_module", lambda name: clash(name) if name == "highspy" else import_module(name))
    assert bool(decide(linear(), Simplex(4), method="exact").certified.all())
    with pytest.raises(MissingExtra, match=r"installed, but cannot be loaded here \(highspy: undefined symbol\)"):
        decide(linear(), Simplex(4), method="exact", options=DecideOptions(solver="highs"))


def test_entries_that_highs_drops_go_to_clarabel(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy")
    net = linear()
    first = net.layers[0]
    small = replace(first, U=first.U * np.where(np.eye(*first.U.shape), 1e-13, 1.0))
    net = replace(net, layers=(small, *net.layers[1:]))
    used = solvers_used(monkeypatch)
    assert bool(decide(net, Simplex(4), method="exact").certified.all())
    assert used == ["highs", "clarabel"]


def test_what_highs_leaves_uncertified_goes_to_clarabel(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy")
    solve = Prepared.solve_each

    def broken(self, *vectors):
        found = solve(self, *vectors)
        lost = isinstance(self._solver, Highs)
        return [replace(one, v=np.full_like(one.v, np.nan), ok=False) for one in found] if lost else found

    monkeypatch.setattr(Prepared, "solve_each", broken)
    found = decide(linear(), Simplex(4), method="exact")
    assert bool(found.certified.all())
    assert found.iterations.tolist() == [2] * 6
    once = decide(linear(), Simplex(4), method="exact", options=DecideOptions(max_iterations=1))
    assert not bool(once.certified.any())


def test_auto_knows_that_warm_solves_are_faster() -> None:
    problem = Problem(StackSurrogate.of(linear(8, (60, 60))), Simplex(4))
    assert exact_is_faster(problem, warm=True)
    assert not exact_is_faster(problem)


def test_long_linear_programs_begin_with_highs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above 600 inputs there is no interior-point method, and HiGHS is far ahead of Clarabel for one context, too."""
    n = methods.LARGEST + 1
    rng = np.random.default_rng(0)
    layer = Layer(np.zeros((5, 0)), rng.normal(size=(5, n)), np.zeros(5))
    linear_net = FrozenNet([layer], Output(np.ones(5), rng.normal(size=n)))
    curved = replace(linear_net, norms=(Norm(1.0, rng.normal(size=(2, n)), np.zeros(2)),))

    def first(net: FrozenNet) -> str:
        return methods.Auto().order(Problem(StackSurrogate.of(net), Simplex(n)))[0].name

    monkeypatch.setattr(methods, "find_spec", lambda package: True)
    assert [first(linear_net), first(curved)] == ["exact", "projected_gradient"]
    monkeypatch.setattr(methods, "find_spec", lambda package: None)
    assert first(linear_net) == "projected_gradient"
