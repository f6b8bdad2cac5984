"""Softplus networks and modules as users hand them to `decide`: methods, limits, images, and what is refused."""

from typing import Any

import cvxpy
import pytest
import torch
from torch import nn

from decision import surrogates
from decision._deciding import decide
from decision._minimise.methods import LARGEST_HESSIAN
from decision._options import DecideOptions
from decision._region import Region
from decision.baselines import StructuredDCP
from decision.sets import Box, Simplex
from socicnn.errors import ModelError, NoProgramError
from socicnn.nn import ICNN, ConvSOCICNN
from tests.support.cases import generator
from tests.support.modules import Kinked, Opaque, contexts


@pytest.mark.parametrize("name", ["softplus-joint", "softplus-partial", "structured-dcp"])
def test_every_method_takes_softplus_networks(name: str) -> None:
    options: dict[str, Any] = {"generator": generator(0), "dtype": torch.float64}
    structured = name == "structured-dcp"
    model = StructuredDCP(4, 3, rows=3, **options) if structured else surrogates.make(name, 4, 3, **options)
    region = Region.of(Simplex(4).sample(50, generator(0)) * 0.2)
    found = decide(model, Simplex(4), contexts(), region=region)
    assert found.method == "auto"
    assert bool(found.certified.all()), found.status
    assert found.rtol == 1e-6
    assert "in plain float64" not in found.status, "arrays with softplus units prove their gaps"
    assert found.outside is not None
    for method in ("central_path", "projected_gradient", "exact", "interior_point"):
        other = decide(model, Simplex(4), contexts(), method=method, rtol=1e-4)
        assert bool(other.certified.all()), other.status
        assert (other.value >= found.value - found.gap).all()
        assert (found.value >= other.value - other.gap).all()
    x = cvxpy.Variable(4)
    other = decide(model, [x >= 0, cvxpy.sum(x) == 1], contexts())
    assert bool(other.certified.all()), other.status
    torch.testing.assert_close(other.value, found.value, rtol=0, atol=1e-5)
    for method in ("exact", "interior_point"):
        with pytest.raises(NoProgramError, match="it has no `freeze`"):
            decide(Opaque(model), Simplex(4), contexts(), method=method)
    with pytest.raises(NoProgramError, match=r"needs a set with exact oracles.* a method freeze\(context\)"):
        decide(Opaque(model), [x >= 0, cvxpy.sum(x) == 1], contexts())


def test_networks_without_a_context_and_images_are_decided() -> None:
    plain = ICNN(4, (6, 5), activation="softplus", generator=generator(0), dtype=torch.float64)
    found = decide(plain, Box(4))
    assert found.x.shape == (1, 4)
    assert found.context is None
    assert bool(found.certified.all()), found.status
    x = Box(4).sample(2000, generator(1))
    assert (plain(x) >= found.value - found.gap).all()
    image = ConvSOCICNN((1, 4, 4), (2,), activation="softplus", generator=generator(0))
    assert bool(decide(image, Box(16), rtol=1e-5).certified.all())


def test_limits_are_kept() -> None:
    model = surrogates.make("softplus-joint", 4, 3, generator=generator(0), hidden_features=(9, 7))
    few = decide(model, Simplex(4), contexts(), options=DecideOptions(max_iterations=3))
    assert int(few.iterations.max()) == 3
    assert not bool(few.certified.any())
    assert (few.gap >= 0).all()
    late = decide(model, Simplex(4), contexts(), time_limit=1e-9)
    assert int(late.iterations.max()) == 0
    assert bool(late.gap.isfinite().all())


