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
    Budget,
    ConicSet,
    CvxpySet,
    Ellipsoid,
    Horizon,
    Intersection,
    Polytope,
    Product,
    Simplex,
)
from socicnn.errors import ModelError, ProgramError, SolverError
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic

RNG = np.random.default_rng(0)
K, N = 4, 3
THETA = RNG.normal(size=(K, 2))
A, E = RNG.normal(size=(5, N)), RNG.normal(size=(1, N))
B = RNG.normal(size=(N, 2))
CENTRES, RADII = RNG.normal(size=(K, N)), RNG.uniform(0.5, 2.0, size=(K, 1))
WEIGHT = 0.1 * RNG.normal(size=(5, 2))
BIAS = 1.0 + RNG.uniform(size=5)


def net(n: int, contexts: int | None = None, seed: int = 1) -> FrozenNet:
    rng = np.random.default_rng(seed)
    batch = () if contexts is None else (contexts,)
    return FrozenNet(
        [Layer(None, rng.normal(size=(6, n)), rng.normal(size=(*batch, 6)))],
        Output(rng.uniform(size=6), rng.normal(size=(*batch, n)), np.ones(batch) if batch else 1.0),
        [Quadratic(np.full(batch, 0.3) if batch else 0.3, np.eye(n))],
    )


def value(x: Any, network: FrozenNet) -> Any:
    """Return the network as CVXPY's own expression."""
    layer, out = network.layers[0], network.output
    z = cp.pos(np.asarray(layer.U) @ x + layer.b)
    return out.w @ z + out.v @ x + float(out.c) + 0.3 * cp.sum_squares(x)


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


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (Polytope(E=[[2.0, 2.0, 2.0]], f=[2.0], lower=0.0), Simplex(3)),
        (Polytope(-np.eye(3), np.zeros(3), np.ones((1, 3)), [1.0]), Simplex(3)),
        (Polytope(E=np.ones((1, 3)), f=[2.0], lower=0.0, upper=1.0), Budget(3, 2.0)),
        (Polytope(A=np.ones((1, 3)), b=[0.5], lower=0.0), Budget(3, 0.5, equality=False)),
        (Polytope(lower=[0.0, 1.0], upper=2.0), Box(2, [0.0, 1.0], [2.0, 2.0])),
        (Intersection([Simplex(3), Box(3)]), Simplex(3)),
    ],
)
def test_sets_with_a_batched_search_are_recognised(written: ConicSet, wanted: Any) -> None:
    assert repr(written.fixed()) == repr(wanted)
    network = net(wanted.n, 40)
    mine, other = decide(network, written), decide(network, wanted)
    assert torch.equal(mine.x, other.x)
    assert torch.equal(mine.gap, other.gap)
    assert mine.iterations.max() > 1  # of the batched method, not one solve


@pytest.mark.parametrize(
    "other",
    [
        Polytope(E=np.ones((1, 3)), f=[2.0], lower=0.0),  # a simplex of size 2
        Polytope(E=[[1.0, 1.0, 2.0]], f=[1.0], lower=0.0),
        Polytope(A=np.ones((1, 3)), b=[2.0], lower=0.0),
        Polytope(A=-np.ones((1, 3)), b=[-1.0], lower=0.0, upper=1.0),
        Polytope(E=np.ones((1, 3)), f=[1.0], lower=0.0, upper=0.9),
        Polytope(E=np.ones((1, 3)), f=[1.0], lower=[0.0, 0.0, 0.1]),
        Polytope(E=np.ones((2, 3)), f=[1.0, 1.0], lower=0.0),
        Polytope(lower=0.0, n=3),
    ],
)
def test_what_is_no_simplex_box_or_budget_is_not_taken_for_one(other: Polytope) -> None:
    assert other.fixed() is None
    found = decide(net(3), other)
    assert found.certified.all(), found.status
    x = cp.Variable(3)
    least = cp.Problem(cp.Minimize(value(x, net(3))), other.constraints(x)).solve(solver="CLARABEL")
    assert float(found.value[0]) == pytest.approx(least, abs=1e-6)


