"""Decisions with whole entries: the least over all whole points, with a proven gap."""

from itertools import product
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

import decision
from decision.sets import Affine, Ball, Box, Budget, Intersection, Polytope
from socicnn import SOCICNN, to_cvxpy
from socicnn.conic.solvers._highs import Highs
from socicnn.errors import ModelError, NoProgramError, SolverError
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic
from tests.support.frozen_nets import random_net
from verify._optimum import outer_cuts

CONTEXTS = [[0.0, 1.0], [0.5, -1.0]]


def network(n: int) -> SOCICNN:
    generator = torch.manual_seed(0)
    return SOCICNN(
        n, (16,), context_features=2, context="partial", quadratic=(4,), norm=(3,), generator=generator
    ).double()


@pytest.mark.parametrize("seed", range(4))
def test_whole_points_of_a_box_are_compared_with_all_of_them(seed: int) -> None:
    net = random_net(seed)
    n = net.in_features
    answer = decision.decide(net, Box(n, -2.0, 2.0), integer=range(n))
    assert answer.ok
    values = net(np.asarray(list(product(range(-2, 3), repeat=n)), dtype=float))
    assert torch.equal(answer.x, answer.x.round())
    slack = 1e-12 * float(np.abs(values).max())  # the values are in floats
    assert float(answer.value - answer.gap) - slack <= values.min() <= float(answer.value) + slack


def test_whole_points_of_a_budget_keep_the_budget() -> None:
    net = random_net(1)
    n = net.in_features
    answer = decision.decide(net, Budget(n, 2.0, equality=True), integer=range(n))
    points = np.asarray([p for p in product((0.0, 1.0), repeat=n) if sum(p) == 2.0])
    assert answer.ok
    assert answer.x.sum() == 2.0
    assert float(answer.value) == pytest.approx(float(net(points).min()), rel=1e-9)


def test_some_entries_are_whole_and_contexts_are_apart() -> None:
    model = network(4)
    region = Intersection([Box(4, -2.0, 2.0), Ball(4, 2.5)])
    answer = decision.decide(model, region, CONTEXTS, integer=[3, 0], rtol=1e-6)
    assert answer.ok
    assert torch.equal(answer.x[:, [0, 3]], answer.x[:, [0, 3]].round())
    for i, context in enumerate(CONTEXTS):
        fixed = [
            decision.decide(
                model, Intersection([region, Box(4, [a, -2.0, -2.0, b], [a, 2.0, 2.0, b])]), [context]
            ).value.item()
            for a, b in product((-2.0, -1.0, 0.0, 1.0, 2.0), repeat=2)
            if a * a + b * b < 2.5**2
        ]
        assert float(answer.value[i]) == pytest.approx(min(fixed), abs=1e-6)


def test_a_solver_that_is_named_is_the_one_that_solves(monkeypatch: pytest.MonkeyPatch) -> None:
    net, box = random_net(0), Box(random_net(0).in_features, -1.0, 1.0)
    usual = decision.decide(net, box, integer=[0])

    def never(*_: Any) -> None:
        raise AssertionError("HiGHS is not asked for")

    monkeypatch.setattr(outer_cuts.OuterCuts, "of", never)
    for options in ({"solver": "clarabel"}, {"settings": {"tol_gap_abs": 1e-10}}):
        named = decision.decide(net, box, options=decision.DecideOptions(integer=[0], **options))
        assert named.ok
        assert float(named.value) == pytest.approx(float(usual.value), rel=1e-6)


def test_a_set_that_moves_and_a_decider() -> None:
    model = network(3)
    least = Polytope(
        A=-np.ones((1, 3)), b=Affine([-1.5], [[0.0, 1.0]]), lower=-2.0, upper=2.0
    )  # sum x >= 1.5 - theta_1
    decider = decision.Decider(model, least, options=decision.DecideOptions(integer=(0, 1, 2)))
    answer = decider(CONTEXTS)
    assert answer.ok
    points = np.asarray(list(product(range(-2, 3), repeat=3)), dtype=float)
    for i, context in enumerate(CONTEXTS):
        inside = points[points.sum(axis=1) >= 1.5 - context[1]]
        theta = torch.tensor([context] * len(inside), dtype=torch.float64)
        values = model(torch.tensor(inside), theta).detach()
        assert float(answer.value[i]) == pytest.approx(float(values.min()), rel=1e-9)
    with pytest.raises(ModelError, match="whole entries have no gradient"):
        decision.DecisionLayer(model, least, options=decision.DecideOptions(integer=(0,)))


def test_what_cannot_have_whole_entries_is_refused() -> None:
    net = random_net(0)
    n = net.in_features
    box = Box(n, -1.0, 1.0)
    with pytest.raises(ModelError, match=r"different entries of x, from 0 to"):
        decision.decide(net, box, integer=[n])
    with pytest.raises(ModelError, match="different entries"):
        decision.decide(net, box, integer=[0, 0])
    with pytest.raises(ModelError, match="integer must be"):
        decision.decide(net, box, integer=[-1])
    with pytest.raises(ModelError, match=r"sequence of entries of x"):
        decision.decide(net, box, integer=3)  # type: ignore[arg-type]
    x = cp.Variable(n)
    with pytest.raises(NoProgramError, match=r"verify\.optimum"):
        decision.decide(net, [x >= 0, x <= 1], integer=[0])
    with pytest.raises(NoProgramError, match="network with a conic program"):
        decision.decide(torch.nn.Linear(n, 1), box, integer=[0])
    with pytest.raises(ModelError, match="leave out start"):
        decision.decide(net, box, integer=[0], start=np.zeros(n))
    with pytest.raises(SolverError, match="no point of the set has whole numbers, which is proven"):
        decision.decide(net, Box(n, 0.25, 0.75), integer=[0])


