"""Nothing has a unit: data in other units, or shifted, give the same fit."""

import numpy as np
import pytest
import torch

from socicnn import SOCICNN
from socicnn.training import FitOptions, fit, fit_stacked
from socicnn.training._frame import statistics
from tests.support.cases import generator

DRAW = np.random.default_rng(0)
# a grid, so that shifts up to 2^31 lose nothing
X = np.round(DRAW.uniform(size=(120, 3)) * 2**16) / 2**16
THETA = np.round(DRAW.normal(size=(120, 2)) * 2**16) / 2**16
Y = np.round((np.square(X - 0.3 * THETA[:, :1]).sum(axis=1) + X[:, 0]) * 2**16) / 2**16
POWERS = (-40, -20, -1, 1, 20, 40)
RECIPES = ("projected", "softplus", "lift")


def network(dtype: torch.dtype = torch.float64, **settings: object) -> SOCICNN:
    return SOCICNN(3, (6,), (3,), (2,), context_features=2, dtype=dtype, generator=generator(0), **settings)


def fitted(x: np.ndarray, theta: np.ndarray, y: np.ndarray, dtype: torch.dtype = torch.float64, **settings) -> SOCICNN:
    model = network(dtype, **settings)
    fit(model, (x, theta, y), epochs=30, batch_size=16, learning_rate=0.03, progress=False)
    return model


def weights(model: SOCICNN) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.named_parameters()}


def equal(one: SOCICNN, two: SOCICNN) -> bool:
    a, b = weights(one), weights(two)
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module", params=RECIPES)
def plain(request: pytest.FixtureRequest) -> tuple[str, SOCICNN]:
    return request.param, fitted(X, THETA, Y, positivity=request.param)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("what", ["x", "theta", "y", "all"])
def test_powers_of_two_give_the_same_weights_to_the_last_bit(plain: tuple[str, SOCICNN], what: str, power: int) -> None:
    recipe, model = plain
    unit = 2.0**power
    x, theta, y = (
        values * unit if what in (name, "all") else values for name, values in (("x", X), ("theta", THETA), ("y", Y))
    )
    assert equal(fitted(x, theta, y, positivity=recipe), model)


@pytest.mark.parametrize("power", [-40, 40])
def test_powers_of_two_when_stacked_and_polished(power: int) -> None:
    unit, made = 2.0**power, []
    for scale in (1.0, unit):
        models = [network() for _ in range(2)]
        data = (X * scale, THETA * scale, Y * scale)
        fit_stacked(models, data, epochs=4, progress=False, options=FitOptions(polish=5))
        made.append(models)
    assert all(equal(one, two) for one, two in zip(*made, strict=True))


def quality(model: SOCICNN, x: np.ndarray, theta: np.ndarray, y: np.ndarray) -> float:
    """R2 of the exported arrays, in float64."""
    frozen = model.freeze(theta)
    values = np.array([frozen[row](x[row : row + 1])[0] for row in range(len(x))])
    return 1 - float(np.square(values - y).sum() / np.square(y - y.mean()).sum())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("what", ["x", "theta", "y", "all"])
@pytest.mark.parametrize("offset", [2.0**10, -(2.0**20), 2.0**31])
def test_offsets_leave_the_quality_as_it_is(dtype: torch.dtype, what: str, offset: float) -> None:
    x, theta, y = (
        values + offset if what in (name, "all") else values for name, values in (("x", X), ("theta", THETA), ("y", Y))
    )
    reference = quality(fitted(X, THETA, Y, dtype), X, THETA, Y)
    moved = quality(fitted(x, theta, y, dtype), x, theta, y)
    assert reference > 0.9
    assert abs(moved - reference) < 1e-3


def test_a_float32_network_far_from_zero_keeps_its_mean() -> None:
    """Its type holds 2^31 to 256; the mean needs both buffers."""
    model = fitted(X + 2.0**31, THETA, Y, torch.float32)
    assert (
        abs(float(model.standardisation.exact_mean("x")[0]) - (X[:, 0].mean() + 2.0**31)) < 0.1
    )  # a tenth is held out


@pytest.mark.parametrize("value", [2.0**-40, 0.1, 3.0, 2.0**31 + 0.25])
def test_constant_columns_are_told_by_their_own_size(value: float) -> None:
    column = torch.full((20, 1), value, dtype=torch.float64)
    mean, scale = statistics(column, torch.Size([1]))
    assert mean.item() == value
    assert scale.item() == 1.0
    jitter = column.clone()
    jitter[::2] = np.nextafter(value, np.inf)
    assert statistics(jitter, torch.Size([1]))[1].item() == pytest.approx(value)
    varied = column * torch.linspace(1, 1 + 1e-9, 20, dtype=torch.float64)[:, None]
    assert statistics(varied, torch.Size([1]))[1].item() == pytest.approx(float(varied.std(unbiased=False)), rel=1e-3)


def test_a_constant_target_is_learnt_at_any_size() -> None:
    for value in (0.0, 2.0**-40, 0.1, 2.0**31):
        model = network()
        history = fit(model, (X, THETA, np.full(len(X), value)), epochs=1, progress=False)
        assert history.ok
        assert float(model.standardisation.y_mean) == value
        assert float(model.standardisation.y_scale) == 1.0


def test_states_of_older_versions_load() -> None:
    model = network(torch.float32)
    older = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("_low")}
    again = network(torch.float32)
    again.load_state_dict(older)
    assert equal(again, model)
    assert not again.standardisation.x_mean_low.any()


@pytest.mark.parametrize("unit", [1e-170, 1e160])
def test_a_target_whose_squares_vanish_or_overflow_is_learnt(unit: float) -> None:
    model = network()
    fit(model, (X, THETA, unit * Y), epochs=30, batch_size=16, learning_rate=0.03, progress=False)
    value = model(torch.from_numpy(X), torch.from_numpy(THETA)).detach().numpy() / unit
    assert np.mean((value - Y) ** 2) < 0.5 * Y.var()


@pytest.mark.parametrize("unit", [1e-170, 1e160])
def test_columns_whose_squares_vanish_or_overflow_are_standardised(unit: float) -> None:
    model = network()
    fit(model, (unit * X, unit * THETA, Y), epochs=30, batch_size=16, learning_rate=0.03, progress=False)
    value = model(torch.from_numpy(unit * X), torch.from_numpy(unit * THETA)).detach().numpy()
    assert np.mean((value - Y) ** 2) < 0.5 * Y.var()
