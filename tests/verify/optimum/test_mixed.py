"""Optima of problems with integers: the bracket holds the true optimum, and the tree of the claim is proven again."""

from importlib.util import find_spec
from itertools import product
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

import verify
from benchmarks.proven_optima import Liar
from socicnn import to_cvxpy
from socicnn._arrays import Array
from socicnn.errors import ProgramError
from tests.support.frozen_nets import random_net
from verify._optimum.branching import BranchAndBound, Relaxed
from verify._optimum.mixed import MixedProgram, TreeError, TreeWitness, tree_below
from verify._optimum.outer_cuts import OuterCuts
from verify._optimum.settled import settle


def knapsack(seed: int, n: int = 30, rows: int = 3) -> Any:
    rng = np.random.default_rng(seed)
    x, A = cp.Variable(n, integer=True), rng.integers(5, 60, size=(rows, n))
    return cp.Problem(cp.Maximize(rng.integers(5, 60, size=n) @ x), [A @ x <= A.sum(axis=1) // 2, x >= 0, x <= 2])


def facilities(seed: int, n: int = 6, customers: int = 8) -> Any:
    """Return a problem whose rows x <= y have no interior where y = 0."""
    rng = np.random.default_rng(seed)
    y, x = cp.Variable(n, boolean=True), cp.Variable((n, customers), nonneg=True)
    cost = rng.integers(20, 60, size=n) @ y + cp.sum(cp.multiply(rng.integers(1, 30, size=(n, customers)), x))
    return cp.Problem(cp.Minimize(cost), [cp.sum(x, axis=0) == 1, x <= cp.vstack([y] * customers).T, cp.sum(y) <= 3])


def lattice(seed: int, n: int, *, squared: bool) -> Any:
    """Return the distance of a point from a lattice, which has second-order cones or a quadratic cost."""
    rng = np.random.default_rng(seed)
    x, F, target = cp.Variable(n, integer=True), rng.normal(size=(n, n)), 2 * rng.normal(size=n)
    distance = cp.sum_squares(F @ (x - target)) if squared else cp.norm(F @ (x - target))
    return cp.Problem(cp.Minimize(distance), [x >= -4, x <= 4])


def enumerated(problem: Any, values: range) -> float:
    """Return the optimum by trying all integers."""
    (x,) = problem.variables()
    best = np.inf
    for point in product(values, repeat=x.size):
        x.value = np.asarray(point, dtype=float)
        if all(constraint.value() for constraint in problem.constraints):
            best = min(best, float(problem.objective.value))
    return best


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_point_of_a_lattice(seed: int, squared: bool) -> None:
    problem = lattice(seed, 3, squared=squared)
    best = enumerated(problem, range(-4, 5))
    result = verify.optimum(lattice(seed, 3, squared=squared))
    assert result.ok
    assert result.lo - 1e-12 <= best <= result.hi + 1e-12  # the enumeration is in floats
    assert result.gap <= 3e-7 * max(1.0, result.scale)


@pytest.mark.parametrize("seed", range(3))
def test_costs_that_are_whole_have_whole_optima_within_the_bracket(seed: int) -> None:
    for problem in (knapsack(seed), facilities(seed)):
        result = verify.optimum(problem)
        assert result.ok
        assert result.gap <= 3e-7 * max(1.0, result.scale)
        assert np.floor(result.hi + 1e-9) == np.ceil(result.lo - 1e-9)


@pytest.mark.parametrize("size", [1e-6, 1e-2])
def test_a_lying_solver_never_moves_an_end_to_the_wrong_side(size: float) -> None:
    problem = lattice(5, 2, squared=False)
    best = enumerated(problem, range(-4, 5))
    result = verify.optimum(lattice(5, 2, squared=False), solver=Liar(1, size), time_limit=5.0)
    assert result.lo - 1e-12 <= best <= result.hi + 1e-12


class Lossy:
    """min (k - 0.3)^2 over whole k, proven up to a loss."""

    def __init__(self, loss: float) -> None:
        self.loss = loss

    def relax(self, lower: Array, upper: Array) -> Relaxed:
        """Return the least value in an interval."""
        point = np.clip(0.3, lower, upper)
        return Relaxed(float((point[0] - 0.3) ** 2), point, 1.0, None)

    def bound(self, relaxed: Relaxed, wanted: float) -> tuple[float, Any]:
        """Return the value less the loss; whole points lose nothing."""
        whole = relaxed.point[0] == np.round(relaxed.point[0])
        return relaxed.guess - (0.0 if whole else self.loss), "proven"

    def value(self, k: Array, least: float) -> tuple[float, float]:
        """Return the value at a whole number."""
        return float((k[0] - 0.3) ** 2), 1.0


def test_a_case_is_closed_only_within_the_accuracy_asked() -> None:
    search = BranchAndBound(Lossy(0.105), room=0.1)  # the root's guess of 0 is within 0.1 of 0.09, its bound is not
    cases = search.run(np.array([-3.0]), np.array([3.0])).leaves()
    assert search.hi == pytest.approx(0.09)
    assert len(cases) == 3
    assert min(case.bound for case in cases if not case.branches) >= search.hi - 0.1


def test_a_solver_that_is_named_is_the_one_that_solves(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = verify.optimum(knapsack(0, 6))
    assert usual.solver == ("HiGHS and Clarabel" if find_spec("highspy") else "Clarabel")

    def never(*_: Any) -> None:
        raise AssertionError("HiGHS is not asked for")

    monkeypatch.setattr(OuterCuts, "of", never)
    named = verify.optimum(knapsack(0, 6), solver="clarabel")
    assert named.ok
    assert named.solver == "Clarabel"
    assert named.value == pytest.approx(usual.value)


def test_a_network_with_integers() -> None:
    net = random_net(3)
    n = net.in_features
    at = cp.Variable(n, integer=True)
    problem = cp.Problem(cp.Minimize(to_cvxpy(net, at)), [at <= 1, at >= -1])
    points = np.asarray(list(product((-1.0, 0.0, 1.0), repeat=n)))
    best = float(np.min(net(points)))
    result = verify.optimum(problem)
    assert result.ok
    assert result.lo - 1e-9 * result.scale <= best <= result.hi + 1e-9 * result.scale


def test_bounds_of_a_network_behind_big_m_rows_are_finite() -> None:
    net = random_net(3)
    n = net.in_features
    at, on, idle = cp.Variable(n), cp.Variable(n, boolean=True), cp.Variable(2)
    rows = [at >= -2 * on, at <= 2 * on, cp.sum(at) >= 0.5]
    for cost in (to_cvxpy(net, at) + 0.3 * cp.sum(on), to_cvxpy(net, at) + 0.3 * cp.sum(on) + 0 * cp.sum(idle)):
        result = verify.optimum(cp.Problem(cp.Minimize(cost), rows))
        assert result.ok
        assert result.gap <= 1e-6 * max(1.0, result.scale)


def test_no_whole_point_is_proven() -> None:
    x = cp.Variable(2, integer=True)
    result = verify.optimum(cp.Problem(cp.Minimize(x[0]), [2 * x[0] - 2 * x[1] == 1, x >= 0, x <= 5]))
    assert result.kind == "infeasible"
    narrow = verify.optimum(cp.Problem(cp.Maximize(x[0]), [x >= 0.2, x <= 0.8]))
    assert (narrow.kind, narrow.lo) == ("infeasible", -np.inf)


def test_integers_without_bounds() -> None:
    x = cp.Variable(2, integer=True)
    result = verify.optimum(
        cp.Problem(cp.Minimize(x[0] + x[1]), [3 * x[0] + 5 * x[1] >= 7.5, x[0] - x[1] <= 2, x[1] <= x[0] + 1])
    )
    assert result.lo <= 2.0 <= result.hi
    assert result.gap < 1e-6


def test_a_limit_leaves_a_wide_bracket_and_says_so() -> None:
    result = verify.optimum(knapsack(0), time_limit=0.2)
    assert any("time limit" in note for note in result.notes)
    assert result.lo <= 1e4
    with pytest.raises(ProgramError, match="time_limit must be"):
        verify.optimum(knapsack(0), time_limit=0.0)


def test_a_wrong_word_of_a_solver_is_shown() -> None:
    x = cp.Variable(2, integer=True)
    problem = cp.Problem(cp.Minimize(x[0] + 2 * x[1]), [x >= 0.5])
    problem._value, problem._status = 2.5, "optimal"
    result = verify.optimum(problem)
    assert not result.agreed
    assert "is outside" in result.summary()
    assert result.lo <= 3.0 <= result.hi


def test_the_claim_of_a_tree_is_proven_again(tmp_path: Any, capsys: Any) -> None:
    result = verify.optimum(knapsack(1, 12))
    assert isinstance(result.witness, TreeWitness)
    assert result.witness.leaves > 1
    assert "cases" in result.summary()
    path = tmp_path / "claim.npz"
    result.save(path)
    assert verify.check.main([str(path)]) == 0
    assert "12 integers" in capsys.readouterr().out


def test_trees_that_leave_cases_out_are_refused() -> None:
    result = verify.optimum(knapsack(1, 12))
    mixed, witness = result.program, result.witness
    assert isinstance(mixed, MixedProgram)
    assert isinstance(witness, TreeWitness)

    def changed(**parts: Any) -> TreeWitness:
        return TreeWitness(**{**vars(witness), **parts})

    with pytest.raises(TreeError, match="belong to no branch"):
        tree_below(mixed, changed(split=np.append(witness.split, -1), at=np.append(witness.at, 0.0)))
    with pytest.raises(TreeError, match="lacks nodes"):
        tree_below(mixed, changed(split=witness.split[:-1], at=witness.at[:-1]))
    with pytest.raises(TreeError, match="whole number"):
        tree_below(mixed, changed(at=witness.at + 0.5))
    with pytest.raises(TreeError, match="multipliers"):
        tree_below(mixed, changed(y=witness.y[:-1]))
    lifted = tree_below(mixed, changed(y=2.0 * witness.y))  # other multipliers prove less, never more
    assert lifted <= tree_below(mixed, witness) + 1e-9 * result.scale


def test_a_damaged_tree_is_no_claim(tmp_path: Any) -> None:
    from dataclasses import replace

    result = verify.optimum(knapsack(1, 12))
    assert isinstance(result.witness, TreeWitness)
    at = result.witness.at.copy()
    at[0] += 1.0  # another split: the multipliers belong to other cases
    path = tmp_path / "claim.npz"
    replace(result, witness=replace(result.witness, at=at)).save(path)
    assert verify.check.main([str(path)]) in (1, 2)


def test_what_fixed_variables_settle() -> None:
    result = verify.optimum(facilities(0))
    mixed = result.program
    assert isinstance(mixed, MixedProgram)
    k = np.zeros(len(mixed.integers))
    k[0] = 1.0
    settled = settle(mixed.within(k, k).rows)
    assert settled.possible
    assert np.isfinite(settled.v).all()  # closed facilities serve nobody, the open one everybody
    assert not settle(mixed.within(0 * k, 0 * k).rows).possible


@pytest.mark.extra
@pytest.mark.parametrize("kind", ["knapsack", "network", "network with cones"])
def test_scip_finds_the_same_optimum(kind: str) -> None:
    pytest.importorskip("pyscipopt")
    if kind == "knapsack":
        problem = knapsack(7, 40)
    elif kind == "network with cones":
        net = random_net(4, 30, (8,), (3,), (2,))
        at = cp.Variable(30, integer=True)
        problem = cp.Problem(cp.Minimize(to_cvxpy(net, at)), [at >= -1, at <= 1, cp.sum(at) <= 4])
    else:
        from socicnn.frozen import FrozenNet, Layer, Output

        rng = np.random.default_rng(0)
        net = FrozenNet(
            [Layer(None, rng.normal(size=(20, 30)), rng.normal(size=20))], Output(rng.uniform(size=20), np.zeros(30))
        )
        at = cp.Variable(30, integer=True)
        problem = cp.Problem(cp.Minimize(to_cvxpy(net, at)), [at >= -3, at <= 3, cp.sum(at) >= 5])
    problem.solve(solver="SCIP")
    result = verify.optimum(problem)
    assert result.ok
    assert result.agreed
    assert result.gap <= 3e-7 * max(1.0, result.scale)


def test_fractional_bounds_of_integers_are_rounded_inwards() -> None:
    # HiGHS 1.15.1 calls 14 optimal; with whole bounds it finds 18
    x = cp.Variable(2, integer=True, bounds=[0, 2.5])
    problem = cp.Problem(cp.Maximize(5 * x[0] + 4 * x[1]), [6 * x[0] + 4 * x[1] <= 24, x[0] + 2 * x[1] <= 6])
    for solver in (None, "highs", "clarabel"):
        result = verify.optimum(problem) if solver is None else verify.optimum(problem, solver=solver)
        assert result.lo <= 18.0 <= result.hi
        assert result.gap <= 1e-6
