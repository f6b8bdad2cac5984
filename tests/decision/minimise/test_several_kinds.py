"""Networks with several kinds of units in one layer are decided by their arrays, as all networks are."""

import pickle

import cvxpy as cp
import numpy as np
import pytest
import torch

from decision import Ball, Box, Budget, Decider, DecisionLayer, Polytope, Simplex, decide
from decision._minimise.growth import growth_bound
from decision._minimise.stack import Dual, Stack
from decision._minimise.stack_surrogate import StackSurrogate
from decision.learning import Ensemble
from socicnn import ICNN, to_cvxpy
from socicnn.frozen import FrozenNet, Layer, Output
from tests.support.cases import generator
from tests.support.softplus import HighPrecision, exponential_net, softplus_net

NETS = {
    "one layer": softplus_net(0, ((0.0, 1.0),)),
    "quadratics inside, branches": softplus_net(1, ((0.0, 0.5), (1.0, 0.0, 0.25)), terms=True),
    "above ReLU": softplus_net(2, (0.0, (0.3, 0.0))),
    "below ReLU": softplus_net(5, ((0.3, 0.0), 0.0, (0.0, 0.1))),
    "sharp": softplus_net(6, ((1e-3, 0.0, 10.0), 0.5)),
    "smooth branches": exponential_net(3),
}
QUICK = ("quadratics inside, branches", "below ReLU")
SETS = {"box": Box(4, -1.0, 1.0), "simplex": Simplex(4), "budget": Budget(4, 2.0)}
METHODS = ("auto", "interior_point", "central_path", "projected_gradient", "exact")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETS]
)
def test_every_method_finds_the_minimum_of_the_exact_program(name: str) -> None:
    net, region = NETS[name], SETS[list(SETS)[list(NETS).index(name) % 3]]
    x, rows = cp.Variable(4), region.rows()
    zero = rows.cones.zero
    held = [rows.G[:zero] @ x == rows.h[:zero], rows.G[zero:] @ x <= rows.h[zero:]]
    least = float(cp.Problem(cp.Minimize(to_cvxpy(net, x)), held).solve(solver="CLARABEL"))
    for method in METHODS:
        found = decide(net, region, method=method)  # type: ignore[arg-type]
        assert float(found.relative_gap) <= (1e-6 if method == "auto" else 2e-6), (method, found.status)
        assert "float64" not in found.status
        assert float(found.value - found.gap) <= least + 1e-6 * (1 + abs(least))
        assert abs(float(found.value) - least) <= 1e-5 * (1 + abs(least)), method


@pytest.mark.parametrize("name", NETS)
def test_gaps_are_proven(name: str) -> None:
    """f(x) - gap is below f in 1,000 bits at many points of the set, the decision's own among them."""
    flint = pytest.importorskip("flint")
    net, rng = NETS[name], np.random.default_rng(0)
    for feasible_set in (Box(4, -1, 1), *([Ball(4, 2.0).fixed()] if name == "sharp" else [])):
        answer = decide(net, feasible_set)
        assert answer.certified.all(), answer.notes
        below, exact = flint.arb(float(answer.value[0] - answer.gap[0])), HighPrecision(net)
        points = feasible_set.project(torch.tensor(rng.normal(size=(20, 4)))).numpy()
        near = feasible_set.project(answer.x + 1e-3 * torch.tensor(rng.normal(size=(20, 4)))).numpy()
        for point in (*points, *near, answer.x[0].numpy()):
            assert below <= exact(point)


