"""Where decisions are not differentiable: kinks of units and norms, vertices, curved kinks."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decision import Box, Budget, DecisionLayer, FeasibleSet, Simplex
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic, Squares
from tests.support.layers import EXACT, errors, slope_of


class Scalar(nn.Module):
    """A convex function of one coordinate, by name."""

    def __init__(self, shape: str) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return f(x, theta)."""
        x, q = x[:, 0], theta[:, 0]
        if self.shape == "parabola":
            return (x - q).square()
        if self.shape == "unit":
            return torch.relu(x) + 0.5 * (x - q).square()
        return torch.linalg.vector_norm(torch.stack([x, 0.0 * x], dim=1), dim=1) + 0.5 * (x - q).square()


def slope_at(shape: str, q: float, lower: float, upper: float = 5.0) -> tuple[float, float]:
    """Return x and dx/dq."""
    theta = torch.tensor([[q]], dtype=torch.float64, requires_grad=True)
    x = DecisionLayer(Scalar(shape), Box(1, lower, upper))(theta)
    (slope,) = torch.autograd.grad(x.sum(), theta)
    return x.item(), slope.item()


class Laid(nn.Module):
    """A convex function whose kinks are computed in some layout."""

    def __init__(self, kinks: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.kinks = kinks

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """Return f(x, q)."""
        return (x - q).square().sum(dim=-1) + 10.0 * self.kinks(x)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    "kinks",
    [
        lambda x: torch.relu(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=x.dtype) @ x.T).sum(dim=0),
        lambda x: torch.linalg.vector_norm(x.T, dim=0),
    ],
    ids=["units", "norm"],
)
def test_kinks_that_are_not_one_row_per_point_are_refused(kinks: Callable[[Tensor], Tensor], count: int) -> None:
    q = torch.tensor([[1.0, -1.0]], dtype=torch.float64).expand(count, -1)
    with pytest.raises(ModelError, match=r"x @ W\.T in place of W @ x\.T"):
        DecisionLayer(Laid(kinks), Box(2, -2.0, 2.0))(q)


@pytest.mark.parametrize(
    "kinks",
    [
        lambda x: x.abs().sum(dim=1),
        lambda x: abs(x).sum(dim=1),
        lambda x: torch.maximum(x, -x).sum(dim=1),
        lambda x: torch.max(x, -2.0 * x).sum(dim=1),
        lambda x: (x.clamp(min=0.0) + (-x).clamp_min(0.0)).sum(dim=1),
        lambda x: (torch.clip(x, min=0.5) + nn.functional.leaky_relu(-2.0 * x, 0.1) + x.abs()).sum(dim=1),
        lambda x: nn.functional.leaky_relu(x, -0.5).sum(dim=1),
        lambda x: torch.norm(x, p=1, dim=-1),
        lambda x: torch.linalg.vector_norm(x, 1, -1),
        lambda x: x.norm(dim=1),
        lambda x: torch.norm(x, dim=1, keepdim=True)[:, 0],
        lambda x: torch.linalg.norm(x, dim=-1),
        lambda x: torch.linalg.vector_norm(x, ord=2, dim=[-1]),
    ],
)
def test_kinks_by_any_name_hold_x(kinks: Callable[[Tensor], Tensor]) -> None:
    """(x - q)^2 + 10 kinks(x - q + 1), least at x = q - 1 for every q."""
    q = torch.tensor([[1.0, -1.0], [0.5, 0.7]], dtype=torch.float64, requires_grad=True)

    class Moved(nn.Module):
        def forward(self, x: Tensor, q: Tensor) -> Tensor:
            return (x - q).square().sum(dim=-1) + 10.0 * kinks(x - q + 1.0)

    layer = DecisionLayer(Moved(), Box(2, -4.0, 4.0))
    x = layer(q)
    (slope,) = torch.autograd.grad((x * torch.tensor([1.0, 2.0])).sum(), q)
    assert layer.polished is not None
    assert bool(layer.polished.all())
    assert (x - q + 1.0).abs().max() <= 1e-12
    assert slope.numpy() == pytest.approx(np.array([[1.0, 2.0], [1.0, 2.0]]))


@pytest.mark.parametrize(
    ("name", "kinks"),
    [
        ("amax", lambda x: x.amax(dim=1)),
        ("max", lambda x: x.max(dim=1).values),
        ("clamp", lambda x: x.clamp(max=3.0).sum(dim=1)),
        ("sort", lambda x: x.sort(dim=1).values[:, -1]),
        ("minimum", lambda x: -torch.minimum(x, -x).sum(dim=1)),
        ("maximum", lambda x: torch.maximum(input=x, other=-x).sum(dim=1)),
        ("leaky_relu", lambda x: nn.functional.leaky_relu(1.0 * x, 0.1, inplace=True).sum(dim=1)),
    ],
)
def test_kinks_that_are_not_seen_are_refused(name: str, kinks: Callable[[Tensor], Tensor]) -> None:
    q = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    with pytest.raises(ModelError, match=f"calls {name} on what depends on x"):
        DecisionLayer(Laid(lambda x: 1e-9 * kinks(x)), Box(2, -2.0, 2.0), rtol=1e-3)(q)


