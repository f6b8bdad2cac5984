"""The cost as part of other expressions: sums, maxima, perspectives, Parameters, several variables."""

import warnings

import cvxpy as cp
import numpy as np
import pytest

from socicnn._compile import value_program
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn.frozen import FrozenNet, Output, Quadratic
from tests.support.frozen_nets import random_net
from tests.support.programs_on_simplex import on_simplex


def square(offset: float) -> FrozenNet:
    """Return (x + offset)^2, never negative."""
    return FrozenNet([], Output([], [0.0]), [Quadratic(1.0, [[1.0]], [offset])])


def test_negated_cost_is_concave() -> None:
    problem, _, cost = on_simplex(random_net(1))
    assert (-cost).is_concave()
    least = problem.solve(solver=cp.CLARABEL)
    flipped = cp.Problem(cp.Maximize(-cost), problem.constraints)
    assert flipped.solve(solver=cp.CLARABEL) == pytest.approx(-least, abs=1e-6)
    assert cp.Problem(cp.Minimize(0), [*problem.constraints, -cost >= -abs(least) - 1]).is_dcp()


def test_cost_as_a_constraint() -> None:
    """Farthest point along a direction with f <= level: on the level, and nothing else has to be added."""
    net = random_net(3)
    z = cp.Variable(4)
    cost = to_cvxpy(net, z)
    direction = np.array([1.0, -1, 2, 0.5])
    cp.Problem(cp.Maximize(direction @ z), [cost <= net(np.zeros(4))[0] + 5]).solve(solver=cp.CLARABEL)
    assert cost.value == pytest.approx(net(np.zeros(4))[0] + 5, abs=1e-5)
    assert cost.value == net(z.value)[0]


def test_parameter_is_compiled_once() -> None:
    net = random_net(5)
    x = cp.Parameter(4)
    top = cp.Variable()
    problem = cp.Problem(cp.Minimize(top), [to_cvxpy(net, x) <= top])
    assert problem.is_dpp()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chain = None
        for point in np.random.default_rng(0).normal(size=(6, 4)):
            x.value = point
            assert problem.solve(solver=cp.CLARABEL) == pytest.approx(net(point)[0], rel=1e-6, abs=1e-6)
            _, chain_now, _ = problem.get_problem_data(cp.CLARABEL)
            assert chain is None or chain_now is chain
            chain = chain_now


def test_affine_expression_of_other_variables() -> None:
    """x = D z + g inside a problem equals the problem with x as a variable and x = D z + g as a constraint."""
    net = random_net(6)
    rng = np.random.default_rng(1)
    D, g = rng.normal(size=(4, 2)), rng.normal(size=4)
    z, x = cp.Variable(2), cp.Variable(4)
    inside = to_cvxpy(net, D @ z + g)
    one = cp.Problem(cp.Minimize(inside + cp.norm1(z))).solve(solver=cp.CLARABEL)
    other = cp.Problem(cp.Minimize(to_cvxpy(net, x) + cp.norm1(z)), [x == D @ z + g]).solve(solver=cp.CLARABEL)
    assert one == pytest.approx(other, abs=1e-6)
    assert inside.value == pytest.approx(net(D @ z.value + g)[0], rel=1e-12)


def test_several_variables() -> None:
    net = random_net(6)
    one, two = cp.Variable((1, 3)), cp.Variable()
    cost = to_cvxpy(net, cp.hstack([one[0], two]))
    assert {variable.id for variable in cost.variables()} == {one.id, two.id}
    cp.Problem(cp.Minimize(cost), [one == np.array([[1.0, 2, 3]]), two == 4]).solve(solver=cp.CLARABEL)
    assert cost.value == pytest.approx(net([1.0, 2, 3, 4])[0], rel=1e-6)


def test_parameter_and_variable_mixed() -> None:
    net = random_net(6)
    z, p = cp.Variable(2), cp.Parameter(2)
    problem = cp.Problem(cp.Minimize(to_cvxpy(net, cp.hstack([z, p])) + cp.sum_squares(z)))
    assert problem.is_dpp()
    for point in ([0.0, 0.0], [1.0, -2.0]):
        p.value = np.array(point)
        value = problem.solve(solver=cp.CLARABEL)
        grid = np.linspace(-3, 3, 61)
        points = np.array([[a, b, *point] for a in grid for b in grid])
        sampled = (net(points) + (points[:, :2] ** 2).sum(axis=1)).min()
        assert value <= sampled + 1e-6
        assert value >= sampled - 0.2


