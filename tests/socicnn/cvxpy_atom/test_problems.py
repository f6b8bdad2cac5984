"""A network inside a CVXPY problem: the same minimum as the exact program, and no way to misuse it in silence."""

import copy
import pickle

import cvxpy as cp
import numpy as np
import pytest

import socicnn
from socicnn._compile import value_program
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn.errors import ModelError, ProgramError
from socicnn.frozen import FrozenNet, Layer, Logistic, Norm, Output, Quadratic, Squares
from tests.support.frozen_nets import NETS, random_net
from tests.support.programs_on_simplex import on_simplex, simplex


@pytest.mark.parametrize("kind", sorted(NETS))
def test_minimum_over_a_set_equals_the_exact_program(kind: str) -> None:
    for seed in range(3):
        net = random_net(seed, **NETS[kind])
        problem, z, cost = on_simplex(net)
        value = problem.solve(solver=cp.CLARABEL)
        exact = value_program(net).free(simplex(net.in_features)).solve()
        assert exact.ok
        assert abs(value - exact.value) <= 1e-6 * (1 + abs(exact.value))
        assert cost.value == net(z.value)[0], "the network's own value, not the solver's"
        assert abs(value - cost.value) <= 1e-6 * (1 + abs(value))


def test_quadratics_inside_layers() -> None:
    rng = np.random.default_rng(0)
    inside = Squares(rng.exponential(size=3), rng.normal(size=(6, 4)), rng.normal(size=6))
    net = FrozenNet(
        [Layer(None, rng.normal(size=(3, 4)), rng.normal(size=3), inside)],
        Output(rng.exponential(size=3), rng.normal(size=4)),
    )
    problem, z, cost = on_simplex(net)
    exact = value_program(net).free(simplex(4)).solve().value
    assert problem.solve(solver=cp.CLARABEL) == pytest.approx(exact, rel=1e-6)
    assert cost.value == net(z.value)[0]


@pytest.mark.parametrize("kind", sorted(NETS))
def test_curvature_is_convex_and_never_affine(kind: str) -> None:
    net = random_net(0, **NETS[kind])
    cost = to_cvxpy(net, cp.Variable(net.in_features))
    assert cost.is_convex()
    assert not cost.is_concave()
    assert not cost.is_affine()
    moved = to_cvxpy(net, cp.Parameter(net.in_features))
    for each in (cost, moved):
        assert each.shape == ()
        assert cp.Problem(cp.Minimize(each)).is_dcp(dpp=True)
        assert not cp.Problem(cp.Maximize(each)).is_dcp(dpp=True)


def test_what_is_not_convex_is_refused() -> None:
    net = random_net(1)
    z = cp.Variable(4)
    cost = to_cvxpy(net, z)
    box = [z >= -1, z <= 1]
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


def test_value_is_exact_where_a_constraint_is_slack() -> None:
    net = random_net(3)
    z = cp.Variable(4)
    cost = to_cvxpy(net, z)
    assert cost.value is None
    cp.Problem(cp.Minimize(cp.sum_squares(z - 0.1)), [cost <= 100]).solve(solver=cp.CLARABEL)
    assert cost.value == net(z.value)[0]
    assert cost.value < 99, "the case would not show anything"
    z.value = np.ones(4)
    assert cost.value == net(np.ones(4))[0]
    assert (2 * cost + 1).value == pytest.approx(2 * net(np.ones(4))[0] + 1)


@pytest.mark.parametrize("make", [cp.Variable, cp.Parameter])
def test_the_cones_are_there(make) -> None:
    net = random_net(5, quadratic=(3, 2), norm=(3, 2, 2))
    x = make(4)
    if isinstance(x, cp.Parameter):
        x.value = np.ones(4)
    top = cp.Variable()
    problem = cp.Problem(cp.Minimize(top), [to_cvxpy(net, x) <= top])
    data, _, _ = problem.get_problem_data(cp.CLARABEL)
    assert sorted(data["dims"].soc) == [3, 3, 4, 4, 5]
    program = value_program(net)
    assert data["dims"].nonneg == program.cones.nonnegative + 1
    assert data["A"].shape[1] == program.A.shape[1] + 1 + 4 * isinstance(x, cp.Variable)


