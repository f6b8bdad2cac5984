import math

import pytest
import torch

from decision.sets import Budget, FeasibleSet
from decision.sets import _capped_sampling as capped
from tests.contracts.sets import SetContract
from tests.support.sets import budgets


class TestBudget(SetContract):
    def cases(self) -> list[FeasibleSet]:
        return [*budgets(equality=True)]


class TestInequalityBudget(SetContract):
    def cases(self) -> list[FeasibleSet]:
        return [*budgets(equality=False)]


def test_projection_agrees_with_bisection() -> None:
    generator = torch.Generator().manual_seed(1)
    for n, total in ((2, 0.3), (7, 3.0), (7, 6.9), (30, 9.0), (30, 14.5)):
        x = 3 * torch.randn(500, n, generator=generator, dtype=torch.float64)
        low, high = x.amin(dim=-1, keepdim=True) - 1, x.amax(dim=-1, keepdim=True)
        for _ in range(100):
            tau = (low + high) / 2
            above = (x - tau).clamp(0, 1).sum(dim=-1, keepdim=True) > total
            low, high = torch.where(above, tau, low), torch.where(above, high, tau)
        assert (Budget(n, total).project(x) - (x - tau).clamp(0, 1)).abs().max() < 1e-14 * n


def test_three_ways_of_sampling_have_one_law() -> None:
    """Each proposal, and the complement, against the first two moments of iid uniforms thinned to the sum."""
    n, total, count = 6, 2.0, 40_000
    generator = torch.Generator().manual_seed(0)
    dirichlet = capped._kept(count, n, lambda m: capped._dirichlet(m, n, total, generator))
    tilted = capped._kept(count, n, lambda m: capped._tilted_equal(m, n, total, generator))
    complement = 1 - capped.sample_equal(count, n, n - total, generator)
    assert capped.tilt(total / n) > 1.0
    for power in (2, 3, 4):
        moments = [(x**power).mean() for x in (dirichlet, tilted, complement)]
        deviation = (dirichlet**power).std() / math.sqrt(count)  # one coordinate a row would be this uncertain
        assert max(moments) - min(moments) < 3 * deviation
    for x in (tilted, dirichlet):
        assert (x.mean(dim=0) - total / n).abs().max() < 5 * x.std() / math.sqrt(count)  # no coordinate is special


def test_inequality_samples_are_uniform() -> None:
    """Against uniform points of the cube thinned to sum <= total, by the law of the sum and of a coordinate."""
    n, total, count = 4, 1.2, 40_000
    generator = torch.Generator().manual_seed(0)
    cube = torch.rand(2_000_000, n, generator=generator, dtype=torch.float64)
    cube = cube[cube.sum(dim=-1) <= total][:count]
    x = Budget(n, total, equality=False).sample(count, generator)
    for statistic in (lambda z: z.sum(dim=-1), lambda z: z[:, 0], lambda z: z[:, -1], lambda z: z.amax(dim=-1)):
        one, two = statistic(cube), statistic(x)
        for power in (1, 2, 3):
            spread = (one**power).std() / math.sqrt(len(one)) + (two**power).std() / math.sqrt(len(two))
            assert ((one**power).mean() - (two**power).mean()).abs() < 4 * spread


@pytest.mark.parametrize(("n", "total"), [(50, 15.0), (50, 25.0), (200, 60.0), (200, 100.0), (1000, 1.5), (50, 1e-9)])
def test_sampling_does_not_hang(n: int, total: float) -> None:
    for equality in (True, False):
        X = Budget(n, total, equality=equality)
        x = X.sample(300, torch.Generator().manual_seed(0))
        assert X.contains(x, 1e-12 * n).all()


def test_boundary_samples_reach_both_bounds() -> None:
    x = Budget(10, 3.0).sample_boundary(500, torch.Generator().manual_seed(0))
    active = (x == 0) | (x == 1)
    assert (x == 0).any()
    assert (x == 1).any()
    assert len(set(active.sum(dim=-1).tolist())) >= 8  # faces of many dimensions


@pytest.mark.parametrize(
    ("total", "equality", "reason"),
    [
        (3.5, True, "empty"),
        (-0.1, True, "empty"),
        (-0.1, False, "empty"),
        (math.nan, True, "finite"),
        (math.inf, False, "finite"),
    ],
)
def test_impossible_budgets_are_refused(total: float, equality: bool, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Budget(3, total, equality=equality)