def test_sum_of_two_networks_and_weights() -> None:
    first, second = random_net(7), random_net(8)
    z, weight = cp.Variable(4), cp.Parameter(nonneg=True)
    one, two = (to_cvxpy(net, z) for net in (first, second))
    problem = cp.Problem(cp.Minimize(one + weight * two), [cp.sum(z) == 1, z >= 0])
    assert problem.is_dpp()
    for value in (0.0, 2.0):
        weight.value = value
        least = problem.solve(solver=cp.CLARABEL)
        assert least == pytest.approx(first(z.value)[0] + value * second(z.value)[0], abs=1e-5)
        for x in np.random.default_rng(0).dirichlet(np.ones(4), size=50):
            assert first(x)[0] + value * second(x)[0] >= least - 1e-6


def test_maximum_of_two_networks() -> None:
    z = cp.Variable(1)
    highest = cp.maximum(to_cvxpy(square(1.0), z), to_cvxpy(square(-3.0), z))
    assert cp.Problem(cp.Minimize(highest)).solve(solver=cp.CLARABEL) == pytest.approx(4.0, rel=1e-6)
    assert z.value == pytest.approx([1.0], abs=1e-4)


def test_exponential_of_a_network() -> None:
    z = cp.Variable(1)
    problem = cp.Problem(cp.Minimize(cp.exp(to_cvxpy(square(0.0), z))), [z >= 0.5])
    assert problem.solve(solver=cp.CLARABEL) == pytest.approx(np.exp(0.25), rel=1e-5)


def test_square_of_a_non_negative_network() -> None:
    z = cp.Variable(1)
    cost = to_cvxpy(square(-2.0), z)
    assert cost.sign == "NONNEGATIVE"
    problem = cp.Problem(cp.Minimize(cp.square(cost)), [z <= 1])
    assert problem.is_dcp()
    assert problem.solve(solver=cp.CLARABEL) == pytest.approx(1.0, rel=1e-5)


def test_perspective() -> None:
    """s f(x / s) with f(x) = (x + 1)^2 is (x + s)^2 / s."""
    x, s = cp.Variable(1), cp.Variable(nonneg=True)
    cost = cp.perspective(to_cvxpy(square(1.0), x), s)
    problem = cp.Problem(cp.Minimize(cost + 3 * s), [x == 2, s >= 0.1])
    assert problem.is_dcp()
    grid = np.linspace(0.1, 5, 100_001)
    assert problem.solve(solver=cp.CLARABEL) == pytest.approx(((2 + grid) ** 2 / grid + 3 * grid).min(), rel=1e-5)
    assert cost.value == pytest.approx((2 + s.value) ** 2 / s.value, rel=1e-6)


def test_quasiconvex_ratio() -> None:
    """(x + 1)^2 / (x + 3) over x >= 0 by bisection: least at 0."""
    x = cp.Variable(1, nonneg=True)
    cost = to_cvxpy(square(1.0), x)
    problem = cp.Problem(cp.Minimize(cost / (x[0] + 3)))
    assert problem.is_dqcp()
    assert problem.solve(qcp=True, solver=cp.CLARABEL) == pytest.approx(1 / 3, rel=1e-3)


def test_one_network_used_twice_is_in_the_problem_once() -> None:
    net = random_net(3)
    z = cp.Variable(4)
    cost, again = to_cvxpy(net, z), to_cvxpy(random_net(3), z)
    level = net(np.full(4, 0.25))[0]
    problem = cp.Problem(cp.Minimize(cost - z[0]), [again <= level, cost <= level + 1, cp.sum(z) == 1, z >= 0])
    if tuple(map(int, cp.__version__.split(".")[:2])) >= (1, 9):  # older ones do not merge equal expressions
        data, _, _ = problem.get_problem_data(cp.CLARABEL)
        assert data["A"].shape[1] == 4 + value_program(net).A.shape[1]
    problem.solve(solver=cp.CLARABEL)
    assert cost.value <= level + 1e-6


def test_two_networks_never_become_one() -> None:
    """CVXPY merges atoms of equal type, arguments and data: networks of one shape at one x have to stay apart."""
    z = cp.Variable(1)
    for one, two in ((square(1.0), square(-3.0)), (square(1.0), square(np.nextafter(1.0, 2.0)))):
        first, second = to_cvxpy(one, z), to_cvxpy(two, z)
        problem = cp.Problem(cp.Minimize(first + 2 * second))
        data, _, _ = problem.get_problem_data(cp.CLARABEL)
        assert data["A"].shape[1] == 1 + 2
    problem = cp.Problem(cp.Minimize(to_cvxpy(square(1.0), z)), [to_cvxpy(square(-3.0), z) <= 1])
    assert problem.solve(solver=cp.CLARABEL) == pytest.approx(9.0, rel=1e-5)
    near = [to_cvxpy(FrozenNet([], Output([], [1.0, 0.0], c)), cp.Variable(2)) for c in (0.0, 1e-300)]
    assert near[0].get_data() != near[1].get_data()
