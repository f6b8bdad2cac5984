"""A network inside a CVXPY problem: the same minimum as the exact program, and no way to misuse it in silence."""

import warnings

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

import socicnn
from socicnn.compile import to_cvxpy, value_program
from socicnn.conic.blocks import Rows
from socicnn.conic.cones import Cones
from socicnn.conic.export.cvxpy import to_cvxpy as export
from socicnn.errors import ModelError, ProgramError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from tests.support.frozen_nets import NETS, random_net


def simplex(n: int) -> Rows:
    G = sparse.csr_array(np.vstack([np.ones(n), -np.eye(n)]))
    return Rows(G, np.concatenate([[1.0], np.zeros(n)]), Cones(1, n))


def on_simplex(net: FrozenNet) -> tuple[cp.Problem, cp.Variable, cp.Expression]:
    z = cp.Variable(net.in_features)
    cost, constraints = to_cvxpy(net, z)
    return cp.Problem(cp.Minimize(cost), [*constraints, cp.sum(z) == 1, z >= 0]), z, cost


@pytest.mark.parametrize("kind", sorted(NETS))
def test_minimum_over_a_set_equals_the_exact_program(kind: str) -> None:
    for seed in range(3):
        net = random_net(seed, **NETS[kind])
        problem, z, cost = on_simplex(net)
        value = problem.solve(solver=cp.CLARABEL)
        exact = value_program(net).free(simplex(net.in_features)).solve()
        assert exact.ok
        assert abs(value - exact.value) <= 1e-6 * (1 + abs(exact.value))
        assert cost.value == net(z.value)[0], "the network's own value, not the epigraph's"
        assert abs(value - cost.value) <= 1e-6 * (1 + abs(value))


@pytest.mark.parametrize("kind", sorted(NETS))
def test_curvature_is_convex_and_never_affine(kind: str) -> None:
    net = random_net(0, **NETS[kind])
    for x in (cp.Variable(net.in_features), cp.Parameter(net.in_features)):
        cost, constraints = to_cvxpy(net, x)
        assert cost.is_convex()
        if constraints or isinstance(x, cp.Variable):  # else a number that is not known yet
            assert not cost.is_concave()
            assert not cost.is_affine()
        assert cost.shape == ()
        assert all(constraint.is_dcp(dpp=True) for constraint in constraints)
        assert cp.Problem(cp.Minimize(cost), constraints).is_dcp(dpp=True)


def test_what_is_not_convex_is_refused() -> None:
    net = random_net(1)
    z = cp.Variable(4)
    cost, constraints = to_cvxpy(net, z)
    box = [*constraints, z >= -1, z <= 1]
    for problem in (
        cp.Problem(cp.Maximize(cost), box),
        cp.Problem(cp.Minimize(0), [*box, cost >= 5]),
        cp.Problem(cp.Minimize(0), [*box, cost == 5]),
        cp.Problem(cp.Minimize(-cost), box),
        cp.Problem(cp.Minimize(cp.square(cost)), box),
    ):
        assert not problem.is_dcp()
        with pytest.raises(cp.DCPError):
            problem.solve(solver=cp.CLARABEL)


def test_negated_cost_is_concave() -> None:
    net = random_net(1)
    problem, _, cost = on_simplex(net)
    assert (-cost).is_concave()
    least = problem.solve(solver=cp.CLARABEL)
    flipped = cp.Problem(cp.Maximize(-cost), problem.constraints)
    assert flipped.solve(solver=cp.CLARABEL) == pytest.approx(-least, abs=1e-6)
    assert cp.Problem(cp.Minimize(0), [*problem.constraints, -cost >= -abs(least) - 1]).is_dcp()


def test_cost_as_a_constraint() -> None:
    """Farthest point along a direction with f <= level: on the level, and the sublevel set is respected."""
    net = random_net(3)
    z = cp.Variable(4)
    cost, constraints = to_cvxpy(net, z)
    direction = np.array([1.0, -1, 2, 0.5])
    problem = cp.Problem(cp.Maximize(direction @ z), [*constraints, cost <= net(np.zeros(4))[0] + 5])
    problem.solve(solver=cp.CLARABEL)
    assert cost.value == pytest.approx(net(np.zeros(4))[0] + 5, abs=1e-5)
    assert cost.value == net(z.value)[0]


