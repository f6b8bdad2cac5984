"""Decision layers over sets of conic rows, and gradients in their right-hand sides."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from decision import (
    Affine,
    Ball,
    Box,
    Budget,
    ConicSet,
    DecisionLayer,
    Ellipsoid,
    Horizon,
    Intersection,
    Polytope,
    Product,
    Simplex,
    surrogates,
)
from decision._layer.rows import SetRows
from socicnn import SOCICNN, NetOptions
from socicnn.errors import ProgramError, SolverError
from socicnn.frozen import FrozenNet, Output
from tests.support.cases import generator
from tests.support.differences import central, directions_of

N = 5


def contexts(count: int) -> Tensor:
    return torch.randn(count, 8, generator=generator(3), dtype=torch.float64)


def test_a_violation_is_relative_to_its_own_row() -> None:
    region = Polytope(A=[[1.0, 1.0, 0.0]], b=[1.4], lower=0.0, upper=[5.0, 5.0, 1e8])
    rows, h = SetRows.of(region.system), region.right_hand_sides()
    x = torch.tensor([[1.0, 0.401, 1e8], [0.0, -1e-3, 1e8], [0.4, 1.0, 1e8]], dtype=torch.float64)
    torch.testing.assert_close(
        rows.violation(x, h.expand(3, -1)), torch.tensor([1e-3 / 1.401, 1.0, 0.0], dtype=torch.float64)
    )


def surrogate() -> nn.Module:
    return surrogates.make("soc-partial", N, generator=generator(1), dtype=torch.float64)


def matrix(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=generator(rows), dtype=torch.float64)


SETS: dict[str, Callable[[Tensor], ConicSet]] = {
    "polytope": lambda b: Polytope(A=matrix(3, N), b=0.2 + 0.1 * b[:3], lower=-1.0 + 0.1 * b, upper=1.0),
    "equalities": lambda b: Polytope(E=matrix(2, N), f=0.1 * b[:2], lower=-1.0, upper=1.0 + 0.1 * b),
    "ball": lambda b: Ball(N, 0.3 + 0.1 * b[:1].abs(), 0.1 * b),
    "cross": lambda b: Ball(N, 0.5 + 0.1 * b[:1].abs(), 0.1 * b, norm="1"),
    "cube": lambda b: Ball(N, 0.3 + 0.1 * b[:1].abs(), 0.1 * b, norm="inf"),
    "ellipsoid": lambda b: Ellipsoid(0.5 * matrix(N, N) + torch.eye(N).double(), 0.1 * b, 0.4 + 0.1 * b[:1].abs()),
    "intersection": lambda b: Intersection(
        [Ball(N, 0.6 + 0.1 * b[:1].abs()), Polytope(lower=-0.2 + 0.05 * b, upper=0.4)]
    ),
    "product": lambda b: Product([Simplex(2), Ball(3, 0.3 + 0.1 * b[:1].abs(), 0.1 * b[:3])]),
    "horizon": lambda b: Horizon(
        Box(2, -1.0, 1.0),
        5,
        link=([[1.0, 0.0]], [[-0.9, -1.0]], 0.05 * b[:1]),
        first=([[1.0, 0.0]], 0.3 * b[1:2]),
        inputs=[1],
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_gradients_in_right_hand_sides_are_those_of_differences(name: str) -> None:
    layer, theta = DecisionLayer(surrogate(), SETS[name](torch.ones(N, dtype=torch.float64))), contexts(4)
    b = torch.ones(N, dtype=torch.float64, requires_grad=True)
    moved = [b, *layer.model.parameters()]
    directions = directions_of(moved)
    both = lambda: torch.cat([(o := layer.optimum(theta, SETS[name](b))).x, o.value[:, None]], dim=1)  # noqa: E731
    differences, finer = (central(both, moved, directions, step) for step in (2e-4, 1e-4))
    smooth = (differences - finer).abs().amax(dim=1) <= 1e-7 * finer.norm(dim=1).clamp(min=1e-3)
    assert int(smooth.sum()) >= 2, "most contexts ought to keep their face"
    found = both()
    assert layer.polished is not None
    assert layer.polished.all()
    slope = torch.randn(found.shape, generator=generator(5), dtype=torch.float64)
    for i in smooth.nonzero()[:, 0].tolist():
        parts = torch.autograd.grad((slope[i] * found[i]).sum(), moved, retain_graph=True, allow_unused=True)
        along = sum((a * d).sum() for a, d in zip(parts, directions, strict=True) if a is not None)
        assert (along - (slope[i] * finer[i]).sum()).abs() <= 1e-8 * slope[i].norm() * finer[i].norm().clamp(min=1e-3)


def test_each_context_has_its_own_set() -> None:
    layer, theta = DecisionLayer(surrogate(), Box(N)), contexts(3)
    upper = (0.3 + 0.1 * torch.arange(3 * N, dtype=torch.float64).reshape(3, N).sin()).requires_grad_()
    x = layer(theta, Polytope(lower=0.0, upper=upper, E=torch.ones(1, N), f=[1.0]))
    alone = torch.stack(
        [layer(theta[i], Polytope(lower=0.0, upper=upper[i], E=torch.ones(1, N), f=[1.0])) for i in range(3)]
    )
    assert torch.allclose(x, alone, rtol=0.0, atol=1e-10)
    slope = torch.randn(x.shape, generator=generator(1), dtype=torch.float64)
    both = [torch.autograd.grad((slope * one).sum(), upper)[0] for one in (x, alone)]
    assert both[0].abs().max() > 0.1
    assert torch.allclose(*both, rtol=0.0, atol=1e-9)


def test_contexts_move_the_set_and_the_function() -> None:
    weight = 0.1 * matrix(N, 8)
    layer = DecisionLayer(
        surrogate(), Polytope(lower=Affine(torch.full((N,), -0.5), weight), upper=1.0, E=torch.ones(1, N), f=[0.5])
    )
    theta = contexts(4).requires_grad_()
    directions = directions_of([theta])
    differences, finer = (central(lambda: layer(theta), [theta], directions, step) for step in (2e-4, 1e-4))
    x = layer(theta)
    slope = torch.randn(x.shape, generator=generator(1), dtype=torch.float64)
    (found,) = torch.autograd.grad((slope * x).sum(), theta)
    smooth = (differences - finer).norm(dim=1) <= 1e-7
    assert int(smooth.sum()) >= 2
    error = ((found * directions[0]).sum(dim=1) - (slope * finer).sum(dim=1)).abs()
    assert error[smooth].max() <= 1e-8


class Quadratic(nn.Module):
    """||x - target||^2 without a context."""

    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.target = nn.Parameter(target)

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        return (x - self.target).square().sum(dim=-1)


def test_projections_onto_a_ball_have_the_known_derivative() -> None:
    target = torch.tensor([3.0, 4.0], dtype=torch.float64)
    radius = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    layer = DecisionLayer(Quadratic(target), Ball(2))
    x, value = layer.optimum(None, Ball(2, radius))
    unit = target / 5.0
    assert torch.allclose(x, 2.0 * unit, rtol=0.0, atol=1e-12)
    rows = [torch.autograd.grad(x[j], [layer.model.target, radius], retain_graph=True) for j in range(2)]
    jacobian = torch.stack([row[0] for row in rows])
    assert torch.allclose(jacobian, 2.0 / 5.0 * (torch.eye(2) - unit[:, None] * unit[None]), rtol=0.0, atol=1e-12)
    assert torch.allclose(torch.cat([row[1] for row in rows]), unit, rtol=0.0, atol=1e-12)
    (slope,) = torch.autograd.grad(value, radius)
    assert slope.item() == pytest.approx(-2.0 * 3.0, abs=1e-9)  # d/dr (5 - r)^2


def test_a_set_keeps_its_graph_whoever_asks_first_and_however_often() -> None:
    layer, theta = DecisionLayer(surrogate(), Simplex(N)), contexts(2)
    total = torch.tensor([0.3], requires_grad=True)  # float32: the set holds a copy
    inner = Polytope(E=torch.ones(1, N), f=total, lower=0.0)
    made = Intersection([inner, Ball(N, 1.0)])
    with torch.no_grad():
        layer(theta, made)
    slopes = [torch.autograd.grad(layer.optimum(theta, made).value.sum(), total)[0] for _ in range(2)]
    assert slopes[0] != 0.0
    assert torch.equal(*slopes)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_set_whose_tensors_an_optimiser_has_changed_is_refused(kind: torch.dtype) -> None:
    budget = nn.Parameter(torch.tensor([0.3], dtype=kind))
    step = torch.optim.SGD([budget], lr=0.1)
    layer = DecisionLayer(surrogate(), Polytope(A=torch.ones(1, N), b=budget, lower=0.0))
    layer(contexts(2)).sum().backward()
    step.step()
    with pytest.raises(ProgramError, match="has changed since"):
        layer(contexts(2))
    assert layer(contexts(2), Polytope(A=torch.ones(1, N), b=budget, lower=0.0)).shape == (2, N)


LEARNED = torch.ones(N, requires_grad=True)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Box(N, 0.0, LEARNED), "upper of the Box"),
        (lambda: Polytope(A=LEARNED[None], b=[1.0], lower=0.0), "A of the Polytope"),
        (lambda: Intersection([Ellipsoid(LEARNED), Box(N)]), "B of the Ellipsoid"),
        (lambda: Horizon(Box(1), N, link=(LEARNED[:1, None], [[-1.0]], [0.0])), "P of the Horizon"),
        (lambda: Budget(N, LEARNED[0]), "total of the Budget"),
    ],
)
def test_numbers_of_a_set_that_have_no_gradients_are_refused(make: Callable[[], ConicSet], name: str) -> None:
    with pytest.raises(ProgramError, match=f"{name} would get no gradients"):
        DecisionLayer(surrogate(), make())


def test_an_empty_set_is_an_error() -> None:
    layer, theta = DecisionLayer(surrogate(), Box(N)), contexts(2)
    with pytest.raises((ProgramError, SolverError), match=r"empty|infeasible"):
        layer(theta, Polytope(A=torch.ones(1, N), b=[-1.0], lower=0.0))


def test_only_sets_with_rows_will_do() -> None:
    with pytest.raises(ProgramError, match=r"needs a set of `decision\.sets` with conic rows; received list"):
        DecisionLayer(surrogate(), [])  # type: ignore[arg-type]


def test_at_a_degenerate_vertex_dependent_constraints_share() -> None:
    v = nn.Parameter(torch.tensor([-1.0, -1.0], dtype=torch.float64))

    class Slope(nn.Module):
        """v'x."""

        def __init__(self) -> None:
            super().__init__()
            self.v = v

        def forward(self, x: Tensor) -> Tensor:
            """Return f(x)."""
            return x @ self.v

        def freeze(self, context: object = None) -> FrozenNet:
            """Return the same as arrays."""
            return FrozenNet([], Output([], self.v.detach().numpy()), [])

    b = torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)  # x <= 1, y <= 1, x + y <= 2
    triangle = Polytope(A=[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], b=b, lower=-1.0)
    x = DecisionLayer(Slope(), triangle)(None)
    assert torch.allclose(x, torch.ones(2, dtype=torch.float64), rtol=0.0, atol=1e-12)
    J = torch.stack([torch.autograd.grad(x[j], b, retain_graph=True)[0] for j in range(2)])
    # a mean of the three vertices that two of the constraints give
    pairs = [
        torch.tensor(pair, dtype=torch.float64)
        for pair in ([[1, 0, 0], [0, 1, 0]], [[1, 0, 0], [-1, 0, 1]], [[0, -1, 1], [0, 1, 0]])
    ]
    weights = torch.linalg.lstsq(torch.stack([pair.flatten() for pair in pairs], dim=1), J.flatten()[:, None]).solution[
        :, 0
    ]
    assert torch.allclose(sum(w * pair for w, pair in zip(weights, pairs, strict=True)), J, rtol=0.0, atol=1e-10)
    assert weights.sum().item() == pytest.approx(1.0, abs=1e-10)
    assert (weights >= 0).all()
    assert torch.equal(torch.autograd.grad(x.sum(), v)[0], torch.zeros(2, dtype=torch.float64))


def test_decisions_on_cones_are_exact_to_rounding() -> None:
    """Near by, x is smooth in the context: its second differences are those of rounding, not of the solver."""
    model = SOCICNN(4, (6,), activation="softplus", context_features=3, context="partial", options=NetOptions(
        dtype=torch.float64, generator=generator(1)
    ))  # fmt: skip
    layer = DecisionLayer(model, Intersection([Simplex(4), Ball(4, 0.3, centre=[0.25] * 4)]))
    theta = torch.randn(3, 3, generator=generator(5), dtype=torch.float64)
    step = torch.tensor([0.0, 0.0, 1e-6], dtype=torch.float64)
    with torch.no_grad():
        before, middle, after = (layer(theta + sign * step) for sign in (-1, 0, 1))
    assert bool(layer.polished.all())
    assert float((before - 2 * middle + after).abs().max()) <= 1e-12