def test_a_constant_point_is_a_number() -> None:
    net = random_net(5)
    z = cp.Variable()
    cost = to_cvxpy(net, cp.Constant(np.ones(4)))
    assert cp.Problem(cp.Minimize(z), [cost <= z]).solve(solver=cp.CLARABEL) == pytest.approx(net(np.ones(4))[0])


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


def exponential_net() -> FrozenNet:
    rng = np.random.default_rng(0)
    logistic = Logistic(rng.exponential(size=3), rng.normal(size=(3, 2)))
    return FrozenNet([], Output([], rng.normal(size=2)), logistics=[logistic])


@pytest.mark.parametrize("solver", ["HIGHS", "SCIPY", "OSQP"])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("kind", ["quad", "norms", "logistic", "context"])
def test_cones_never_reach_a_solver_without_them(kind: str, whole: bool, solver: str) -> None:
    # CVXPY looks at types of atoms; cones that it was not told of were dropped (SciPy), or called infeasible (HiGHS)
    net = exponential_net() if kind == "logistic" else random_net(2, **{**NETS[kind], "n": 2}) if kind in NETS else None
    z = cp.Variable(2, integer=whole)
    if net is None:
        network = socicnn.nn.SOCICNN(2, (3,), norm=(2,), context_features=1)
        cost = to_cvxpy(network, z, cp.Parameter(1, value=[0.5]))
    else:
        cost = to_cvxpy(net, z)
    problem = cp.Problem(cp.Minimize(cp.maximum(cost, 0) + cp.sum(z)), [z >= -3, z <= 3, cost <= 1e3])
    with pytest.raises(cp.SolverError):
        problem.solve(solver=solver)
    assert z.value is None


@pytest.mark.parametrize(("solver", "kind"), [("HIGHS", "relu"), ("SCIP", "soc")])
def test_whole_numbers(solver: str, kind: str) -> None:
    if solver == "SCIP":
        pytest.importorskip("pyscipopt")
    net = random_net(2, **{**NETS[kind], "n": 2})
    z = cp.Variable(2, integer=True)
    value = cp.Problem(cp.Minimize(to_cvxpy(net, z)), [z >= -3, z <= 3]).solve(solver=solver)
    grid = np.arange(-3.0, 4)
    assert value == pytest.approx(net([[a, b] for a in grid for b in grid]).min(), rel=1e-5)


def test_shapes() -> None:
    net = random_net(2, n=6)
    image = FrozenNet(net.layers, net.output, net.quadratics, net.norms, input_shape=(2, 3))
    x = np.arange(6.0)
    for shape in ((6,), (6, 1), (1, 6), (2, 3)):
        variable = cp.Variable(shape)
        cost = to_cvxpy(image, variable)
        problem = cp.Problem(cp.Minimize(cost), [variable == x.reshape(shape)])
        assert problem.solve(solver=cp.CLARABEL) == pytest.approx(net(x)[0], rel=1e-6), shape
        assert cost.value == pytest.approx(net(x)[0], rel=1e-6)
    one = random_net(2, **NETS["one_input"])
    scalar = cp.Variable()
    value = cp.Problem(cp.Minimize(to_cvxpy(one, scalar)), [scalar == 2]).solve(solver=cp.CLARABEL)
    assert value == pytest.approx(one([2.0])[0], rel=1e-6)
    for wrong in (cp.Variable(5), cp.Variable((3, 2)), cp.Variable()):
        with pytest.raises(ProgramError, match=r"x must have shape \(6,\) or \(6, 1\) or \(1, 6\) or \(2, 3\); rec"):
            to_cvxpy(image, wrong)


def test_x_must_be_affine() -> None:
    net = random_net(2)
    with pytest.raises(ProgramError, match=r"x must be affine .* received a convex expression"):
        to_cvxpy(net, cp.square(cp.Variable(4)))
    with pytest.raises(ProgramError, match="x must be real"):
        to_cvxpy(net, cp.Variable(4, complex=True))
    with pytest.raises(ProgramError, match="received ndarray"):
        to_cvxpy(net, np.zeros(4))
    with pytest.raises(ModelError, match="expected a socicnn network"):
        to_cvxpy("net", cp.Variable(4))  # type: ignore[arg-type]  # what a user may do


