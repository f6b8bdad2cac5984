"""Decisions about softplus networks: gaps that hold in real arithmetic, whatever the search has found."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from decision import Ball, Box, Budget, DecideOptions, Decider, DecisionLayer, Polytope, Simplex, decide
from decision._minimise import bounds, growth
from decision._minimise.bounds import lower_bound, net_below, upper_bound
from decision._minimise.growth import growth_bound
from decision._minimise.smoothed_stack import by_slopes, hessian, smoothed, tangent
from decision._minimise.stack import Dual, Stack
from decision._minimise.stack_surrogate import StackSurrogate
from decision.sets._base import FeasibleSet
from socicnn import ICNN, SOCICNN, ConvSOCICNN
from socicnn._compile import value_program
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic
from tests.support.softplus import softplus_net
from verify._proof.network import Prover

SETS = {"simplex": Simplex(4), "box": Box(4, -1.0, 2.0), "budget": Budget(4, 2.0)}
KINDS = [(1.0, 0.25), (0.0, 1.0), (0.5, 0.0), (1e-3, 10.0)]
METHODS = ("auto", "interior_point", "central_path", "projected_gradient", "exact")


def minimum(net: FrozenNet, feasible_set: FeasibleSet) -> float:
    """Return a value that min_X f does not exceed: the upper end at a solver's point, moved into the set."""
    x = value_program(net).free(feasible_set.rows()).solve().v[:4]
    return float(Prover(net)(feasible_set.project(torch.tensor(x)[None]).numpy()).hi[0])


@pytest.mark.parametrize("name", SETS)
def test_any_tangent_gives_a_bound_below_the_minimum(name: str) -> None:
    """Far from the answer, at kinks, hardly smoothed or very: never above."""
    region, generator = SETS[name], torch.Generator().manual_seed(0)
    for seed in range(12):
        net = softplus_net(seed, KINDS[seed % 4], terms=seed % 3 == 0)
        least = minimum(net, region)
        x = region.sample(30, generator)
        y = torch.cat([x[:10], 10 * x[10:20], torch.zeros(5, 4, dtype=torch.float64), x[25:]])
        width = 10.0 ** torch.linspace(-150, 1, 30, dtype=torch.float64)
        stack = Stack.of(net).take(torch.zeros(30, dtype=torch.int64))
        line = tangent(stack, smoothed(stack, y, width))
        assert (lower_bound(stack, region, line.multipliers) <= least).all()
        assert (line.minorant - line.fall(region) <= least + 1e-9 * (1 + abs(least))).all()
        assert (upper_bound(stack, x).numpy() >= Prover(net)(x.numpy()).lo).all()
        assert (line.value >= stack.value(y) - 1e-12 * line.value.abs()).all()


def test_tangents_and_hessians_are_derivatives() -> None:
    stack = Stack.of(softplus_net(3, (0.5, 0.0, 0.2), terms=True))
    x = torch.tensor([[0.3, -0.2, 0.5, 0.1]], dtype=torch.float64)
    for delta in (0.3, 1e-2):
        width = torch.tensor([delta], dtype=torch.float64)
        at = smoothed(stack, x, width)
        line = tangent(stack, at)
        H = hessian(stack, at, line.multipliers.lam, width)[0]
        steps = 1e-5 * torch.eye(4, dtype=torch.float64)
        ends = [tangent(stack, smoothed(stack, x + sign * step, width)) for step in steps for sign in (1, -1)]
        pairs = list(zip(ends[::2], ends[1::2], strict=True))
        slopes = torch.cat([(up.value - down.value) / 2e-5 for up, down in pairs])
        torch.testing.assert_close(line.gradient[0], slopes, rtol=1e-6, atol=1e-6)
        curves = torch.cat([(up.gradient - down.gradient) / 2e-5 for up, down in pairs])
        torch.testing.assert_close(H, curves, rtol=1e-5, atol=1e-5)


