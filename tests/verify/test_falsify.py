"""The search for counterexamples: it finds planted ones, and none where there is none."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import verify
from decision.sets import Simplex
from socicnn.errors import ModelError
from socicnn.frozen import Layer
from socicnn.nn import SOCICNN
from tests.support.frozen_nets import NETS, random_net


def planted(seed: int, size: float, n: int = 6) -> SOCICNN:
    """Return a 32 x 3 network with one hidden weight turned so far that midpoints are violated by `size` (1 + |f|).

    Where the unit below switches on and those above are active, f bends down by delta along the unit's normal and up
    by the curvature of the quadratics: the midpoint violation of half length h is delta h / 2 - c h^2.
    """
    model = SOCICNN(n, (32, 32, 32), (n,), (n,), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rng = np.random.default_rng(seed)
    net = model.freeze()
    holder = next(
        weight for name, weight in model.named_parameters() if name.startswith("W.") and name.endswith("theta")
    )
    start = holder.detach().clone()
    for _ in range(1000):  # a point of the box on the hyperplane of some unit of the first layer
        unit = int(rng.integers(32))
        U, b = net.layers[0].U[unit], net.layers[0].b[0, unit]
        x = rng.uniform(-2, 2, size=n)
        x -= (U @ x + b) * U / (U @ U)
        if np.abs(x).max() < 1.8:
            break
    d = torch.tensor(U / np.linalg.norm(U))
    h = torch.logspace(-6, 0, 400, dtype=torch.float64)[:, None]
    point = torch.tensor(x)

    def violation(amount: float) -> float:
        with torch.no_grad():
            holder.copy_(start)
            holder[:, unit] -= amount
            f = model(point)
            chords = (model(point + h * d) + model(point - h * d)) / 2
            return float(((f - chords) / (1 + f.abs())).max())

    low, high = 0.0, 1e3
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if violation(middle) < size else (low, middle)
    assert size * 0.5 < violation(high) < size * 2
    return model


@pytest.mark.parametrize("seed", range(4))
def test_a_planted_violation_is_found(seed: int) -> None:
    model = planted(seed, 1e-6)
    found = verify.falsify(model, (-2.0, 2.0), evaluations=500_000)
    assert found.violated
    assert found.kind == "midpoint"
    assert found.violation >= 1e-6 / 2
    assert found.evaluations <= 500_000
    first, last = torch.tensor(found.points)
    f = lambda point: model(point).detach()  # noqa: E731 (local shorthand)
    gap = f((first + last) / 2) - (f(first) + f(last)) / 2
    assert float(gap) / (1 + abs(float(f(first)))) == pytest.approx(found.violation, rel=0.2)
    assert "violation found" in str(found)
    assert "negative" in found.detail


@pytest.mark.parametrize("seed", range(3))
def test_honest_networks_yield_none(seed: int) -> None:
    model = SOCICNN(6, (32, 32, 32), (6,), (6,), generator=torch.Generator().manual_seed(seed))
    found = verify.falsify(model, (-2.0, 2.0), evaluations=100_000)
    assert not found.violated, str(found)
    assert found.violation < 1e-12


@pytest.mark.parametrize("name", ["soc", "relu", "one_input", "affine"])
def test_frozen_networks_yield_none(name: str) -> None:
    net = random_net(2, **NETS[name])
    found = verify.falsify(net, (-3.0, 3.0), evaluations=30_000)
    assert not found.violated, str(found)


def test_a_concave_function_is_found_everywhere() -> None:
    found = verify.falsify(lambda x: -(x**2).sum(axis=1), (np.zeros(3), np.ones(3)), evaluations=10_000)
    assert found.violated
    assert found.violation > 0.1


def test_a_wrong_slope_is_found() -> None:
    """Convex values with a gradient that is not theirs: the cut is violated and nothing else."""

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x**2).sum(-1)

        @staticmethod
        def backward(ctx, upstream):
            (x,) = ctx.saved_tensors
            return 4 * x * upstream[..., None]

    class Wrong(torch.nn.Module):
        def forward(self, x):
            return Doubled.apply(x)

    found = verify.falsify(Wrong(), (-np.ones(2), np.ones(2)), evaluations=20_000)
    assert found.violated
    assert found.kind == "cut"


def test_a_program_of_another_network_is_found() -> None:
    class Wrong(SOCICNN):
        def freeze(self, context=None):
            net = super().freeze(context)
            first, *others = net.layers
            return replace(net, layers=[Layer(None, first.U, first.b + 0.01), *others])

    found = verify.falsify(Wrong(3, (8, 8)), (-1.0, 1.0), evaluations=10_000)
    assert found.violated
    assert found.kind == "value"
    assert found.points.shape == (1, 3)


def test_contexts_and_feasible_sets() -> None:
    model = SOCICNN(4, (8,), (4,), (4,), context_features=2)
    found = verify.falsify(model, Simplex(4), torch.randn(2), evaluations=20_000)
    assert not found.violated
    assert found.points.sum(axis=1) == pytest.approx(1.0)


def test_bounds_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="bounds"):
        verify.falsify(random_net(1), (1.0, -1.0))
    with pytest.raises(ModelError, match="bounds"):
        verify.falsify(lambda x: x.sum(axis=1), (0.0, 1.0))
    with pytest.raises(ModelError, match="one value per point"):
        verify.falsify(lambda x: x, (np.zeros(2), np.ones(2)))
    with pytest.raises(ModelError, match="not finite"):
        verify.falsify(lambda x: np.where(x[:, 0] > 0.5, np.nan, 0.0), (np.zeros(2), np.ones(2)))
    with pytest.raises(ModelError, match="evaluations"):
        verify.falsify(random_net(1), (-1.0, 1.0), evaluations=10)


@pytest.mark.parametrize("n", [2, 50])
def test_evaluations_are_what_the_model_is_asked_for(n: int) -> None:
    asked = []

    def bowl(x: np.ndarray) -> np.ndarray:
        asked.append(len(x))
        return (x**2).sum(axis=1)

    found = verify.falsify(bowl, (-np.ones(n), np.ones(n)), evaluations=20_000)
    assert not found.violated
    assert found.evaluations == sum(asked) <= 20_000


def test_functions_may_return_lists() -> None:
    found = verify.falsify(lambda x: [-float(row @ row) for row in x], (-np.ones(2), np.ones(2)), evaluations=5_000)
    assert found.violated
    with pytest.raises(ModelError, match="what the function returns must hold real numbers; received text"):
        verify.falsify(lambda x: ["high"] * len(x), (-np.ones(2), np.ones(2)), evaluations=5_000)


def test_a_region_by_its_protocol() -> None:
    class Ball:
        def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
            return self.project(torch.randn(count, 3, generator=generator, dtype=torch.float64))

        def project(self, x: torch.Tensor) -> torch.Tensor:
            return x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=1.0)

    found = verify.falsify(lambda x: -(x**2).sum(axis=1), Ball(), evaluations=10_000)
    assert found.violated
    assert np.linalg.norm(found.points, axis=1).max() <= 1 + 1e-12


class Constant(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_full((len(x),), 3.0)


def test_a_constant_module_has_slopes_of_zero() -> None:
    assert not verify.falsify(Constant(), (np.zeros(2), np.ones(2)), evaluations=5_000).violated


@pytest.mark.parametrize("region", [2, [np.zeros(2)], None])
def test_what_is_no_region_is_refused(region: Any) -> None:
    with pytest.raises(ModelError, match=r"the region must be bounds \(lower, upper\), or a set"):
        verify.falsify(Constant(), region)


@pytest.mark.parametrize("width", [1.0, 100.0, 1e5])
def test_what_central_differences_miss_is_no_violation(width: float) -> None:
    """Rounding, divided by the step and multiplied by the width, was a cut above an affine function."""
    slopes = np.arange(1.0, 4.0)
    found = verify.falsify(lambda x: x @ slopes, (np.full(3, -width), np.full(3, width)), evaluations=60_000)
    assert not found.violated, found


def test_terms_that_cancel_are_no_violation() -> None:
    """A value near zero tells nothing of the rounding in its terms: this was a cut 8e-8 above an affine function."""
    slopes = np.random.default_rng(2).normal(size=50)
    found = verify.falsify(lambda x: x @ slopes, (np.full(50, -1e5), np.full(50, 1e5)), evaluations=300_000, seed=2)
    assert not found.violated, found


def test_a_kink_between_the_ends_of_a_difference_is_no_violation() -> None:
    """The points are next to the kink, where a central difference is no slope of either side."""

    class Near:
        def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
            return 1e-7 * torch.rand(count, 1, generator=generator, dtype=torch.float64)

        def project(self, x: torch.Tensor) -> torch.Tensor:
            return x.clamp(0.0, 1e-7)

    found = verify.falsify(lambda x: np.abs(x[:, 0] - 0.5e-7), Near(), evaluations=10_000, threshold=1e-12)
    assert not found.violated, found


@pytest.mark.parametrize("search", ["falsify", "equivalence"])
def test_noise_of_training_is_no_violation(search: str) -> None:
    model = SOCICNN(2, (4, 3), (2,), (2,), positivity="noisy", dtype=torch.float64, generator=torch.manual_seed(0))
    assert model.training
    if search == "falsify":
        assert verify.falsify(model, (-1.0, 1.0), evaluations=12_000).ok
    else:
        verify.equivalence(model, torch.randn(5, 2, dtype=torch.float64), solvers=()).raise_if_failed()
    assert model.training


def test_a_context_for_what_takes_none_is_refused() -> None:
    """It was left out, so that the search was for another function."""
    with pytest.raises(ModelError, match="a function takes x alone; leave `context` out"):
        verify.falsify(lambda x: (x**2).sum(axis=1), (np.zeros(2), np.ones(2)), [1.0])
    with pytest.raises(ModelError, match="a FrozenNet already has its context; leave `context` out"):
        verify.falsify(random_net(1), (-1.0, 1.0), [1.0])
