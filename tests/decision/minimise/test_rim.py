"""Bounds from the rim of a neighbourhood: never above the minimum, and none where nothing holds x back."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decision._minimise.module_surrogate import ModuleSurrogate
from decision._minimise.rim import polished, rim_bound
from decision.sets import Box
from tests.support.cases import generator

DELTA = torch.full((1,), 1e-9, dtype=torch.float64)


class Bowl(nn.Module):
    """1/2 ||A (x - b)||^2 + sum softplus(C x): least near b, with its minimum at a bound if b lies outside."""

    def __init__(self, seed: int, n: int, far: float, flat: bool = False) -> None:
        super().__init__()
        draw = generator(seed)
        self.A = torch.randn(n - flat, n, generator=draw, dtype=torch.float64)
        self.C = torch.randn(3, n, generator=draw, dtype=torch.float64)
        self.b = far * torch.randn(n, generator=draw, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        """Return one value per row."""
        smooth = nn.functional.softplus(x @ self.C.T).sum(dim=-1)
        return 0.5 * ((x - self.b) @ self.A.T).square().sum(dim=-1) + smooth


def bound(model: nn.Module, y: Tensor, box: Box, allowed: float, polish: bool) -> float:
    surrogate = ModuleSurrogate.of(model, None, "for a test")
    at, hessian = surrogate.hessian(y, DELTA)
    if polish:
        at, hessian = polished(lambda x: surrogate.hessian(x, DELTA), y, box)
    gap = torch.full((1,), allowed, dtype=torch.float64)
    return float(rim_bound(lambda x: surrogate.smooth(x, DELTA), at, hessian, box, gap))


@pytest.mark.parametrize("polish", [False, True])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_no_bound_is_above_the_minimum(n: int, polish: bool) -> None:
    found = 0
    for seed in range(40):
        draw = generator(100 + seed)
        model, box = Bowl(seed, n, 2.0 if seed % 2 else 0.3), Box(n, -1.0, [1e9, *[2.0] * (n - 1)])
        surrogate = ModuleSurrogate.of(model, None, "for a test")
        best, _ = polished(lambda x, s=surrogate: s.hessian(x, DELTA), torch.zeros(1, n, dtype=torch.float64), box)  # type: ignore[misc]
        least = float(best.value)
        y = box.project(best.x + 10.0 ** -(seed % 12) * torch.randn(1, n, generator=draw, dtype=torch.float64))
        for allowed in (1e-6, 1e-2, 1e1):
            below = bound(model, y, box, allowed, polish)
            assert below <= least + 1e-12 * (1 + abs(least)), (seed, allowed)
            found += np.isfinite(below)
    assert found > 40  # the test is about bounds, not about their absence


def test_the_width_of_the_box_does_not_enter() -> None:
    y = torch.zeros(1, 3, dtype=torch.float64)
    near, far = (bound(Bowl(0, 3, 0.3), y, Box(3, -w, w), 1e-6, polish=True) for w in (1e1, 1e12))
    assert np.isfinite(near)
    assert near == pytest.approx(far, abs=1e-12)


def test_a_point_that_is_no_minimum_proves_nothing_small() -> None:
    model, box = Bowl(0, 3, 0.3), Box(3, -1e6, 1e6)
    y = torch.full((1, 3), 5.0, dtype=torch.float64)
    value = float(model(y))
    assert not value - bound(model, y, box, 1e-3, polish=False) < 1e-2


def test_without_growth_there_is_no_bound() -> None:
    y = torch.zeros(1, 3, dtype=torch.float64)
    slope = torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64)

    class Line(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ slope

    assert bound(Line(), y, Box(3, -1e6, 1e6), 1e-3, polish=False) == -np.inf
    at_corner = torch.tensor([[-1e6, 1e6, 0.0]], dtype=torch.float64)
    corner = bound(Line(), at_corner, Box(3, [-1e6, -1e6, 0.0], [1e6, 1e6, 0.0]), 1e-3, polish=False)
    assert corner == pytest.approx(-3e6, abs=1e-6)


def test_a_hessian_that_rounding_has_made_negative_proves_nothing() -> None:
    """It would seem to leave no coordinate free, and so no side to look at."""

    class Slope(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ torch.tensor([1e-9, -1e-9], dtype=x.dtype)  # type: ignore[no-any-return]

    surrogate, box = ModuleSurrogate.of(Slope(), None, "for a test"), Box(2, -1e12, 1e12)
    at = surrogate.smooth(torch.zeros(1, 2, dtype=torch.float64), DELTA)
    for noise in (-1e-30, -1e-18, 1e-18, 0.0):
        hessian = torch.full((1, 2, 2), noise, dtype=torch.float64)
        found = rim_bound(lambda x: surrogate.smooth(x, DELTA), at, hessian, box, torch.ones(1, dtype=torch.float64))
        assert float(found) <= -2e3, noise  # the minimum


def test_f_need_not_be_convex_outside_the_set() -> None:
    class Power(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert bool((x >= 0).all()), "evaluated outside the set"
            return (x.square() * x.abs().sqrt() - 1e-2 * x).sum(dim=-1)

    at = (1e-2 / 2.5) ** (2 / 3)  # where 5/2 x^1.5 = 1e-2
    least = 2 * (at**2.5 - 1e-2 * at)
    y = torch.full((1, 2), at, dtype=torch.float64)
    for allowed in (1e-6, 1e-3, 1.0):
        assert bound(Power(), y, Box(2, 0.0, 1e9), allowed, polish=True) <= least + 1e-15
    assert bound(Power(), y, Box(2, 0.0, 1e9), 1e-6, polish=True) >= least - 1e-6