def test_entropies_lift_the_bound() -> None:
    """Without them the tangent of a softplus unit lies log 2 lower at a = 0."""
    net = softplus_net(0)
    stack, y = Stack.of(net), torch.zeros(1, 4, dtype=torch.float64)
    dual = Dual(by_slopes(stack, stack.zero_dual(y).lam, y), (), ())
    tight, size = net_below(bounds.columns(stack), 1, Box(4, -1e-9, 1e-9), dual)
    value = net(np.zeros((1, 4)))[0]
    assert 0 <= value - float(tight) <= 1e-7
    assert float(size) >= abs(float(tight))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_method_over_every_set(method: str, kind: tuple[float, ...]) -> None:
    for seed, region in enumerate((*SETS.values(), Ball(4, 1.0))):
        if isinstance(region, Ball) and method in ("interior_point", "central_path"):
            continue
        for terms in (False, True):
            if isinstance(region, Ball) and method != "auto" and not terms:
                continue
            net = softplus_net(seed, kind, terms=terms)
            found = decide(net, region, method=method)  # type: ignore[arg-type]
            best = decide(net, region, method="exact", rtol=1e-8)
            # the long way alone ends a little short of 1e-6 where kinks hold x, or one method is not enough
            assert float(found.relative_gap) <= (1e-6 if method != "central_path" else 2e-6), (region, found.status)
            assert "float64" not in found.status
            assert float(found.value - found.gap) <= float(best.value)
            assert float(best.value - best.gap) <= float(found.value)


def test_minima_of_high_precision() -> None:
    """One unit has its minimum in closed form; others come from Newton's method with 60 digits."""
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(60):
        for scale in (1e-6, 1.0, 1e6):
            # scale (tau log(1 + exp(x / tau)) - p x): least at tau log(p / (1 - p)), with the value scale tau H(p)
            tau, p = 0.3, 0.2
            net = FrozenNet([Layer(None, [[1.0]], [0.0], None, tau)], Output([scale], [-scale * p]))
            exact, slope, s = (
                mpmath.mpf(tau),
                -mpmath.mpf(float(net.output.v[0, 0])) / mpmath.mpf(scale),
                mpmath.mpf(scale),
            )
            least = s * exact * (-slope * mpmath.log(slope) - (1 - slope) * mpmath.log(1 - slope))
            for width in (3.0, 1e4, 1e9):
                found = decide(net, Box(1, -width, width))
                assert bool(found.ok), found.status
                assert mpmath.mpf(float(found.value - found.gap)) <= least <= mpmath.mpf(float(found.value + found.gap))
        for seed in range(6):
            net = softplus_net(seed, (0.5,), terms=False)
            own = np.zeros((1, 4)), np.eye(4)  # a small square makes the minimum a single point inside the box
            net = FrozenNet(net.layers, net.output, [Quadratic(0.2, own[1], own[0][0])])
            least = _least_of_one_layer(mpmath, net)
            for region in (Box(4, -30.0, 30.0), Box(4, -1e7, 1e7)):
                found = decide(net, region, rtol=1e-9)
                assert bool(found.ok), found.status
                assert mpmath.mpf(float(found.value - found.gap)) <= least <= mpmath.mpf(float(found.value)) + 1e-9


def _least_of_one_layer(mp, net: FrozenNet):
    """Return min f of one layer of softplus units and beta ||x||^2 by Newton's method with damping."""
    layer, beta, tau = net.layers[0], mp.mpf(float(net.quadratics[0].beta[0])), mp.mpf(float(net.layers[0].smoothing))
    U, b, w, v = (mp.matrix(part.tolist()) for part in (layer.U, layer.b[0], net.output.w[0], net.output.v[0]))
    n, x = U.cols, mp.zeros(U.cols, 1)

    def value(x):
        a = U * x + b
        return (
            mp.mpf(float(net.output.c[0]))
            + mp.fdot(v, x)
            + beta * mp.fdot(x, x)
            + sum(w[i] * tau * mp.log1p(mp.exp(a[i] / tau)) for i in range(len(b)))
        )

    for _ in range(200):
        p = [1 / (1 + mp.exp(-entry / tau)) for entry in U * x + b]
        g = v + 2 * beta * x + U.T * mp.matrix([w[i] * p[i] for i in range(len(b))])
        if mp.norm(g) < mp.mpf(10) ** -40:
            break
        H = 2 * beta * mp.eye(n)
        for i in range(len(b)):
            row = U[i, :]
            H += (w[i] * p[i] * (1 - p[i]) / tau) * (row.T * row)
        step, length = mp.lu_solve(H, -g), mp.mpf(1)
        while value(x + length * step) > value(x):
            length /= 2
        x = x + length * step
    assert mp.norm(g) < mp.mpf(10) ** -30
    return value(x)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("activation", ["softplus", ("relu", "softplus"), ("softplus", "relu")])