def test_a_storage_over_a_day() -> None:
    """Energy in is energy out; prices are low at night. The level is left to the set."""
    T, eta = 24, 0.9
    price = 2.0 + np.sin(2 * np.pi * np.arange(T) / T)
    cost = FrozenNet([], Output([], np.stack([price, -price], axis=1).reshape(-1)), [Quadratic(0.01, np.eye(2 * T))])
    starts = np.array([[2.0], [5.0], [0.0]])
    day = Horizon.storage(T, capacity=10.0, power=3.0, initial=starts, final=starts, efficiency=eta, inputs=(0, 1))
    found = decide(cost, day)
    assert found.certified.all(), found.status
    for i in range(3):
        c, d, level = cp.Variable(T), cp.Variable(T), cp.Variable(T + 1)
        limits = [c >= 0, d >= 0, c <= 3, d <= 3, level >= 0, level <= 10, level[0] == starts[i, 0]]
        limits += [level[1:] == level[:-1] + eta * c - d / eta, level[T] == starts[i, 0]]
        bill = price @ (c - d) + 0.01 * (cp.sum_squares(c) + cp.sum_squares(d))
        least = cp.Problem(cp.Minimize(bill), limits).solve(solver="CLARABEL")
        assert float(found.value[i]) == pytest.approx(least, rel=1e-6)


def test_links_and_ends_may_move() -> None:
    """x_{t+1} = x_t + r_t from a moving start: one point is left."""
    steps = Horizon(
        Box(1, -10.0, 10.0), 3, link=([[-1.0]], [[1.0]], Affine([1.0, 0.0], [[0.0], [1.0]])), first=([[1.0]], [0.5])
    )
    found = decide(net(3, 2), steps, np.array([[2.0], [-1.0]]))
    np.testing.assert_allclose(found.x, [[0.5, 1.5, 3.5], [0.5, 1.5, 0.5]], atol=1e-9)
    moving = Horizon(Box(1, -10.0, 10.0), 3, link=([[-1.0]], [[1.0]], np.array([[[1.0], [2.0]]])), first=([[1.0]], [0]))
    np.testing.assert_allclose(decide(net(3), moving).x, [[0.0, 1.0, 3.0]], atol=1e-9)


def test_an_empty_set_is_proven_empty() -> None:
    empty = Polytope(A=np.ones((1, 3)), b=[[-1.0], [1.0]], lower=0.0)
    found = decide(net(3, 2), empty)
    assert "1 of 2 contexts: the feasible set is empty, which is proven" in found.status
    assert found.certified.tolist() == [False, True]
    assert found.x[0].isnan().all()
    with pytest.raises(SolverError, match="is empty, which is proven"):
        decide(net(3), Intersection([Simplex(3), Ball(3, 0.5)]))