def test_constraints_whole_numbers_and_wide_boxes() -> None:
    net = softplus_net(2, ((0.5, 0.0), (0.0, 0.3)), terms=True)
    shape = Polytope([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 0.0, 0.0]], [1.5, 0.5], lower=-1.0, upper=2.0)
    found, x = decide(net, shape), cp.Variable(4)
    assert bool(found.ok), found.status
    held = [x >= -1, x <= 2, cp.sum(x) <= 1.5, x[0] - x[1] <= 0.5]
    assert abs(float(found.value) - cp.Problem(cp.Minimize(to_cvxpy(net, x)), held).solve(solver="CLARABEL")) <= 1e-4
    whole = decide(net, Box(4, -1.0, 1.0), integer=[0, 1, 2, 3])
    assert bool(whole.ok), whole.status
    points = np.stack(np.meshgrid(*[np.arange(-1.0, 2.0)] * 4), axis=-1).reshape(-1, 4)
    assert abs(float(whole.value) - net(points).min()) <= 1e-9


@pytest.mark.parametrize(
    "width", [pytest.param(1e2, marks=pytest.mark.slow), 1e6, pytest.param(1e12, marks=pytest.mark.slow)]
)
def test_kinks_or_curvature_hold_x_back(width: float) -> None:
    """Over boxes of any width, whichever units of the first layer do it; wild guesses stay below."""
    rng = np.random.default_rng(5)
    for seed in range(2):
        U, taus = rng.normal(size=(9, 3)), np.resize([0.0, 10.0 ** rng.uniform(-1, 1)][:: 1 - 2 * (seed % 2)], 18)
        layer = Layer(None, np.vstack([U, -U]), rng.normal(size=18), None, taus)
        net = FrozenNet([layer], Output(rng.uniform(0.5, 1, size=18), 0.1 * rng.normal(size=3)))
        least = decide(net, Box(3, -40.0, 40.0), rtol=1e-9)
        wide = decide(net, Box(3, -width, width))
        assert bool(wide.ok), (seed, wide.status)
        assert abs(float(wide.value - least.value)) <= 2e-6 * float(least.scale)
        for off in (0.0, 1e-3, 1.0):
            stack, x = Stack.of(net), least.x + off
            for guess in (stack.zero_dual(x), Dual((torch.rand_like(stack.layers[0].b),), (), ())):
                bound = growth_bound(stack, Box(3, -width, width), x, guess, torch.zeros(1, dtype=torch.float64))
                assert float(bound) <= float(least.value)


def test_an_ensemble_of_several_activations_is_one_network() -> None:
    made = [ICNN(3, (4, 3), activation=kind, generator=generator(0)) for kind in ("relu", "softplus")]
    ensemble = Ensemble(made)
    net = ensemble.freeze()
    assert [layer.smoothing.tolist() for layer in net.layers] == [[0.0] * 4 + [1.0] * 4, [0.0] * 3 + [1.0] * 3]
    x = np.random.default_rng(1).normal(size=(5, 3))
    np.testing.assert_allclose(net(x), (made[0].freeze()(x) + made[1].freeze()(x)) / 2, rtol=1e-12)
    assert decide(ensemble, Box(3, -1, 1)).certified.all()


def test_a_batch_is_decided_as_one_by_one() -> None:
    kinds = ("relu", "softplus")
    model = Ensemble([ICNN(4, (6, 5), activation=kind, context_features=2, generator=generator(3)) for kind in kinds])
    model = model.double()
    theta = torch.randn(3, 2, generator=generator(4), dtype=torch.float64)
    region = SETS["simplex"]
    found = decide(model, region, theta)
    assert bool(found.certified.all()), found.status
    alone = torch.cat([decide(model.freeze(row), region).value for row in theta])
    torch.testing.assert_close(found.value, alone, rtol=0, atol=2e-6 * float(found.scale.max()))
    torch.testing.assert_close(Decider(model, region)(theta).value, found.value, rtol=0, atol=2e-6)
    again = pickle.loads(pickle.dumps(StackSurrogate.of(model.freeze(theta)).take(torch.arange(2))))
    torch.testing.assert_close(again.value(found.x[:2]) + again.constant, found.value[:2])
    leaf = theta.clone().requires_grad_()
    x = DecisionLayer(model, SETS["simplex"])(leaf)
    x.square().sum().backward()
    assert leaf.grad is not None
    assert bool(leaf.grad.isfinite().all())