def test_a_batch_is_decided_as_one_by_one(name: str, activation) -> None:
    draw = torch.Generator().manual_seed(1)
    settings = {"activation": activation, "generator": draw, "dtype": torch.float64}
    model = SOCICNN(4, (8, 6), (3,), (2,), context_features=2, **settings)
    theta = torch.randn(5, 2, generator=draw, dtype=torch.float64)
    found = decide(model, SETS[name], theta)
    assert bool(found.certified.all()), found.status
    assert "float64" not in found.status
    prepared = Decider(model, SETS[name])(theta)
    assert (prepared.value - found.value).abs().max() <= 2e-6 * found.scale.max()
    for i in range(5):
        net = model.freeze(theta[i])
        alone = decide(net, SETS[name])
        assert bool(alone.ok), alone.status
        assert float(found.value[i] - found.gap[i]) <= float(alone.value)
        assert float(alone.value - alone.gap) <= float(found.value[i])
        least = minimum(net, SETS[name])
        assert float(found.value[i] - found.gap[i]) <= least
        assert float(found.value[i]) >= least - 1e-6 * (1 + abs(least))


def test_polytopes_constraints_and_whole_numbers() -> None:
    """Through exponential cones, one program each: balls, rows and branch and bound."""
    net = softplus_net(2, (0.5, 0.3), terms=True)
    shape = Polytope([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 0.0, 0.0]], [1.5, 0.5], lower=-1.0, upper=2.0)
    found = decide(net, shape)
    assert bool(found.ok), found.status
    inside = Box(4, -1.0, 2.0).sample(4000, torch.Generator().manual_seed(0))
    inside = inside[(inside.sum(dim=1) <= 1.5) & (inside[:, 0] - inside[:, 1] <= 0.5)]
    assert (net(inside.numpy()) >= float(found.value - found.gap)).all()
    whole = decide(net, Box(4, -1.0, 2.0), integer=[0, 1, 2, 3])
    assert bool(whole.ok), whole.status
    points = np.stack(np.meshgrid(*[np.arange(-1.0, 3.0)] * 4), axis=-1).reshape(-1, 4)
    assert abs(float(whole.value) - net(points).min()) <= 1e-9
    mixed = decide(net, shape, integer=[1])
    assert bool(mixed.ok), mixed.status
    assert float(mixed.value) >= float(found.value - found.gap)
    assert abs(float(mixed.x[0, 1]) - round(float(mixed.x[0, 1]))) <= 1e-9


@pytest.mark.parametrize("width", [1e2, 1e6, 1e12])
def test_curvature_of_units_holds_x_back(width: float) -> None:
    """Over boxes of any width; slopes at a point that is a little off cost its square; wild guesses stay below."""
    rng = np.random.default_rng(5)
    for seed in range(6):
        tau, U = 10.0 ** rng.uniform(-1, 1), rng.normal(size=(9, 3))
        layer = Layer(None, np.vstack([U, -U]), rng.normal(size=18), None, tau)
        net = FrozenNet([layer], Output(rng.uniform(0.5, 1, size=18), 0.1 * rng.normal(size=3)))
        narrow = decide(net, Box(3, -40.0, 40.0), rtol=1e-10)
        assert float(narrow.relative_gap) <= 1e-8
        stack, box = Stack.of(net), Box(3, -width, width)
        for off in (0.0, 1e-6, 1e-3, 1.0):
            x = narrow.x + off
            for guess in (stack.zero_dual(x), Dual((torch.rand_like(stack.layers[0].b),), (), ())):
                bound = growth_bound(stack, box, x, guess, torch.zeros(1, dtype=torch.float64))
                assert float(bound) <= float(narrow.value + 1e-9)
                if off <= 1e-6:
                    assert float(bound) >= float(narrow.value) - 1e-6 * (1 + abs(float(narrow.value)))
        wide = decide(net, box)
        assert bool(wide.ok), (seed, wide.status)


