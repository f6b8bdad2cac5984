"""Every decision is feasible, its value the network's, and its gap a true bound, whatever the method and the set."""

from fractions import Fraction
from functools import cache

import cvxpy as cp
import numpy as np
import pytest
import torch

from decision import Box, Budget, Decision, Simplex, decide
from decision._minimise.answers import Goal
from decision._minimise.exact import FreePrograms
from decision._minimise.methods import Auto, Problem
from decision._minimise.search import CHUNK
from decision._minimise.stack_surrogate import StackSurrogate
from decision._options import DecideOptions
from socicnn import SOCICNN
from socicnn._compile import value_program
from socicnn.conic._program import ConicProgram
from socicnn.conic.solvers import Prepared
from socicnn.conic.solvers._clarabel import Clarabel
from socicnn.errors import ModelError, ProgramError, SolverError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn import Conv, ConvSOCICNN, RecurrentSOCICNN
from tests.support.cases import generator
from tests.support.exact import exact_value

METHODS = ("auto", "interior_point", "projected_gradient", "exact")
SETS = {
    "simplex": Simplex(4),
    "box": Box(4, -0.5, 1.5),
    "budget": Budget(4, 1.3),
    "inequality": Budget(4, 1.3, equality=False),
}


def random_net(seed: int, contexts: int | None = 3, widths: tuple[int, ...] = (7, 5)) -> FrozenNet:
    """Return a network with kinks everywhere: relu layers, a norm whose zero is in the set, a thin quadratic."""
    rng = np.random.default_rng(seed)
    lead = () if contexts is None else (contexts,)
    layers, below = [], None
    for width in widths:
        W = None if below is None else rng.uniform(0, 1, size=(width, below)) / below
        layers.append(Layer(W, rng.normal(size=(width, 4)), rng.normal(size=(*lead, width))))
        below = width
    C = rng.normal(size=(4, 4))
    return FrozenNet(
        layers,
        Output(rng.uniform(0, 1, size=(*lead, below or 0)), rng.normal(size=(*lead, 4)), rng.normal(size=lead)),
        [Quadratic(rng.uniform(0.1, 1, size=lead), rng.normal(size=(2, 4)), rng.normal(size=(*lead, 2)))],
        [Norm(rng.uniform(0.5, 2, size=lead), C, -C @ np.full(4, 0.25))],
    )


@cache
def decided(method: str, shape: str, seed: int) -> Decision:
    return decide(random_net(seed), SETS[shape], method=method, rtol=1e-5)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("shape", SETS)
