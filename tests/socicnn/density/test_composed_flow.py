"""Flows in several blocks: determinants of the whole map, mass one, standardised inputs, inverses, files, stacks."""

import math
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import socicnn
from socicnn._files import FileError
from socicnn.density import ComposedFlow, PotentialFlow, cloud, fit, fit_stacked
from socicnn.errors import ModelError


def flow(n: int = 2, blocks: int = 3, seed: int = 0, positivity: str = "softplus") -> ComposedFlow:
    draw = torch.Generator().manual_seed(seed)
    made = ComposedFlow.dense(n, (6, 5), blocks=blocks, positivity=positivity, generator=draw, dtype=torch.float64)
    return made.normalise(points(n))


def points(n: int, count: int = 300) -> Tensor:
    x = torch.randn((count, n), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return 3 * x.sign() * x.square() + torch.arange(n)


@pytest.mark.parametrize("n", [1, 2, 32])
def test_density_is_that_of_the_whole_map(n: int) -> None:
    made, x = flow(n), points(n)[:3]
    z, log_det = (tensor.detach() for tensor in made.transport_and_log_det(x))
    assert torch.equal(made(x), z)
    for row, image, value, density in zip(x, z, log_det, made.log_density(x).detach(), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda p: made.transport(p[None])[0], row)
        sign, expected = torch.linalg.slogdet(jacobian)
        assert float(sign) == 1
        assert float(value) == pytest.approx(float(expected), rel=1e-9, abs=1e-9)
        normal = stats.norm.logpdf(image.numpy()).sum()
        assert float(density) == pytest.approx(normal + float(expected), rel=1e-9)


def test_density_integrates_to_one() -> None:
    made = flow()
    fit(made, cloud("eight_gaussians"), steps=12, batch_size=32, learning_rate=0.05)
    plain = made.finalise()
    axis = torch.linspace(-14, 14, 120, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = plain.log_density(x).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(mass) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("positivity", ["softplus", "lift"])
def test_what_enters_a_block_is_standardised(positivity: str) -> None:
    made, x = flow(3, positivity=positivity), points(3)
    plain = made.finalise(x)
    for k, block in enumerate(plain.blocks):
        entering = (x - plain.means[k]) * plain.log_scales[k].exp()
        assert torch.allclose(entering.mean(dim=0), torch.zeros(3, dtype=torch.float64), atol=1e-9)
        assert torch.allclose(entering.std(dim=0), torch.ones(3, dtype=torch.float64))
        x = block.transport(entering)
    with pytest.raises(ModelError, match="must vary in each coordinate"):
        made.normalise(torch.ones(4, 3))


def test_inverse_states_its_residual() -> None:
    made = flow(3)
    fit(made, points(3), steps=8, batch_size=32, learning_rate=0.05)
    z = 4 * torch.randn((60, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for tolerance in (1e-4, 1e-11):
        off = torch.linalg.vector_norm(made.transport(made.inverse(z, tolerance)) - z, dim=1)
        assert bool((off <= tolerance * (1 + torch.linalg.vector_norm(z, dim=1))).all())
    with pytest.raises(ModelError, match="not the tolerance"):
        made.inverse(z, tolerance=0.0, steps=30)
    drawn = made.finalise().sample(200, torch.Generator().manual_seed(2))
    back = made.transport(drawn).detach()
    assert min(stats.kstest(column, "norm").pvalue for column in back.T.numpy()) > 1e-3


@pytest.mark.parametrize("positivity", ["projected", "lift"])
def test_stacked_is_one_by_one(positivity: str) -> None:
    one, many = ([flow(blocks=2, seed=seed, positivity=positivity) for seed in range(2)] for _ in range(2))
    for seed, made in enumerate(one):
        fit(made, cloud("two_spirals"), seed=seed, steps=4, batch_size=8)
    fit_stacked(many, cloud("two_spirals"), steps=4, batch_size=8)
    for a, b in zip(one, many, strict=True):
        assert all(
            torch.allclose(p, q, rtol=1e-6, atol=1e-8) for p, q in zip(a.parameters(), b.parameters(), strict=True)
        )
        assert not torch.allclose(a.means, flow(blocks=2, positivity=positivity).means)  # trained too
    with pytest.raises(ModelError, match="must share architecture"):
        fit_stacked([flow(blocks=2), flow(blocks=3)], cloud("two_spirals"), steps=1)


def test_files_keep_it_bit_for_bit(tmp_path: Path) -> None:
    made, path = flow(positivity="lift"), tmp_path / "flow.safetensors"
    socicnn.save(made, path)
    again = socicnn.load(path, ComposedFlow)
    x = points(2)
    assert again.config() == made.config()
    assert torch.equal(again.finalise(x).log_density(x), made.finalise(x).log_density(x))
    assert again.finalise(x).needs_data is False is not again.needs_data
    with pytest.raises(FileError, match="class ComposedFlow, where PotentialFlow is expected"):
        socicnn.load(path, PotentialFlow)
    for damaged in ({}, {"blocks": 3}, {"blocks": []}, {"blocks": [{}]}, {**made.config(), "colour": 1}):
        with pytest.raises(ModelError):
            ComposedFlow.from_config(damaged)


def test_invalid_blocks_are_refused() -> None:
    block = PotentialFlow.dense(2, (4,))
    own = PotentialFlow(nn.Sequential(nn.Linear(2, 4), nn.Softplus(), nn.Linear(4, 1)))
    assert math.isfinite(float(ComposedFlow([block, own]).objective(torch.zeros(3, 2)).detach()))
    for blocks in ([], [block, block], [block, PotentialFlow.dense(3, (4,))], [nn.Linear(2, 2)]):
        with pytest.raises(ModelError, match="blocks must be"):
            ComposedFlow(blocks)  # type: ignore[arg-type]