def test_the_surrogate_is_left_as_it_was() -> None:
    model = surrogates.make("softplus-joint", 3, 2, generator=generator(0), hidden_features=(5, 5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    region = Region.of(Box(3).sample(50, generator(0)) * 0.2)
    found = decide(model, Box(3), contexts(4, 2), rtol=1e-4, region=region)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert found.outside is not None
    assert torch.equal(found.outside, region.outside(found.x))


def test_loose_tensors_that_require_gradients_are_refused() -> None:
    class Loose(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = [torch.ones(3, dtype=torch.float64, requires_grad=True)]

        def forward(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
            return (torch.relu(self.weights[0]) * x).sum(dim=-1)

    with pytest.raises(ModelError, match="holds tensors that require gradients and are not its parameters"):
        decide(Loose(), Simplex(3), torch.zeros(2, 2))


def test_what_cannot_be_is_refused() -> None:
    model = surrogates.make("softplus-partial", 3, 2, hidden_features=(4,))
    with pytest.raises(ModelError, match=r"context must have shape \(2\) or \(contexts, 2\); received \(3,\)"):
        decide(model, Simplex(3), torch.zeros(3))
    with pytest.raises(ModelError, match=r"context must have shape \(contexts, p\); received \(2, 1, 1\)"):
        decide(Kinked(4, 1.0), Simplex(4), torch.zeros(2, 1, 1))
    wide = ICNN(LARGEST_HESSIAN + 1, (8,), activation="softplus", generator=generator(0))
    with pytest.raises(ModelError, match="central_path needs a set with linear rows and an interior, and at most 200"):
        decide(wide, Box(LARGEST_HESSIAN + 1), method="central_path")
    with pytest.raises(ModelError, match="context has 1 non-finite entries; remove or replace them"):
        decide(model, Simplex(3), torch.tensor([[0.0, 1.0], [torch.nan, 0.0]]))
    with pytest.raises(ModelError, match="the set has 4 coordinates, the network 3 inputs"):
        decide(model, Simplex(4), torch.zeros(1, 2))
    with pytest.raises(ModelError, match="time_limit must be a positive number of seconds; received -1"):
        decide(model, Simplex(3), torch.zeros(1, 2), time_limit=-1)
    with pytest.raises(ModelError, match="rtol must be a positive number; received 0"):
        decide(model, Simplex(3), torch.zeros(1, 2), rtol=0)


@pytest.mark.parametrize("most", [1, 3, 13])
def test_first_order_steps_are_counted_one_by_one(most: int) -> None:
    """With more inputs than Newton's method is for."""
    model = Opaque(ICNN(LARGEST_HESSIAN + 1, (8,), context_features=1, activation="softplus", generator=generator(0)))
    answer = decide(
        model, Box(LARGEST_HESSIAN + 1), torch.zeros(1, 1), rtol=1e-12, options=DecideOptions(max_iterations=most)
    )
    assert answer.iterations.tolist() == [most]


@pytest.mark.parametrize("shape", ["column", "number", "float32"])
def test_one_value_a_row_is_asked_for(shape: str) -> None:
    class Wrong(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            value = x.square().sum(dim=1)
            return {"column": value[:, None], "number": value.sum(), "float32": value.float()}[shape]

    with pytest.raises(ModelError, match=r"the module must give one float64 value per row, shape \(9,\); received"):
        decide(Wrong(), Box(2))


@pytest.mark.parametrize("method", ["auto", "projected_gradient"])
def test_modules_are_decided_where_gradients_are_off(method: str) -> None:
    model = surrogates.make("softplus-partial", 3, generator=generator(1), dtype=torch.float64)
    theta = torch.randn(3, 8, generator=generator(2), dtype=torch.float64)
    with torch.no_grad():
        answer = decide(model, Simplex(3), theta, method, rtol=1e-3)  # type: ignore[arg-type]
    assert answer.ok
    assert torch.equal(answer.x, decide(model, Simplex(3), theta, method, rtol=1e-3).x)  # type: ignore[arg-type]


@pytest.mark.parametrize("power", [1.5, 2.0])
@pytest.mark.parametrize("shift", [0.2, 9.0])
def test_powers_of_positive_parts_are_decided(power: float, shift: float) -> None:
    """Smoothed below 0, 40 squares of units that are off raise f: "a lower bound lies above the value"."""

    class Hinges(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = torch.linspace(-2, 2, 40, dtype=torch.float64)[:, None] * torch.tensor([1.0, -0.5, 0.3, 0.7])
            zero = torch.zeros(1, dtype=torch.float64)
            hinges = (x @ rows.T - shift).clamp(min=0) ** power + torch.maximum(x @ rows.T - shift, zero) ** power
            return hinges.sum(dim=-1) + torch.logsumexp(3.0 * x, dim=-1) + torch.relu(x - 0.3).sum(dim=-1)

    answer = decide(Hinges(), Box(4, -1.0, 1.0))
    assert bool(answer.certified.all()), answer.status
    x = Box(4, -1.0, 1.0).sample(2000, generator(1))
    assert (Hinges()(x) >= answer.value - answer.gap).all()