@pytest.mark.parametrize("method", METHODS)
class TestDecisions:
    """Of three contexts, by every method over every set."""

    @pytest.fixture(autouse=True)
    def _answer(self, method: str, shape: str, seed: int) -> None:
        self.net, self.region = random_net(seed), SETS[shape]
        self.answer = decided(method, shape, seed)

    def test_x_is_in_the_set(self, method: str, shape: str, seed: int) -> None:
        assert self.answer.x.shape == (3, 4)
        assert self.region.violation(self.answer.x).max() <= 1e-9

    def test_the_value_is_the_networks(self, method: str, shape: str, seed: int) -> None:
        values = self.net(self.answer.x.numpy())
        np.testing.assert_allclose(self.answer.value.numpy(), values, rtol=1e-12, atol=1e-12)

    def test_it_is_certified(self, method: str, shape: str, seed: int) -> None:
        """By `auto` and `exact` always; the other two may stop short where x ends on a norm's kink, once at most."""
        uncertified = 0 if method in ("auto", "exact") else 1
        assert (~self.answer.certified).sum() <= uncertified, self.answer.status

    def test_no_point_of_the_set_is_below_the_bound(self, method: str, shape: str, seed: int) -> None:
        points = self.region.sample(500, generator=torch.Generator().manual_seed(seed)).numpy()
        for i, lower in enumerate(self.answer.value - self.answer.gap):
            assert (torch.as_tensor(self.net[i](points)) >= lower).all()

    def test_the_optimum_of_another_solver_is_within_the_gap(self, method: str, shape: str, seed: int) -> None:
        assert (self.answer.gap >= 0).all()
        for i in range(3):
            best = decide(self.net[i], self.region, method="exact", options=DecideOptions(solver="ecos")).value[0]
            assert best >= self.answer.value[i] - self.answer.gap[i]
            assert self.answer.value[i] - best <= self.answer.gap[i] + 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_a_bound_is_below_the_exact_value_of_the_optimum(method: str) -> None:
    """x = (3/4, 1/4) minimises |x|^2 + x_2 over the simplex, with value 7/8."""
    net = FrozenNet([], Output([], [0.0, 1.0]), [Quadratic(1.0, np.eye(2))])
    answer = decide(net, Simplex(2), method=method, rtol=1e-9)
    assert Fraction(float(answer.value[0])) - Fraction(float(answer.gap[0])) <= Fraction(7, 8)
    assert float(answer.value[0]) == pytest.approx(7 / 8, abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scales(method: str, scale: float) -> None:
    """The rounding of huge terms is inside the gap: checked against rational arithmetic at the answer."""
    net = random_net(1, None)
    scaled = FrozenNet(
        net.layers,
        Output(net.output.w * scale, net.output.v * scale, net.output.c),
        [Quadratic(branch.beta * scale, branch.A, branch.e) for branch in net.quadratics],
        [Norm(branch.gamma * scale, branch.C, branch.d) for branch in net.norms],
    )
    answer = decide(scaled, Simplex(4), method=method, rtol=1e-4)
    assert answer.certified.all(), answer.status
    low, _ = exact_value(scaled, answer.x[0].numpy())
    assert Fraction(float(answer.value[0])) - Fraction(float(answer.gap[0])) <= low


@pytest.mark.parametrize("method", METHODS)
def test_small_shapes(method: str) -> None:
    linear = FrozenNet([], Output([], [3.0, -1.0, 2.0], 5.0))
    answer = decide(linear, Simplex(3), method=method)
    assert answer.value.item() == pytest.approx(4.0, abs=5e-6)  # a relative gap of 1e-6 was asked for
    one = FrozenNet([Layer(None, [[1.0]], [-0.5])], Output([2.0], [-1.0]))
    assert decide(one, Box(1), method=method).x.item() == pytest.approx(0.5, abs=1e-5)
    zero = FrozenNet([], Output([], [1.0, 0.0]), [Quadratic(0.0, np.eye(2))], [Norm(0.0, np.eye(2))])
    assert decide(zero, Simplex(2), method=method).value.item() == pytest.approx(0.0, abs=1e-6)


def test_contexts_one_several_and_none() -> None:
    model = SOCICNN(4, (6,), context_features=2, generator=torch.Generator().manual_seed(0)).double()
    contexts = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    many = decide(model, Simplex(4), contexts)
    single = decide(model, Simplex(4), contexts[3])
    assert many.x.shape == (5, 4)
    assert single.value.reshape(-1)[0] == pytest.approx(float(many.value[3]), abs=1e-5)
    torch.testing.assert_close(many.context, contexts)
    with pytest.raises(ModelError, match="context"):
        decide(model, Simplex(4))


def test_constraints_of_the_users_own_take_the_place_of_a_set() -> None:
    net = random_net(2)
    z = cp.Variable(4)
    own = decide(net, [cp.sum(z) == 1, z >= 0], method="exact")
    same = decide(net, Simplex(4), method="exact")
    np.testing.assert_allclose(own.value.numpy(), same.value.numpy(), atol=1e-5)
    ball = decide(net, [cp.norm(z) <= 1, z[0] == 0.25], method="exact")
    assert np.abs(ball.x[:, 0].numpy() - 0.25).max() < 1e-6
    assert np.linalg.norm(ball.x.numpy(), axis=1).max() < 1 + 1e-6


def test_effort_is_bounded_and_the_answer_is_feasible_all_the_same() -> None:
    net = random_net(0)
    hurried = decide(net, Simplex(4), method="projected_gradient", rtol=1e-12, options=DecideOptions(max_iterations=2))
    patient = decide(net, Simplex(4), method="projected_gradient", rtol=1e-5)
    assert not hurried.certified.all()
    assert SETS["simplex"].violation(hurried.x).max() <= 1e-9
    assert (hurried.value - hurried.gap <= patient.value).all()
    assert "gap" in hurried.status
    late = decide(net, Simplex(4), method="exact", time_limit=1e-9)
    assert (late.value - late.gap <= patient.value).all()


@pytest.mark.parametrize("method", ["auto", "exact", "interior_point", "projected_gradient"])
@pytest.mark.parametrize("most", [1, 3, 45])
def test_no_context_has_more_iterations_than_asked_for(method: str, most: int) -> None:
    net = random_net(0, widths=(100, 100))  # wide enough to be scouted
    answer = decide(net, SETS["box"], method=method, rtol=1e-13, options=DecideOptions(max_iterations=most))
    assert 1 <= answer.iterations.max() <= most
    with pytest.raises(ModelError, match="max_iterations must be an integer >= 1; received 0"):
        decide(net, SETS["box"], method=method, options=DecideOptions(max_iterations=0))


@pytest.mark.parametrize("method", ["auto", "exact", "interior_point", "projected_gradient"])
def test_a_branch_may_lose_its_weight_in_a_whole_chunk(method: str) -> None:
    count = CHUNK + 2
    gamma = np.ones(count)
    gamma[-2:] = 0.0
    draw = np.random.default_rng(0)
    net = FrozenNet(
        [],
        Output([], draw.normal(size=(count, 3)), np.zeros(count)),
        [Quadratic(1.0 - gamma, np.eye(3))],
        [Norm(np.zeros(count), np.eye(3)[:2]), Norm(gamma, np.eye(3))],
    )
    assert decide(net[:3], Box(3, -1, 1), method=method).certified.all()
    answer = decide(net, Box(3, -1, 1), method=method)
    assert answer.certified.all()
    one = decide(net[count - 1], Box(3, -1, 1), method="exact")
    assert float(answer.value[-1]) == pytest.approx(float(one.value[0]), abs=1e-6 * float(answer.scale[-1]))


def test_no_contexts_no_decisions() -> None:
    for activation in ("relu", "softplus"):
        model = SOCICNN(3, (4,), context_features=2, context="partial", activation=activation)
        answer = decide(model, Box(3), torch.zeros(0, 2))
        assert answer.x.shape == (0, 3)
        assert "All 0 decisions" in answer.status


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_contexts_of_any_shape(activation: str) -> None:
    model = RecurrentSOCICNN((3, 2), 4, (), (), context_channels=2, activation=activation)
    for given, count in (((3, 2), 1), ((5, 3, 2), 5)):
        assert len(decide(model, Box(6), torch.randn(given, generator=generator(0)))) == count
    with pytest.raises(ModelError, match=r"context must have shape .*received \(2, 2\)"):
        decide(model, Box(6), torch.randn(2, 2))


def test_constraints_take_the_solvers_settings_and_nothing_else() -> None:
    net, z = random_net(0), cp.Variable(4)
    entropy = [cp.sum(cp.entr(z)) >= 0.1, z <= 1, z >= 1e-3]
    found = decide(net, entropy, options=DecideOptions(settings={"max_iter": 150}))
    assert found.x.isfinite().all()
    with pytest.raises(SolverError, match="no_such_setting"):
        decide(net, entropy, options=DecideOptions(settings={"no_such_setting": 1}))
    with pytest.raises(ModelError, match="leave out start, max_iterations"):
        decide(net, [z >= 0, z <= 1], start=np.zeros(4), options=DecideOptions(max_iterations=3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: decide(net, Simplex(4), method="magic"), ModelError, "'magic'.*auto"),
        (lambda net: decide(net, Simplex(5)), (ModelError, ProgramError), "5"),
        (lambda net: decide(net, "simplex"), ProgramError, r"decision\.sets"),
        (lambda net: decide(net, [cp.Variable(4) >= 0, cp.Variable(4) <= 1]), ProgramError, "variable"),
        (lambda net: decide(net, [cp.Variable(3) >= 0]), ProgramError, "4"),
        (lambda net: decide(3, Simplex(4)), ModelError, "int"),
    ],
)
def test_requests_that_cannot_be_met_are_one_sentence(call, error, message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        call(random_net(0, None))
    assert "\n" not in str(raised.value)


def test_the_exact_program_is_scaled_by_the_whole_set() -> None:
    """A quadratic next to zero at the set's centre is no reason to scale it as if it were so everywhere."""
    rng = np.random.default_rng(0)
    net = FrozenNet(
        [],
        Output([], 0.5 * rng.normal(size=(20, 6))),
        [Quadratic(np.ones(20), np.eye(6), np.full((20, 6), -0.5 + 1e-4))],
        [Norm(np.full(20, 0.3), rng.normal(size=(4, 6)), rng.normal(size=(20, 4)))],
    )
    answer = decide(net, Box(6), method="exact", rtol=1e-7)
    assert answer.certified.all()
    assert "looser" not in answer.status
    assert "failed" not in answer.status


def test_an_empty_feasible_region_is_said() -> None:
    z = cp.Variable(4)
    with pytest.raises((ProgramError, SolverError), match=r"(?i)infeasib|empty|cannot"):
        decide(random_net(0, None), [z >= 1, z <= 0])


@pytest.mark.parametrize(
    ("widths", "contexts", "first"),
    [((7, 5), 1, "exact"), ((7, 5), 200, "interior_point"), ((200, 200), 1, "interior_point")],
)
def test_auto_begins_with_the_faster_way(widths: tuple[int, ...], contexts: int, first: str) -> None:
    net = random_net(0, contexts, widths)
    assert Auto().order(Problem(StackSurrogate.of(net), Simplex(4)))[0].name == first


def test_auto_honours_a_loose_accuracy() -> None:
    """A convolution with a norm per position: the exact program takes eight times as long, at 1e-6 too."""
    model = ConvSOCICNN((1, 8, 8), (10, 10, 10), norm=(Conv(4, 3, group=2),), generator=torch.manual_seed(0))
    problem = Problem(StackSurrogate.of(model.freeze()), Box(64, 0.0, 1.0))
    assert [Auto().order(problem, loose=loose)[0].name for loose in (False, True)] == [
        "interior_point",
        "interior_point",
    ]
    loose = decide(model, Box(64, 0.0, 1.0), rtol=1e-3)
    assert bool(loose.certified.all())
    assert int(loose.iterations[0]) > 1  # no exact solve


@pytest.mark.parametrize(("side", "first"), [(8, "interior_point"), (16, "projected_gradient")])
def test_auto_takes_products_where_jacobians_would_be_large(side: int, first: str) -> None:
    """A dense Newton step takes half a minute for ten images of 16 x 16 pixels, and two gigabytes."""
    model = ConvSOCICNN((1, side, side), (10, 10), norm=(Conv(4, 3, group=2),), generator=torch.manual_seed(0))
    problem = Problem(StackSurrogate.of(model.freeze()), Box(side**2, 0.0, 1.0))
    assert Auto().order(problem)[0].name == first
    found = decide(model, Box(side**2, 0.0, 1.0), rtol=1e-3)
    assert bool(found.certified.all())


def test_what_is_printed_fits_on_a_line() -> None:
    net = random_net(0)
    program = value_program(net)
    things = [net, program, program[0].at(np.zeros(4)), program[0].at(np.zeros(4)).solve()]
    for thing in things:
        assert len(repr(thing)) < 160
        assert str(thing) == repr(thing)
    assert repr(net) == "<FrozenNet: 4 inputs; hidden widths 7, 5; branches: 1 quadratic, 1 norm; 3 contexts>"
    assert repr(program).startswith("<ValueProgram: 3 contexts, 4 inputs, ")


def test_what_is_left_of_the_time_limits_each_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a factor of two, so that a solver is not set up anew for every context."""
    now, limits = [0.0], []
    monkeypatch.setattr("decision._minimise.exact.time.perf_counter", lambda: now[0])
    prepare = Clarabel.prepare

    def recorded(self: Clarabel, program: ConicProgram) -> Prepared:
        limits.append(self.time_limit)
        return prepare(self, program)

    monkeypatch.setattr(Clarabel, "prepare", recorded)
    programs = FreePrograms(random_net(0), Simplex(4).rows(), Clarabel())
    for moment in (0.0, 40.0, 60.0, 70.0, 85.0):
        now[0] = moment
        assert programs.solve(0, Goal(1e-6, None, 100.0)).ok
    assert limits == [100.0, 40.0, 15.0]


def test_contexts_that_require_gradients_are_detached_with_a_word() -> None:
    model = SOCICNN(4, (3,), context_features=2, dtype=torch.float64, generator=generator(0))
    theta = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    answer = decide(model, Simplex(4), theta)
    assert not answer.x.requires_grad
    assert answer.context is not None
    assert not answer.context.requires_grad
    assert "The contexts require gradients, and decisions have none: they were detached." in answer.status
    assert "detached" not in decide(model, Simplex(4), theta.detach()).status