@pytest.mark.parametrize(
    ("feasible_set", "slope"),
    [
        (Polytope(E=[[1.0, 1.0, 0.0]], f=[1.0], lower=[-np.inf, -np.inf, 0.0]), [1.0, -1.0, 0.0]),
        (Polytope(A=[[1.0, -3.0, 0.0]], b=[1.0], lower=0.0), [-1.0, 0.0, 0.0]),
        (Product([Simplex(2), Polytope(lower=0.0, n=1)]), [0.0, 0.0, -1.0]),
        (CvxpySet([cp.SOC((x := cp.Variable(3))[0], x[1:])]), [-2.0, 1.0, 0.0]),
    ],
)
def test_a_cost_that_falls_without_end_is_proven_to(feasible_set: Any, slope: list[float]) -> None:
    plain = FrozenNet([Layer(None, [[-1.0, 0.0, -1.0]], [2.0])], Output([0.1], slope))
    with pytest.raises(SolverError, match="f falls without end along a direction, which is proven"):
        decide(plain, feasible_set)
    grown = FrozenNet(plain.layers, plain.output, [Quadratic(1.0, np.eye(3))])  # what grows everywhere has a minimum
    assert decide(grown, feasible_set).certified.all()


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
    ("make", "message"),
    [
        (lambda: Polytope(), "length of x is not known"),
        (lambda: Polytope(A=[[1.0, 2.0]]), "A and b .* belong together"),
        (lambda: Polytope(A=[[1.0, 2.0]], b=[1.0, 2.0]), r"b must have shape \(1,\)"),
        (lambda: Polytope(A=[[1.0, np.nan]], b=[1.0]), "A of a Polytope has 1 non-finite entries"),
        (lambda: Polytope(lower=[0.0, 2.0], upper=[1.0, 1.0]), "empty: lower exceeds upper in coordinate 1"),
        (lambda: Polytope(lower=[[0.0, np.nan]]), "lower holds NaN"),
        (lambda: Ball(2, -1.0), "radius of a Ball must be a finite number >= 0"),
        (lambda: Ball(2, norm="3"), "norm of a Ball"),
        (lambda: Ellipsoid(np.ones((2, 2, 2))), "B must be a matrix"),
        (lambda: Product([]), "a Product needs a sequence of sets"),
        (lambda: Product(Box(2)), "a Product needs a sequence of sets .* received Box"),  # type: ignore[arg-type]
        (lambda: Intersection(None), "needs a sequence of sets .* received NoneType"),  # type: ignore[arg-type]
        (lambda: Product([1]), "received int"),
        (lambda: Intersection([Box(2), Box(3)]), r"must have one length; received \[2, 3\]"),
        (lambda: Intersection([Ball(2, np.ones((3, 1))), Ball(2, np.ones((4, 1)))]).system, "same contexts"),
        (lambda: Horizon(Box(2)), "number of steps"),
        (lambda: Horizon([Box(2), Box(3)]), "must have one length"),
        (lambda: Horizon(Box(2), 3, link=([[1.0]], [[1.0]], [0.0])), "P and Q must have shape"),
        (lambda: Horizon(Box(2), 3, inputs=[2]), "inputs must be distinct indices"),
        (lambda: Horizon(Box(2), 3, inputs=[0.5]), "inputs must be distinct indices"),  # type: ignore[list-item]
        (lambda: Horizon(Box(2), 3, inputs=[True]), "inputs must be distinct indices"),
        (lambda: Horizon(Box(2), 3, inputs=["0"]), "inputs must be distinct indices"),  # type: ignore[list-item]
        (lambda: Horizon(Box(2), 3, inputs=1), "inputs must be distinct indices"),  # type: ignore[arg-type]
        (lambda: Horizon(Box(2), 3, link=([[1.0, 1.0]], [[1.0, 1.0]])), r"link must be \(P, Q, r\); received 2 parts"),  # type: ignore[arg-type]
        (lambda: Horizon(Box(2), 3, first=[[1.0, 1.0]]), r"first must be \(E, f\); received 1 parts"),  # type: ignore[arg-type]
        (lambda: Horizon(None, 3), "needs a set of `decision.sets`"),  # type: ignore[arg-type]
        (lambda: Horizon.storage(3, capacity=1.0, power=1.0, initial=0.0, efficiency=1.5), "efficiency"),
        (lambda: Affine([1.0], [[1.0], [2.0]]), "an Affine needs a bias"),
    ],
)
def test_invalid_sets_are_refused_with_the_reason(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        make()


def test_an_efficiency_that_is_text_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"efficiency must hold real numbers; received text"):
        Horizon.storage(3, capacity=1.0, power=1.0, initial=0.0, efficiency="1")  # type: ignore[arg-type]


def test_contexts_that_do_not_fit_are_refused() -> None:
    moving = Ball(3, RADII)
    with pytest.raises(ProgramError, match="for 4 contexts; 5 are to be decided"):
        decide(net(3, 5), moving)
    with pytest.raises(ProgramError, match="give contexts"):
        decide(net(3, 5), Ball(3, Affine(1.0, [1.0])))
    with pytest.raises(ModelError, match="2 coordinates, the network 3 inputs"):
        decide(net(3), Ball(2, 1.0))
    with pytest.raises(ProgramError, match="finite in all contexts"):
        decide(net(3, 2), Polytope(upper=np.array([[1.0, 1.0, 1.0], [1.0, np.inf, 1.0]]), lower=0.0))


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