def test_value_is_exact_where_the_epigraph_is_slack() -> None:
    """In `cost <= 100` alone q'v + d'x + r may lie anywhere up to 100; `cost.value` is still f(x)."""
    net = random_net(3)
    z = cp.Variable(4)
    cost, constraints = to_cvxpy(net, z)
    assert cost.value is None
    cp.Problem(cp.Minimize(cp.sum_squares(z - 0.1)), [*constraints, cost <= 100]).solve(solver=cp.CLARABEL)
    epigraph = cost.args[0].value[0]
    assert cost.value == net(z.value)[0]
    assert epigraph > cost.value + 1, "the case would not show anything"
    z.value = np.ones(4)
    assert cost.value == net(np.ones(4))[0]
    assert (2 * cost + 1).value == pytest.approx(2 * net(np.ones(4))[0] + 1)


def test_parameter_is_compiled_once() -> None:
    net = random_net(5)
    x = cp.Parameter(4)
    cost, constraints = to_cvxpy(net, x)
    problem = cp.Problem(cp.Minimize(cost), constraints)
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


@pytest.mark.parametrize("make", [cp.Variable, cp.Parameter, lambda n: cp.Constant(np.ones(n))])
def test_the_cones_are_there(make) -> None:
    net = random_net(5, quadratic=(3, 2), norm=(3, 2, 2))
    x = make(4)
    if isinstance(x, cp.Parameter):
        x.value = np.ones(4)
    cost, constraints = to_cvxpy(net, x)
    data, _, _ = cp.Problem(cp.Minimize(cost), constraints).get_problem_data(cp.CLARABEL)
    assert sorted(data["dims"].soc) == [3, 3, 4, 4, 5]
    program = value_program(net)
    assert data["dims"].nonneg == program.cones.nonnegative + 1  # one row for the epigraph
    assert data["A"].shape[1] == program.A.shape[1] + 1 + 4 * isinstance(x, cp.Variable)
    assert sum(isinstance(constraint, cp.SOC) for constraint in constraints) == 3  # one for each size


def test_affine_expression_of_other_variables() -> None:
    """x = D z + g inside a problem equals the problem with x as a variable and x = D z + g as a constraint."""
    net = random_net(6)
    rng = np.random.default_rng(1)
    D, g = rng.normal(size=(4, 2)), rng.normal(size=4)
    z, x = cp.Variable(2), cp.Variable(4)
    inside, first = to_cvxpy(net, D @ z + g)
    beside, second = to_cvxpy(net, x)
    one = cp.Problem(cp.Minimize(inside + cp.norm1(z)), first).solve(solver=cp.CLARABEL)
    other = cp.Problem(cp.Minimize(beside + cp.norm1(z)), [*second, x == D @ z + g]).solve(solver=cp.CLARABEL)
    assert one == pytest.approx(other, abs=1e-6)
    assert inside.value == pytest.approx(net(D @ z.value + g)[0], rel=1e-12)


def test_parameter_and_variable_mixed() -> None:
    net = random_net(6)
    z, p = cp.Variable(2), cp.Parameter(2)
    cost, constraints = to_cvxpy(net, cp.hstack([z, p]))
    problem = cp.Problem(cp.Minimize(cost + cp.sum_squares(z)), constraints)
    assert problem.is_dpp()
    rows = np.zeros((2, 4))
    rows[:, 2:] = np.eye(2)
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
    (one, c1), (two, c2) = to_cvxpy(first, z), to_cvxpy(second, z)
    problem = cp.Problem(cp.Minimize(one + weight * two), [*c1, *c2, cp.sum(z) == 1, z >= 0])
    assert problem.is_dpp()
    joint = FrozenNet([], Output([], np.zeros(4)))
    assert joint(np.zeros(4))[0] == 0
    for value in (0.0, 2.0):
        weight.value = value
        least = problem.solve(solver=cp.CLARABEL)
        assert least == pytest.approx(first(z.value)[0] + value * second(z.value)[0], abs=1e-5)
        for x in np.random.default_rng(0).dirichlet(np.ones(4), size=50):
            assert first(x)[0] + value * second(x)[0] >= least - 1e-6


def test_one_network_used_twice() -> None:
    """The same cost in the objective and in a constraint shares its variables."""
    net = random_net(3)
    z = cp.Variable(4)
    cost, constraints = to_cvxpy(net, z)
    level = net(np.full(4, 0.25))[0]
    problem = cp.Problem(cp.Minimize(cost - z[0]), [*constraints, cost <= level, cp.sum(z) == 1, z >= 0])
    problem.solve(solver=cp.CLARABEL)
    assert cost.value <= level + 1e-6