def test_the_scale_knows_that_whole_entries_cannot_leave_the_box() -> None:
    """The Newton step of the quadratic is 1e4 long, the box is not."""
    net = FrozenNet([], Output([], [-1.0, -1.0]), [Quadratic(5e-5, np.eye(2))])
    answer = decision.decide(net, Box(2, -2.0, 2.0), integer=[0, 1])
    assert answer.x.tolist() == [[2.0, 2.0]]
    assert float(answer.scale) == pytest.approx(4.0, rel=1e-3)


@pytest.mark.parametrize(
    ("rows", "sides", "upper", "wanted", "best"),
    [
        (
            [[1.0, 1.0]],
            [2.5],
            1e9,
            [1.4, 1.6],
            [1.0, 1.0],
        ),  # 3 <= 2.5 is violated by 5e-10 of 1e9
        ([[5e8, 7e8], [1.0, 1.0]], [2.6e9, 1.4], 3.0, [0.7, 0.6], [1.0, 0.0]),
    ],
    ids=["a bound that says nothing", "prices"],
)
def test_large_numbers_in_other_rows_excuse_no_violation(
    rows: Any, sides: Any, upper: float, wanted: list[float], best: list[float]
) -> None:
    near = FrozenNet([], Output([], np.zeros(2)), [Quadratic(1.0, np.eye(2), -np.array(wanted))])
    answer = decision.decide(near, Polytope(A=rows, b=sides, lower=0.0, upper=upper), integer=[0, 1])
    assert answer.x.tolist() == [best]
    assert answer.violation is not None
    assert float(answer.violation) == 0.0
    longer = FrozenNet([], Output([], np.zeros(3)), [Quadratic(1.0, np.eye(3), [*-np.array(wanted), -0.3])])
    wide = Polytope(A=np.pad(rows, ((0, 0), (0, 1))), b=sides, lower=0.0, upper=[upper, upper, 1.0])
    assert decision.decide(longer, wide, integer=[0, 1]).x[0, :2].tolist() == best


def test_a_limit_leaves_a_wide_gap_and_says_so() -> None:
    net = _relu(30, 20)
    answer = decision.decide(net, Box(30, -3.0, 3.0), integer=range(30), time_limit=0.5)
    assert "Branch and bound was ended by the time limit" in answer.status or answer.ok


def _relu(n: int, units: int) -> FrozenNet:
    rng = np.random.default_rng(4)
    layer = Layer(None, rng.normal(size=(units, n)), rng.normal(size=units))
    return FrozenNet([layer], Output(rng.uniform(size=units), 0.3 * rng.normal(size=n)))


@pytest.mark.extra
def test_one_model_of_highs_serves_all_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy")
    made, kept = list[int](), outer_cuts.model

    def counted(solver: Highs, program: Any) -> Any:
        made.append(1)
        return kept(solver, program)

    monkeypatch.setattr(outer_cuts, "model", counted)
    net, n = _relu(12, 10), 12
    region = Polytope(A=np.ones((1, n)), b=[3.5], lower=-2.0, upper=2.0)
    answer = decision.decide(net, region, integer=range(n))
    assert answer.ok
    assert int(answer.iterations) >= 20
    assert len(made) == 1
    options = decision.DecideOptions(integer=tuple(range(n)), solver="clarabel")
    usual = decision.decide(net, region, options=options)
    assert len(made) == 1
    assert float(answer.value) == pytest.approx(float(usual.value), abs=2e-6 * float(usual.scale))


def test_integers_among_cvxpy_constraints_need_a_solver_that_takes_them() -> None:
    x = cp.Variable(3, integer=True)
    with pytest.raises(SolverError, match=r"have integers: name a solver .* or prove the problem .* verify\.optimum"):
        decision.decide(_relu(3, 4), [x >= -2.5, x <= 2.5])


@pytest.mark.extra
@pytest.mark.parametrize("kind", ["relu", "cones"])
def test_scip_finds_no_less(kind: str) -> None:
    pytest.importorskip("pyscipopt")
    n = 30
    x = cp.Variable(n, integer=True)
    if kind == "relu":
        net: Any = _relu(n, 20)
    else:
        net = network(n).freeze(torch.tensor(CONTEXTS[0]))
    problem = cp.Problem(cp.Minimize(to_cvxpy(net, x)), [x >= -2, x <= 2, cp.sum(x) <= 5])
    problem.solve(solver="SCIP", scip_params={"limits/time": 60})
    region = Polytope(A=np.ones((1, n)), b=[5.0], lower=-2.0, upper=2.0)
    answer = decision.decide(net, region, integer=range(n))
    size = float(answer.scale)
    assert answer.ok
    assert float(answer.value - answer.gap) - 1e-6 * size <= problem.value
    assert problem.status != "optimal" or problem.value == pytest.approx(float(answer.value), abs=1e-6 * size)