def test_mutants_of_the_bounds_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the entropy, slopes taken for more growth, a missing tau: each gives a bound above the minimum."""
    net = FrozenNet([Layer(None, [[1.0], [-1.0]], [0.0, 0.0], None, 0.5)], Output([1.0, 1.0], [0.3]))
    box, wide = Box(1, -3.0, 3.0), Box(1, -1e9, 1e9)
    least = float(decide(net, box, rtol=1e-9).value)
    stack = Stack.of(net)
    x = torch.tensor([[0.4]], dtype=torch.float64)
    dual = Dual(by_slopes(stack, stack.zero_dual(x).lam, x), (), ())
    assert float(lower_bound(stack, box, dual)) <= least
    # at the minimiser the bound is tight, so that every change upwards must show
    best = decide(net, box, rtol=1e-9).x
    tight = Dual(by_slopes(stack, stack.zero_dual(best).lam, best), (), ())
    assert 0 <= least - float(lower_bound(stack, box, tight)) <= 1e-6
    sharper = Stack.of(FrozenNet([Layer(None, [[1.0], [-1.0]], [0.0, 0.0], None, 1.0)], net.output))
    assert float(lower_bound(sharper, box, tight)) > least, "entropies of another tau"
    honest = growth_bound(stack, wide, x, dual, torch.zeros(1, dtype=torch.float64))
    assert float(honest) <= least
    monkeypatch.setattr(growth, "_tilted", lambda stack, y, rest: 0.0 * rest)
    assert float(growth_bound(stack, wide, x, dual, torch.zeros(1, dtype=torch.float64))) > least, "a lost residual"


def test_images_jobs_and_layers() -> None:
    draw = torch.Generator().manual_seed(3)
    image = ConvSOCICNN((1, 3, 3), (2,), activation="softplus", generator=draw, dtype=torch.float64)
    assert "float64" not in decide(image, Box(9), rtol=1e-5).status
    model = ICNN(4, (6,), activation="softplus", context_features=2, generator=draw, dtype=torch.float64)
    theta = torch.randn(4, 2, generator=draw, dtype=torch.float64)
    once, again = decide(model, Simplex(4), theta), Decider(model, Simplex(4))
    torch.testing.assert_close(again(theta).value, once.value, rtol=0, atol=1e-6)
    torch.testing.assert_close(again(theta[:2]).value, once.value[:2], rtol=0, atol=1e-6)
    torch.testing.assert_close(decide(model, Simplex(4), theta, options=DecideOptions(jobs=2)).value, once.value)
    found = DecisionLayer(model, Simplex(4))(theta)
    torch.testing.assert_close(model(found, theta).detach(), once.value, rtol=0, atol=1e-6)
    module = torch.nn.Sequential(torch.nn.Linear(3, 1, dtype=torch.float64), torch.nn.Flatten(0))
    assert "Gaps are in plain float64" in decide(module, Box(3)).status


def test_single_decisions_are_parts_of_the_network() -> None:
    """Units, float32 and fewer contexts keep the smoothing."""
    surrogate = StackSurrogate.of(softplus_net(1))
    every = torch.zeros(3, dtype=torch.int64)
    for part in (surrogate.take(every), surrogate.short()):
        assert [layer.smoothing for layer in part.stack.layers] == [1.0, 0.25]
    assert Fraction(float(surrogate.stack.layers[0].unit(torch.zeros(1, dtype=torch.float64)))) > Fraction(69, 100)


@pytest.mark.parametrize(("width", "proven"), [(10.0, True), (1e9, False)])
def test_a_box_that_is_too_wide_for_a_proof_is_told(width: float, proven: bool) -> None:
    answer = decide(softplus_net(3, (0.5,), terms=True), Box(4, -width, width))
    assert answer.ok == proven
    assert ("far wider than the bends" in answer.status) == (not proven)