def test_kinks_of_the_context_are_nobodys_business() -> None:
    class Shifted(nn.Module):
        def forward(self, x: Tensor, q: Tensor) -> Tensor:
            return (x - q.abs() - q.amax(dim=1, keepdim=True)).square().sum(dim=-1) + torch.relu(x).sum(dim=-1)

    q = torch.tensor([[1.0, -0.5]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(DecisionLayer(Shifted(), Box(2, -9.0, 9.0))(q).sum(), q)
    assert slope.numpy() == pytest.approx(np.array([[3.0, -1.0]]))


@pytest.mark.parametrize("dim", [(1, 2), (-1, -2), [2, 1]])
def test_a_norm_over_several_axes_holds_x_on_its_kink(dim: Sequence[int]) -> None:
    layer = DecisionLayer(Laid(lambda x: torch.linalg.vector_norm(x.reshape(-1, 2, 2), dim=dim)), Box(4, -20.0, 20.0))
    q = torch.tensor([[0.1, -0.1, 0.1, 0.1], [6.0, 0.0, 8.0, 0.0]], dtype=torch.float64, requires_grad=True)
    x = layer(q)
    assert torch.allclose(x[1], 0.5 * q[1], rtol=0.0, atol=1e-9)  # ||q|| = 10 and the norm takes 5 off
    x.sum().backward()
    assert layer.polished is not None
    assert layer.polished.all()
    assert q.grad is not None
    assert torch.equal(q.grad[0], torch.zeros(4, dtype=torch.float64))
    along = q.detach()[1] / 10.0
    assert torch.allclose(q.grad[1], 0.5 + 0.5 * along * along.sum(), rtol=0.0, atol=1e-9)


@pytest.mark.parametrize(("q", "x", "slope"), [(-0.5, 0.0, 0.0), (0.0, 0.0, 0.0), (0.5, 0.5, 1.0), (1e-6, 1e-6, 1.0)])
def test_the_positive_part_has_slope_zero_at_zero(q: float, x: float, slope: float) -> None:
    assert slope_at("parabola", q, 0.0) == pytest.approx((x, slope), abs=1e-12)


@pytest.mark.parametrize(
    ("q", "x", "slope"),
    [(-0.5, -0.5, 1.0), (0.0, 0.0, 0.0), (0.4, 0.0, 0.0), (1.0, 0.0, 0.0), (1.5, 0.5, 1.0)],
)
def test_a_unit_holds_x_on_its_kink_from_end_to_end(q: float, x: float, slope: float) -> None:
    assert slope_at("unit", q, -5.0) == pytest.approx((x, slope), abs=1e-9)


@pytest.mark.parametrize(("q", "x", "slope"), [(-1.5, -0.5, 1.0), (-1.0, 0.0, 0.0), (0.3, 0.0, 0.0), (2.0, 1.0, 1.0)])
def test_a_norm_holds_x_on_its_kink(q: float, x: float, slope: float) -> None:
    assert slope_at("norm", q, -5.0) == pytest.approx((x, slope), abs=1e-9)


class Linear(nn.Module):
    """v'x, which a set of several minimisers or a vertex decides."""

    def __init__(self, v: Sequence[float]) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.tensor(v, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return v'x."""
        return x @ self.v


@pytest.mark.parametrize("v", [(1.0, 2.0, 3.0), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0)], ids=["vertex", "edge", "everywhere"])
@pytest.mark.parametrize(
    "feasible_set", [Simplex(3), Box(3, 0.0, [1.0, 0.0, 1.0]), Budget(3, 3.0)], ids=lambda X: X.name
)
def test_where_nothing_moves_x_its_slope_is_zero(v: tuple[float, ...], feasible_set: FeasibleSet) -> None:
    layer = DecisionLayer(Linear(v), feasible_set)
    x = layer()
    (slope,) = torch.autograd.grad((x * slope_of(x)).sum(), layer.model.v)
    assert torch.equal(slope, torch.zeros_like(slope))


class Bowl(nn.Module):
    """relu(||F x||^2 - 1) + ||x - target||^2: the kink of its unit is a curve, on which the decision slides."""

    def __init__(self) -> None:
        super().__init__()
        self.F = nn.Parameter(torch.tensor([[1.0, 0.2], [0.0, 1.5]], dtype=torch.float64))

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        """Return f(x, target)."""
        unit = torch.relu((x @ self.F.T).square().sum(dim=-1, keepdim=True) - 1.0)
        return unit[:, 0] + 0.5 * (x - target).square().sum(dim=-1)

    def freeze(self, context: object = None) -> FrozenNet:
        """Return the same as arrays."""
        squares = Squares([1.0], self.F.detach().numpy(), [0.0, 0.0])
        layer = Layer(None, np.zeros((1, 2)), [-1.0], squares)
        offset = -np.asarray(context)
        return FrozenNet([layer], Output([1.0], [0.0, 0.0]), [Quadratic(0.5, np.eye(2), offset)])


def test_a_decision_slides_along_a_curved_kink() -> None:
    layer = DecisionLayer(Bowl(), Box(2, -3.0, 3.0))
    theta = torch.tensor([[0.2, 0.1], [1.0, 0.5], [-0.8, 1.2], [6.0, 5.0]], dtype=torch.float64, requires_grad=True)
    x = layer(theta)
    assert layer.polished is not None
    assert layer.polished.all()
    on_curve = (x @ layer.model.F.T).square().sum(dim=1) - 1.0
    assert (on_curve.abs() < 1e-12).tolist() == [False, True, True, False]
    assert errors(layer, theta, [theta, layer.model.F], step=1e-4).max() <= EXACT[torch.float64]
