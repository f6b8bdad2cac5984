"""Potential flows: exact Hessians, densities that integrate to one, maps that invert, samples that follow them."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from socicnn import ICNN
from socicnn.density import CLOUDS, PotentialFlow, cloud, fit, fit_stacked, negative_log_likelihood
from socicnn.errors import ModelError
from socicnn.positivity import RECIPES


def flow(n: int = 2, seed: int = 0, positivity: str = "softplus", trained: bool = False) -> PotentialFlow:
    draw = torch.Generator().manual_seed(seed)
    made = PotentialFlow.dense(n, (7, 6), positivity=positivity, generator=draw, dtype=torch.float64)
    if trained:
        x = torch.randn(200, n, generator=draw, dtype=torch.float64)
        fit(made, x.sign() * x.square() + 1, steps=60, batch_size=32, learning_rate=0.03)
    return made.finalise() if trained else made


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


class TestFlow:
    @pytest.mark.parametrize("n", [1, 2, 4])
    def test_derivatives_are_autograds(self, n: int) -> None:
        made, x = flow(n), randn(3, 5, n)
        gradient, hessian = made.transport_and_hessian(x)
        for at in ((0, 0), (2, 4)):
            slope = torch.autograd.functional.jacobian(lambda p: made(p[None])[0], x[at])
            curvature = torch.autograd.functional.hessian(lambda p: made(p[None])[0], x[at])
            assert torch.allclose(gradient[at], slope)
            assert torch.allclose(hessian[at], curvature)
            expected = stats.multivariate_normal(torch.zeros(n)).logpdf(slope) + math.log(torch.linalg.det(curvature))
            assert made.log_density(x)[at].item() == pytest.approx(expected)

    def test_hessian_is_bounded_below(self) -> None:
        made = flow(trained=True)
        values = torch.linalg.eigvalsh(made.transport_and_hessian(3 * randn(100, 2))[1].detach())
        assert bool((values >= 0.05).all())

    def test_without_a_network_it_is_normal(self) -> None:
        network = ICNN(2, (), dtype=torch.float64)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.zero_()
        made, x = PotentialFlow(network, 0.5), randn(20, 2)  # grad F = 1.5 x
        expected = torch.as_tensor(stats.multivariate_normal([0, 0], 1 / 2.25).logpdf(x))
        assert torch.allclose(made.log_density(x), expected)
        assert negative_log_likelihood(made, None, x) == pytest.approx(-float(expected.mean()))

    @pytest.mark.parametrize("n", [1, 2])
    def test_density_integrates_to_one(self, n: int) -> None:
        made = flow(n, trained=True)
        axis = torch.linspace(-22, 22, 4001 if n == 1 else 350, dtype=torch.float64)
        x = torch.stack(torch.meshgrid(*[axis] * n, indexing="ij"), dim=-1).reshape(-1, n)
        with torch.no_grad():
            mass = made.log_density(x).exp().sum() * (axis[1] - axis[0]) ** n
        assert float(mass) == pytest.approx(1.0, abs=1e-3)

    def test_inverse(self) -> None:
        made, z = flow(3, trained=True), 5 * randn(200, 3)
        x = made.inverse(z)
        assert torch.allclose(made.transport(x), z, atol=1e-7)
        assert torch.allclose(made.inverse(made.transport(randn(50, 3)).detach()), randn(50, 3), atol=1e-6)
        with pytest.raises(ModelError, match="tolerance 0"):
            made.inverse(z, tolerance=0.0, steps=3)
        for wrong in (z[0], z[:, :2], z[None]):
            with pytest.raises(ModelError, match=r"z must have shape \(count, 3\); received"):
                made.inverse(wrong)

    def test_samples_follow_the_density(self) -> None:
        made = flow(1, trained=True)
        sample = made.sample(2000, torch.Generator().manual_seed(1))[:, 0]
        law = stats.norm.cdf  # z = F'(x) is increasing, so P(X <= x) = Phi(F'(x))
        assert (
            stats.kstest(sample, lambda x: law(made.transport(torch.as_tensor(x)[:, None]).detach()[:, 0])).pvalue
            > 0.01
        )
        assert made.float().sample(3).dtype == torch.float32

    @pytest.mark.parametrize("name", sorted(set(RECIPES) - {"noisy"}))
    def test_every_recipe_trains_it(self, name: str) -> None:
        law, made = cloud("eight_gaussians"), flow(positivity=name)
        x = law.sample(300, torch.Generator().manual_seed(2), torch.float64)
        history = fit(made, law, steps=25, batch_size=32, learning_rate=0.02, note_every=5)
        assert history.train[-1] < history.train[0]
        plain = made.finalise(x)
        assert all(bool((weight() >= 0).all()) for _, weight in plain.network.constrained())
        assert math.isfinite(negative_log_likelihood(plain, None, x))
        assert float(plain.w1.detach()) == float(made.w1.detach())

    @pytest.mark.parametrize("name", ["projected", "admm", "lift"])
    def test_stacked_is_one_by_one(self, name: str) -> None:
        one, many = ([flow(seed=seed, positivity=name) for seed in range(2)] for _ in range(2))
        for seed, made in enumerate(one):
            fit(made, cloud("two_spirals"), seed=seed, steps=6, batch_size=8)
        fit_stacked(many, cloud("two_spirals"), steps=6, batch_size=8)
        for a, b in zip(one, many, strict=True):
            for left, right in zip(a.parameters(), b.parameters(), strict=True):
                assert torch.allclose(left, right, rtol=1e-6, atol=1e-8)

    def test_what_cannot_be_is_refused(self) -> None:
        with pytest.raises(ModelError, match="softplus"):
            PotentialFlow(ICNN(2, (4,)))
        with pytest.raises(ModelError, match="strong_convexity"):
            PotentialFlow(ICNN(2, (4,), activation="softplus"), 0.0)
        with pytest.raises(ModelError, match="without a context"):
            PotentialFlow(ICNN(2, (4,), activation="softplus", context_features=1))


class TestClouds:
    @pytest.mark.parametrize("name", sorted(CLOUDS))
    def test_draws(self, name: str) -> None:
        one, two = (cloud(name).sample(2000, torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(one, two)
        assert one.shape == (2000, cloud(name).features)
        assert float(one.mean(dim=0).abs().max()) < 0.15  # both are symmetric about the origin

    def test_eight_gaussians(self) -> None:
        x = cloud("eight_gaussians").sample(8000, torch.Generator().manual_seed(3), torch.float64)
        sector = torch.round(torch.atan2(x[:, 1], x[:, 0]) / (math.pi / 4)).long() % 8
        assert stats.chisquare(torch.bincount(sector, minlength=8)).pvalue > 0.01
        centre = x[sector == 0].mean(dim=0)
        assert torch.allclose(centre, torch.tensor([4 / 1.414, 0.0], dtype=torch.float64), atol=0.05)
        assert float(x[sector == 0].std(dim=0).mean()) == pytest.approx(0.5 / 1.414, rel=0.06)

    def test_two_spirals(self) -> None:
        x = cloud("two_spirals").sample(4000, torch.Generator().manual_seed(3))
        radius = torch.linalg.vector_norm(x, dim=1)
        assert 2.9 < float(radius.max()) < 3.8
        assert float((radius < 2.2).float().mean()) == pytest.approx(0.5, abs=0.05)  # r^2 is uniform along an arm

    def test_an_unknown_name_lists_what_there_is(self) -> None:
        with pytest.raises(ModelError, match="eight_gaussians, two_spirals"):
            cloud("moons")
        made = cloud("two_spirals")
        assert cloud(made) is made
