import torch

from decision.sets import FeasibleSet, Simplex
from tests.contracts.sets import SetContract
from tests.support.sets import simplices


class TestSimplex(SetContract):
    def cases(self) -> list[FeasibleSet]:
        return [*simplices()]


def test_uniform_moments() -> None:
    """Dirichlet(1): mean 1/n, variance (n - 1) / (n^2 (n + 1)), covariance -1 / (n^2 (n + 1))."""
    n, count = 4, 100_000
    x = Simplex(n).sample(count, torch.Generator().manual_seed(0))
    covariance = torch.cov(x.T)
    exact = (torch.eye(n, dtype=x.dtype) * n - 1) / (n**2 * (n + 1))
    assert (x.mean(dim=0) - 1 / n).abs().max() < 5 * (exact[0, 0] / count) ** 0.5
    assert (covariance - exact).abs().max() < 0.02 * exact[0, 0]


def test_boundary_samples_have_every_support_size() -> None:
    n = 6
    sizes = (Simplex(n).sample_boundary(2000, torch.Generator().manual_seed(0)) > 0).sum(dim=-1)
    assert set(sizes.tolist()) == set(range(1, n + 1))