def test_stacked_contexts_are_a_list() -> None:
    """(x1 + a x2 + ||x||^2) has the minimum -(1 + a^2) / 4."""
    net = FrozenNet([], Output(np.zeros(0), np.array([[1.0, 2.0], [1.0, 4.0]])), [Quadratic(1.0, np.eye(2))])
    costs = to_cvxpy(net, cp.Variable(2))
    values = [cp.Problem(cp.Minimize(cost)).solve(solver=cp.CLARABEL) for cost in costs]
    assert values == pytest.approx([-5 / 4, -17 / 4])
    together = cp.Problem(cp.Minimize(sum(costs))).solve(solver=cp.CLARABEL)
    assert together == pytest.approx(-(2.0**2 + 6.0**2) / 8)


def test_group_norms_are_one_vectorised_cone() -> None:
    rng = np.random.default_rng(0)
    net = FrozenNet([], Output([], np.zeros(3)), norms=[Norm(0.5, rng.normal(size=(12, 3)), rng.normal(size=12), 2)])
    x = cp.Parameter(3, value=rng.normal(size=3))
    cost = to_cvxpy(net, x)
    _, constraints = cost.cone_form(cost.args)
    assert len(constraints) == 1
    assert cp.Problem(cp.Minimize(cost)).solve(solver=cp.CLARABEL) == pytest.approx(net(x.value)[0], rel=1e-6)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda problem: pickle.loads(pickle.dumps(problem))])
def test_a_problem_can_be_copied_and_pickled(copied) -> None:
    problem, z, _ = on_simplex(random_net(1))
    other = copied(problem)
    value = problem.solve(solver=cp.CLARABEL)
    assert other.solve(solver=cp.CLARABEL) == pytest.approx(value, rel=1e-7)
    np.testing.assert_allclose(other.variables()[0].value, z.value, atol=1e-5)
    assert other.objective.expr.value == pytest.approx(value, rel=1e-6)


def test_the_old_pair_is_read_with_a_warning() -> None:
    z = cp.Variable(4)
    with pytest.warns(DeprecationWarning, match="returns one expression"):
        cost, constraints = to_cvxpy(random_net(1), z)
    assert constraints == []
    assert cost.is_convex()
    value = cp.Problem(cp.Minimize(cost), [*constraints, cp.sum(z) == 1, z >= 0]).solve(solver=cp.CLARABEL)
    assert value == pytest.approx(on_simplex(random_net(1))[0].solve(solver=cp.CLARABEL), rel=1e-7)


def test_the_cost_is_one_entry_of_a_list() -> None:
    """Nothing of CVXPY or NumPy takes the cost apart, which would warn."""
    z = cp.Variable(4)
    cost = to_cvxpy(random_net(1), z)
    assert cp.hstack([cost, 1.0]).shape == (2,)
    assert (np.float64(2.0) * cost).is_convex()
    assert sum([cost, cost]).is_convex()
    assert cp.max(cp.hstack([cost, cost])).is_convex()


def test_messages_of_cvxpy_stay_readable() -> None:
    z = cp.Variable(4, name="z")
    cost = to_cvxpy(random_net(1), z)
    assert str(cost) == "network(z)"
    with pytest.raises(cp.DCPError, match=r"network\(z\)"):
        cp.Problem(cp.Minimize(cp.sqrt(cost))).solve(solver=cp.CLARABEL)


def test_public_name() -> None:
    assert socicnn.to_cvxpy is to_cvxpy


def test_negative_hidden_weights_never_get_here() -> None:
    with pytest.raises(ModelError, match="negative"):
        FrozenNet(
            [Layer(None, np.eye(2), np.zeros(2)), Layer(-np.eye(2), None, np.zeros(2))], Output(np.ones(2), [0, 0])
        )
