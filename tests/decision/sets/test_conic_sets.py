"""Sets by conic rows: each against CVXPY's own words for it, still and moving with the context."""

import pickle
from collections.abc import Callable
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

from decision import decide
from decision.sets import (
    Affine,
    Ball,
    Box,
    ConicSet,
    CvxpySet,
    Ellipsoid,
    Horizon,
    Intersection,
    Polytope,
    Product,
    Simplex,
)
from socicnn.errors import ProgramError
from tests.support.small_costs import net, value

RNG = np.random.default_rng(0)
K, N = 4, 3
THETA = RNG.normal(size=(K, 2))
A, E = RNG.normal(size=(5, N)), RNG.normal(size=(1, N))
B = RNG.normal(size=(N, 2))
CENTRES, RADII = RNG.normal(size=(K, N)), RNG.uniform(0.5, 2.0, size=(K, 1))
WEIGHT = 0.1 * RNG.normal(size=(5, 2))
BIAS = 1.0 + RNG.uniform(size=5)

Case = tuple[ConicSet, Callable[[Any, int], list[Any]]]

CASES: dict[str, Case] = {
    "polytope": (
        Polytope(A, Affine(BIAS, WEIGHT), E, RNG_F := 0.1 * RNG.normal(size=(K, 1)), lower=-2.0, upper=CENTRES + 4.0),
        lambda x, i: [
            A @ x <= BIAS + WEIGHT @ THETA[i],
            E @ x == RNG_F[i],
            x >= -2,
            x <= CENTRES[i] + 4.0,
        ],
    ),
    "2-ball": (Ball(N, RADII, CENTRES), lambda x, i: [cp.norm(x - CENTRES[i]) <= RADII[i, 0]]),
    "1-ball": (Ball(N, RADII, CENTRES, "1"), lambda x, i: [cp.norm1(x - CENTRES[i]) <= RADII[i, 0]]),
    "inf-ball": (Ball(N, RADII, CENTRES, np.inf), lambda x, i: [cp.norm_inf(x - CENTRES[i]) <= RADII[i, 0]]),
    "ball of theta": (
        Ball(N, Affine(2.0, [0.1, 0.2]), Affine(np.zeros(N), np.ones((N, 2)))),
        lambda x, i: [cp.norm(x - THETA[i].sum()) <= 2.0 + THETA[i] @ [0.1, 0.2]],
    ),
    "flat ellipsoid": (
        Ellipsoid(B, CENTRES, RADII),
        lambda x, i: [x == CENTRES[i] + B @ (u := cp.Variable(2)), cp.norm(u) <= RADII[i, 0]],
    ),
    "intersection": (
        Intersection([Box(N, -1.0, 1.0), Ball(N, RADII, norm="1"), Polytope(A, BIAS)]),
        lambda x, i: [cp.norm_inf(x) <= 1, cp.norm1(x) <= RADII[i, 0], A @ x <= BIAS],
    ),
    "product": (
        Product([Ball(1, RADII), Simplex(2)]),
        lambda x, i: [cp.abs(x[0]) <= RADII[i, 0], x[1:] >= 0, cp.sum(x[1:]) == 1],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_decisions_are_those_of_cvxpy(name: str) -> None:
    feasible_set, written = CASES[name]
    stacked = net(N, K)
    theta = THETA if feasible_set.contexts is None or name == "polytope" else None
    found = decide(stacked, feasible_set, theta)
    assert found.certified.all(), found.status
    assert found.violation is not None
    assert found.violation.max() <= 1e-12
    for i in range(K):
        x = cp.Variable(N)
        least = cp.Problem(cp.Minimize(value(x, stacked.take(i))), written(x, i)).solve(solver="CLARABEL")
        assert float(found.value[i]) == pytest.approx(least, rel=1e-6, abs=1e-6)
        assert float(found.value[i] - found.gap[i]) <= least + 1e-6 * (1 + abs(least))
        x.value = found.x[i].numpy()
        assert all(one.violation().max() <= 1e-7 for one in written(x, i)[:1] if len(one.variables()) == 1)


@pytest.mark.parametrize("name", CASES)
def test_constraints_say_the_same_as_the_rows(name: str) -> None:
    feasible_set, written = CASES[name]
    theta = THETA if feasible_set.contexts is None or name == "polytope" else None
    for i in range(K):
        x, cost = cp.Variable(N), RNG.normal(size=N)
        mine = cp.Problem(cp.Minimize(cost @ x), feasible_set.constraints(x, theta, i)).solve(solver="CLARABEL")
        theirs = cp.Problem(cp.Minimize(cost @ x), written(x, i)).solve(solver="CLARABEL")
        assert mine == pytest.approx(theirs, abs=1e-6)


STILL = {
    "2-ball": (Ball(N, 0.7, CENTRES[0]), lambda x: [cp.norm(x - CENTRES[0]) <= 0.7]),
    "1-ball": (Ball(N, 0.7, CENTRES[0], "1"), lambda x: [cp.norm1(x - CENTRES[0]) <= 0.7]),
    "inf-ball": (Ball(N, 0.7, CENTRES[0], "inf"), lambda x: [cp.norm_inf(x - CENTRES[0]) <= 0.7]),
    "ellipsoid": (
        Ellipsoid(np.diag([1.0, 2.0, 0.1]) + 0.1, 0.3, 1.5),
        lambda x: [cp.norm(np.linalg.inv(np.diag([1.0, 2.0, 0.1]) + 0.1) @ (x - 0.3)) <= 1.5],
    ),
    "flat ellipsoid": (Ellipsoid(B, 0.3), lambda x: [x == 0.3 + B @ (u := cp.Variable(2)), cp.norm(u) <= 1]),
    "product": (Product([Simplex(2), Ball(1, 2.0)]), lambda x: [x[:2] >= 0, cp.sum(x[:2]) == 1, cp.abs(x[2]) <= 2]),
}


@pytest.mark.parametrize("name", STILL)
def test_oracles_are_those_of_cvxpy(name: str) -> None:
    made, written = STILL[name]
    oracles = made.fixed()
    assert oracles is not None
    points = torch.tensor(RNG.normal(size=(6, N))) * torch.tensor([0.1, 1.0, 1.0, 10.0, 100.0, 1e6])[:, None]
    nearest, ends = oracles.project(points), oracles.minimise_linear(points)
    torch.testing.assert_close(oracles.project(nearest), nearest, rtol=1e-12, atol=1e-12)
    assert oracles.violation(ends).max() <= 1e-12
    for x, z, end in zip(points[:5], nearest, ends, strict=False):
        v = cp.Variable(N)
        cp.Problem(cp.Minimize(cp.sum_squares(v - x.numpy())), written(v)).solve(solver="CLARABEL")
        np.testing.assert_allclose(z, v.value, atol=2e-4)
        least = cp.Problem(cp.Minimize(x.numpy() @ v), written(v)).solve(solver="CLARABEL")
        assert float(x @ end) == pytest.approx(least, rel=1e-6, abs=1e-6)
    inside = oracles.sample(50, torch.Generator().manual_seed(0), boundary=0.5)
    assert oracles.violation(inside).max() <= 1e-12
    assert torch.cdist(inside, inside).max() <= oracles.diameter * (1.0 + 1e-14)  # opposite corners, rounded


def test_points_of_sets_that_move_are_measured_context_by_context() -> None:
    made = Polytope(A=[[1.0, 1.0]], b=Affine([0.0], [[1.0]]), lower=0.0)
    theta = [[1.0], [3.0]]
    assert made.violation(np.ones((2, 2)), theta).tolist() == [1.0, 0.0]
    assert made.violation(np.ones((2, 3, 2)), theta).tolist() == [[1.0] * 3, [0.0] * 3]
    assert made.violation(np.ones(2), theta[:1]).tolist() == 1.0
    for points in (np.ones((3, 2)), np.ones(2), np.ones((2, 3))):
        with pytest.raises(ProgramError, match="x must have"):
            made.violation(points, theta)


def test_one_network_over_a_set_that_moves() -> None:
    moving = Polytope(E=np.ones((1, 3)), f=Affine([0.0], [[1.0]]), lower=0.0)
    found = decide(net(3), moving, [[1.0], [2.0], [3.0]])
    np.testing.assert_allclose(found.x.sum(dim=1), [1.0, 2.0, 3.0], atol=1e-9)
    assert torch.allclose(found.x[0], decide(net(3), Simplex(3)).x[0], atol=1e-4)


def test_right_hand_sides_can_be_differentiated() -> None:
    theta = torch.tensor([[1.0], [2.0]], dtype=torch.float64, requires_grad=True)
    load = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    moving = Intersection([Polytope(E=np.ones((1, 2)), f=load), Ball(2, Affine(1.0, [3.0]))])
    moving.right_hand_sides(theta).sum().backward()
    assert theta.grad is not None
    assert load.grad is not None
    assert theta.grad.tolist() == [[3.0], [3.0]]
    assert load.grad.tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize(
    "made",
    [
        Ball(3, RADII, CENTRES),
        Ball(3, RADII, CENTRES, "1"),
        Ellipsoid(B, CENTRES, RADII),
        Product([Ball(1, RADII), Ellipsoid([2.0, 1.0], CENTRES[:, :2])]),
        Intersection([Ball(3, RADII, norm="1"), Ball(3, 0.8, CENTRES)]),
        Horizon(Ball(1, RADII), 3, inputs=[0]),
    ],
    ids=repr,
)
def test_known_bounds_hold_over_the_rows_and_are_tight(made: ConicSet) -> None:
    """Each coordinate and helper variable at its ends, by a solver that knows the rows alone."""
    rows = made.each(None, K)
    whole = not isinstance(made, Intersection)  # there each set bounds the coordinates on its own
    for i in range(K):
        lower, upper = rows.bounds(i)
        assert np.isfinite(lower).all()
        v = cp.Variable(len(lower))
        slack = rows[i].h - rows[i].G @ v
        cut = rows[i].cones.zero + rows[i].cones.nonnegative
        limits = [slack[: rows[i].cones.zero] == 0, slack[rows[i].cones.zero : cut] >= 0]
        heads = zip(rows[i].cones.heads, rows[i].cones.second_order, strict=True)
        limits += [cp.SOC(slack[int(head)], slack[int(head) + 1 : int(head) + size]) for head, size in heads]
        for j in range(len(lower)):
            for sign, end in ((1.0, upper[j]), (-1.0, -lower[j])):
                problem = cp.Problem(cp.Maximize(sign * v[j]), limits)
                most = problem.solve(solver="CLARABEL")
                if problem.status == "infeasible":
                    continue
                assert most <= end + 1e-7
                helper = j >= made.n and sign < 0  # lengths are bounded by the radius on both sides
                assert helper or not whole or most >= end - 1e-5


def test_constraints_that_were_pickled_decide_alike() -> None:
    """As worker processes receive them: the parameter's values stay with its constraints."""
    x, total = cp.Variable(3), cp.Parameter()
    day = CvxpySet([x >= 0, cp.sum(x) == total], x=x, parameters={total: np.linspace(1.0, 2.0, K)})
    again = pickle.loads(pickle.dumps(day))
    assert torch.equal(decide(net(3, K), day).x, decide(net(3, K), again).x)


def test_parameters_have_their_own_values_again() -> None:
    x, total, share = cp.Variable(3), cp.Parameter(value=7.0), cp.Parameter(nonneg=True)
    day = CvxpySet([cp.sum(x) == total, x >= -9, x <= 9], x=x, parameters={total: [1.0, 2.0]})
    assert decide(net(3), day).certified.all()
    assert total.value == 7.0
    tight = CvxpySet([share * cp.norm(x) <= 1], x=x, parameters={share: [1.0, -1.0]})
    with pytest.raises(ProgramError, match="in context 1 does not fit: Parameter value must be nonnegative"):
        decide(net(3), tight)
    assert share.value is None