@pytest.mark.parametrize("solver", ["ECOS", "SCS", "CLARABEL"])
def test_other_solvers_of_cvxpy(solver: str) -> None:
    problem, _, _ = on_simplex(random_net(2))
    exact = value_program(random_net(2)).free(simplex(4)).solve().value
    settings = {"eps": 1e-9} if solver == "SCS" else {}
    assert problem.solve(solver=solver, **settings) == pytest.approx(exact, abs=1e-5)


def test_a_linear_network_goes_to_highs() -> None:
    net = random_net(2, **NETS["relu"])
    problem, _, _ = on_simplex(net)
    assert problem.solve(solver=cp.HIGHS) == pytest.approx(value_program(net).free(simplex(4)).solve().value, abs=1e-6)


def test_shapes() -> None:
    net = random_net(2, n=6)
    image = FrozenNet(net.layers, net.output, net.quadratics, net.norms, input_shape=(2, 3))
    x = np.arange(6.0)
    for variable in (cp.Variable(6), cp.Variable((6, 1)), cp.Variable((2, 3))):
        cost, constraints = to_cvxpy(image, variable)
        problem = cp.Problem(cp.Minimize(cost), [*constraints, variable == x.reshape(variable.shape)])
        assert problem.solve(solver=cp.CLARABEL) == pytest.approx(net(x)[0], rel=1e-6), variable.shape
        assert cost.value == pytest.approx(net(x)[0], rel=1e-6)
    one = random_net(2, **NETS["one_input"])
    scalar = cp.Variable()
    cost, constraints = to_cvxpy(one, scalar)
    assert cp.Problem(cp.Minimize(cost), [*constraints, scalar == 2]).solve(solver=cp.CLARABEL) == pytest.approx(
        one([2.0])[0], rel=1e-6
    )
    for wrong in (cp.Variable(5), cp.Variable((1, 6)), cp.Variable((3, 2)), cp.Variable()):
        with pytest.raises(ProgramError, match=r"x must have shape \(6,\) or \(6, 1\) or \(2, 3\); received"):
            to_cvxpy(image, wrong)


def test_x_must_be_affine() -> None:
    net = random_net(2)
    with pytest.raises(ProgramError, match=r"x must be real and affine .* received a convex expression"):
        to_cvxpy(net, cp.square(cp.Variable(4)))
    with pytest.raises(ProgramError, match="real"):
        to_cvxpy(net, cp.Variable(4, complex=True))
    with pytest.raises(ProgramError, match="received ndarray"):
        to_cvxpy(net, np.zeros(4))
    with pytest.raises(ModelError, match="expected a socicnn network"):
        to_cvxpy("net", cp.Variable(4))  # type: ignore[arg-type]  # what a user may do


def test_contexts_are_given_one_at_a_time() -> None:
    net = FrozenNet([], Output(np.zeros(0), np.array([[1.0, 2.0], [3.0, 4.0]])), [Quadratic(1.0, np.eye(2))])
    with pytest.raises(ProgramError, match="to_cvxpy needs one context, this program stacks 2"):
        to_cvxpy(net, cp.Variable(2))
    z = cp.Variable(2)
    cost, constraints = to_cvxpy(net[1], z)
    assert cp.Problem(cp.Minimize(cost), constraints).solve(solver=cp.CLARABEL) == pytest.approx(-25 / 4)


def test_group_norms_are_one_vectorised_cone() -> None:
    rng = np.random.default_rng(0)
    net = FrozenNet([], Output([], np.zeros(3)), norms=[Norm(0.5, rng.normal(size=(12, 3)), rng.normal(size=12), 2)])
    x = cp.Parameter(3, value=rng.normal(size=3))
    cost, constraints = to_cvxpy(net, x)
    assert len(constraints) == 1
    problem = cp.Problem(cp.Minimize(cost), constraints)
    assert problem.solve(solver=cp.CLARABEL) == pytest.approx(net(x.value)[0], rel=1e-6)


def test_a_program_alone_has_the_epigraph_as_its_value() -> None:
    program = value_program(random_net(2))
    z = cp.Variable(4)
    cost, constraints = export(program, z)
    problem = cp.Problem(cp.Minimize(cost), [*constraints, z == 1])
    problem.solve(solver=cp.CLARABEL)
    assert cost.value == pytest.approx(random_net(2)(np.ones(4))[0], rel=1e-6)


def test_public_name() -> None:
    assert socicnn.to_cvxpy is to_cvxpy


def test_negative_hidden_weights_never_get_here() -> None:
    with pytest.raises(ModelError, match="negative"):
        FrozenNet(
            [Layer(None, np.eye(2), np.zeros(2)), Layer(-np.eye(2), None, np.zeros(2))], Output(np.ones(2), [0, 0])
        )
