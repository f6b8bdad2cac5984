"""A network inside a CVXPY problem: the same minimum as the exact program, and no way to misuse it in silence."""

import copy
import pickle
import warnings

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

import socicnn
from socicnn._compile import value_program
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn.conic._blocks import Rows
from socicnn.conic._cones import Cones
from socicnn.errors import ModelError, ProgramError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic, Squares
from tests.support.frozen_nets import NETS, random_net


def simplex(n: int) -> Rows:
    G = sparse.csr_array(np.vstack([np.ones(n), -np.eye(n)]))
    return Rows(G, np.concatenate([[1.0], np.zeros(n)]), Cones(1, n))


def on_simplex(net: FrozenNet) -> tuple[cp.Problem, cp.Variable, cp.Expression]:
    z = cp.Variable(net.in_features)
    cost = to_cvxpy(net, z)
    return cp.Problem(cp.Minimize(cost), [cp.sum(z) == 1, z >= 0]), z, cost


def square(offset: float) -> FrozenNet:
    """Return (x + offset)^2, never negative."""
    return FrozenNet([], Output([], [0.0]), [Quadratic(1.0, [[1.0]], [offset])])


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
