"""Kolmogorov-Arnold networks: the contract, the formula written out, the parameters of the tables, training, files."""

from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest
import torch

import decision
import socicnn
import verify
from socicnn.conic.export import export, read
from socicnn.errors import ModelError
from socicnn.nn import ICKAN, to_onnx
from socicnn.training import FitOptions, fit_stacked
from tests.contracts.networks import NetworkContract
from tests.support.cases import KOLMOGOROV_ARNOLD, Case, generator


@pytest.mark.parametrize("case", KOLMOGOROV_ARNOLD, ids=lambda case: case.name)
class TestICKAN(NetworkContract):
    @pytest.fixture(autouse=True)
    def _case(self, case: Case) -> None:
        self.case = case


@pytest.mark.parametrize(("n", "count"), [(5, 694), (10, 1379), (20, 2749)])
def test_the_additive_network_has_the_parameters_of_the_tables(n: int, count: int) -> None:
    model = ICKAN(n, (8,), segments=8, positivity="softplus")
    assert sum(parameter.numel() for parameter in model.parameters()) == count == 137 * n + 9


def by_interpolation(model: ICKAN, x: np.ndarray) -> np.ndarray:
    """The value by linear interpolation between knots, layer by layer, and straight on outside."""
    z, image = x.T, [model.domain] * model.in_features
    for k, h in enumerate(model.hidden_features):
        slopes = (model.first_slope if k == 0 else model.slope[k - 1]()).detach().numpy()
        rises, shares = model.rise[k]().detach().numpy(), torch.softmax(model.width[k], dim=-1).detach().numpy()
        sums, ranges = np.zeros((h, len(x))), np.zeros((h, 2))
        for j in range(h):
            for i, (low, high) in enumerate(image):
                grid = low + (high - low) * np.concatenate([[0.0], np.cumsum(shares[j, i])])
                steepness = slopes[j, i] + np.concatenate([[0.0], np.cumsum(rises[j, i])])
                values = model.base[k][j, i].item() + np.concatenate([[0.0], np.cumsum(steepness * np.diff(grid))])
                inside = np.interp(z[i], grid, values)
                before, after = np.minimum(z[i] - grid[0], 0.0), np.maximum(z[i] - grid[-1], 0.0)
                sums[j] += inside + steepness[0] * before + steepness[-1] * after
                ranges[j] += values.min(), values.max()
        z, image = sums, [tuple(row) for row in ranges]
    part = {name: value.detach().numpy() for name, value in model.vectors(None).items()}
    return part["w"] @ z + x @ part["v"] + part["c"]


@pytest.mark.parametrize(
    "case", [case for case in KOLMOGOROV_ARNOLD if case.model().context_shape is None], ids=lambda case: case.name
)
def test_the_value_is_that_of_interpolation_between_knots(case: Case) -> None:
    model = case.model()
    x = case.points(model, 50, scale=2.0)
    np.testing.assert_allclose(model(x).detach().numpy(), by_interpolation(model, x.numpy()), rtol=1e-12, atol=1e-12)


def test_a_context_moves_the_knots_of_later_layers() -> None:
    model = ICKAN(
        2, (3, 1), segments=3, context_features=2, context="joint", generator=generator(0), dtype=torch.float64
    )
    x, theta = (torch.randn(9, 2, generator=generator(seed), dtype=torch.float64) for seed in (1, 2))
    first, second = model.layers()
    part = model.vectors(theta)
    assert part["b1"].shape == (9, 3)
    z = first.sums(x)
    values = []
    for i in range(9):
        moved = second._replace(knot=second.knot - part["b1"][i][None, :, None])
        values.append(moved.sums(z[i]) @ part["w"] + x[i] @ part["v"] + part["c"][i])
    torch.testing.assert_close(model(x, theta), torch.stack(values))


def test_the_program_is_linear_and_its_values_are_proven(tmp_path: Path) -> None:
    model = ICKAN(3, (4, 3), segments=4, generator=generator(0), dtype=torch.float64)
    x = torch.randn(6, 3, generator=generator(1), dtype=torch.float64)
    verify.equivalence(model, x, proof=True).raise_if_failed(solvers=True)
    program = socicnn.value_program(model)
    assert not program.cones.second_order
    value = pytest.approx(model(x[0]).item(), rel=1e-6)
    for suffix in ("cbf", "npz", "mps"):
        export(program.at(x[0].numpy()), tmp_path / f"program.{suffix}")
    assert read(tmp_path / "program.cbf").solve().value == value
    variable = cp.Variable(3)
    problem = cp.Problem(cp.Minimize(socicnn.to_cvxpy(model, variable)), [variable == x[0].numpy()])
    assert problem.solve(cp.CLARABEL) == value


def test_decisions_are_certified() -> None:
    model = ICKAN(3, (4, 2), segments=4, generator=generator(0), dtype=torch.float64)
    result = decision.decide(model, decision.Box(3, -2.0, 2.0), rtol=1e-6)
    assert result.certified.all()
    corners = torch.rand(200, 3, generator=generator(1), dtype=torch.float64) * 4 - 2
    assert result.value[0] <= model(corners).min().item()


def test_one_layer_fits_a_sum_of_kinks_that_it_can_represent() -> None:
    """sum_i |x_i|, with two seeds stacked as in separate fits."""
    x = 6 * torch.rand(256, 2, generator=generator(0), dtype=torch.float64) - 3
    y = x.abs().sum(dim=1)
    make = lambda seed: ICKAN(2, (2,), segments=4, generator=generator(seed), dtype=torch.float64)  # noqa: E731 (local)
    models = [make(0), make(1)]
    fit_stacked(models, (x, y), epochs=20, progress=False, options=FitOptions(polish=30))
    for model in models:
        assert ((model(x) - y).norm() / y.norm()).item() <= 3e-2
    alone = make(1)
    fit_stacked([alone], (x, y), seeds=[1], epochs=20, progress=False, options=FitOptions(polish=30))
    torch.testing.assert_close(alone(x), models[1](x), rtol=1e-3, atol=1e-3)


@pytest.mark.extra
def test_the_graph_of_onnx_is_read_back(tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    model = ICKAN(3, (4, 2), segments=3, generator=generator(0), positivity="softplus")
    x = torch.randn(20, 3, generator=generator(1))
    to_onnx(model, tmp_path / "model.onnx")
    read = socicnn.FrozenNet.from_onnx(tmp_path / "model.onnx")
    np.testing.assert_allclose(read(x), model(x).detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((3, 8), {}, r"hidden_features lists the widths, as in \(8,\)"),
        ((3, ()), {}, "hidden_features must list integers >= 1, at least one"),
        ((3, (4, 0)), {}, "hidden_features must list integers >= 1"),
        ((3,), {"segments": 1}, "segments must be an integer >= 2; received 1"),
        ((3,), {"domain": (1.0, 1.0)}, "domain must be two finite numbers, the lower one first"),
        ((3,), {"domain": (1.0, 2.0, 3.0)}, "domain must be two finite numbers"),
        ((3,), {"domain": (0.0, float("inf"))}, "domain must be two finite numbers"),
    ],
)
def test_refusals_name_the_argument(arguments, settings, message) -> None:
    with pytest.raises(ModelError, match=message):
        ICKAN(*arguments, **settings)
