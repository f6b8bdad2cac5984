"""Initial laws: their logarithms, their moments, and what they do to a deep network."""

import math

import numpy as np
import pytest
import torch

from socicnn import ICNN
from socicnn.errors import ModelError
from socicnn.positivity import INITIALISERS, initialiser
from socicnn.positivity._initial import Folded, Principled, ZeroMeanClipped, covariance, log_normal, moments
from tests.support.cases import generator


@pytest.mark.parametrize("fan_in", [1, 2, 8, 128, 1000])
def test_principled_law_is_the_published_one_for_relu(fan_in: int) -> None:
    D = 6 * (math.pi - 1) + (fan_in - 1) * (3 * math.sqrt(3) + 2 * math.pi - 6)
    law = Principled()
    assert law.mean(fan_in, "relu") == pytest.approx(math.sqrt(6 * math.pi / (fan_in * D)))
    assert law.variance(fan_in, "relu") == pytest.approx(1 / fan_in)
    assert law.bias(fan_in, "relu") == pytest.approx(-math.sqrt(3 * fan_in / D))


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("fan_in", [8, 128])
def test_log_normal_draws_by_their_logarithms(fan_in: int, activation: str) -> None:
    law, count = Principled(), 40_000
    logs = law.weight((200, 200), fan_in, activation, generator(0)).log()
    location, variance = log_normal(law.mean(fan_in, activation), law.variance(fan_in, activation))
    assert abs(logs.mean() - location) < 5 * math.sqrt(variance / count)
    assert abs(logs.var() / variance - 1) < 5 * math.sqrt(2 / count)
    # third and fourth moments of a normal
    standard = (logs - location) / math.sqrt(variance)
    assert abs((standard**3).mean()) < 5 * math.sqrt(15 / count)
    assert abs((standard**4).mean() - 3) < 5 * math.sqrt(96 / count)


@pytest.mark.parametrize(("mean", "variance"), [(0.01, 1 / 128), (1.2, 1.0), (0.5, 0.01)])
def test_log_normal_parameters_give_mean_and_variance_back(mean: float, variance: float) -> None:
    location, spread = log_normal(mean, variance)
    assert math.exp(location + spread / 2) == pytest.approx(mean)
    assert math.expm1(spread) * math.exp(2 * location + spread) == pytest.approx(variance)


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.5, 1.0])
def test_moments_agree_with_samples(activation: str, rho: float) -> None:
    a, g = np.random.default_rng(0).normal(size=(2, 1_000_000))
    phi = {"relu": lambda a: np.maximum(a, 0), "softplus": lambda a: np.logaddexp(0, a)}[activation]
    z, other = phi(a), phi(rho * a + math.sqrt(1 - rho**2) * g)
    found = moments(activation)
    assert z.mean() == pytest.approx(found.mean, abs=5e-3)
    assert (z**2).mean() == pytest.approx(found.square, abs=1e-2)
    assert np.cov(z, other)[0, 1] == pytest.approx(covariance(activation, rho), abs=5e-3)


def test_moments_of_an_unknown_activation_are_refused() -> None:
    with pytest.raises(ModelError, match="no moments are known for activation 'tanh'"):
        covariance("tanh", 0.5)
    with pytest.raises(ModelError, match="no moments are known for activation 'tanh'"):
        moments("tanh")


def test_folded_and_clipped_laws() -> None:
    N, shape = 50, (300, 300)
    folded = Folded().weight(shape, N, "relu", generator(0))
    assert folded.mean().item() == pytest.approx(N**-0.5, rel=0.02)
    assert folded.square().mean().item() == pytest.approx(math.pi / (2 * N), rel=0.02)
    clipped = ZeroMeanClipped().weight(shape, N, "relu", generator(0))
    assert (clipped == 0).double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert clipped.square().mean().item() == pytest.approx(1 / N, rel=0.02)
    for law in (Folded(), ZeroMeanClipped()):
        assert law.bias(N, "relu") == 0
        assert law.input_variances([3, 4], ["relu"] * 2) == [1.0, 1.0]


@pytest.mark.parametrize("name", sorted(INITIALISERS))
def test_every_law_is_non_negative_made_by_name_and_repeatable(name: str) -> None:
    law = initialiser(name)
    assert law.name == name
    assert initialiser(name, **law.config()) == law
    draws = [law.weight((4, 5), 5, "relu", generator(3)) for _ in range(2)]
    assert torch.equal(*draws)
    assert draws[0].dtype == torch.float64
    assert (draws[0] >= 0).all()
    state = torch.get_rng_state()
    law.weight((4, 5), 5, "relu", generator(3))
    assert torch.equal(torch.get_rng_state(), state)


def preactivations(model: ICNN, count: int = 1000) -> list[torch.Tensor]:
    """a_1 .. a_L at standard normal points."""
    x = torch.randn(count, model.in_features, generator=generator(9), dtype=torch.float64)
    phi = {"relu": torch.relu, "softplus": torch.nn.functional.softplus}[model.activations[0]]
    vectors, found, z = model.vectors(None), [], None
    for k in range(len(model.hidden_features)):
        a = vectors[f"b{k + 1}"]
        a = a + (x @ model.U[k].T if k == 0 or model.passthrough else 0)
        a = a if z is None else a + z @ model.hidden_weights[k - 1]().T
        found.append(a.detach())
        z = phi(a)
    return found


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_passthrough_keeps_the_target_through_depth(activation: str) -> None:
    """Mean square 1 in each of the first six layers, averaged over networks (heavy tails); units stay on."""
    squares, shares = [], []
    for seed in range(60):
        settings = {"activation": activation, "generator": generator(seed), "dtype": torch.float64}
        layers = preactivations(ICNN(64, (128,) * 6, **settings), 100)
        squares.append(torch.stack([a.square().mean() for a in layers]))
        shares.append(torch.stack([(a > 0).double().mean() for a in layers]))
    mean, error = torch.stack(squares).mean(dim=0), torch.stack(squares).std(dim=0) / math.sqrt(len(squares))
    assert error.max() < 0.2
    assert ((mean - 1).abs() < 0.1 + 3 * error).all(), mean
    assert torch.stack(shares).mean(dim=0).min() > 0.25


@pytest.mark.parametrize(("activation", "N"), [("relu", 32), ("relu", 128), ("softplus", 128)])
@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_hidden_part_has_the_predicted_mean_and_square(activation: str, N: int, rho: float) -> None:
    """W phi(a) + bias over W and a: mean 0, mean square 1/2 + rho', which is 1 at correlation 1/2."""
    law, draw = Principled(), generator(1)
    common, own = torch.randn(4000, 1, generator=draw).double(), torch.randn(4000, N, generator=draw).double()
    a = math.sqrt(rho) * common + math.sqrt(1 - rho) * own
    z = torch.relu(a) if activation == "relu" else torch.nn.functional.softplus(a)
    W = law.weight((4000, N), N, activation, draw)
    out = z @ W.T + law.bias(N, activation)
    moved = N * moments(activation).variance + N * (N - 1) * covariance(activation, rho)
    expected = 0.5 + law.mean(N, activation) ** 2 * moved
    assert out.mean().item() == pytest.approx(0, abs=0.06)
    assert out.square().mean().item() == pytest.approx(expected, rel=0.08)
    if rho == 0.5:
        assert expected == pytest.approx(1)
    else:
        assert law.input_variances([N], [activation])[0] == pytest.approx(1 - expected)


def test_units_die_with_depth_without_passthrough() -> None:
    """The published law supposes correlation 1/2; without skips and after independent inputs units die."""
    with pytest.warns(UserWarning, match="units active"):
        model = ICNN(200, (128,) * 4, passthrough=False, generator=generator(0), dtype=torch.float64)
    shares = [(a > 0).double().mean().item() for a in preactivations(model)]
    assert shares[0] == pytest.approx(0.5, abs=0.05)
    assert 0.25 < shares[1] < 0.45
    assert shares[1] > shares[2] > shares[3]
    assert shares[3] < 0.1


@pytest.mark.parametrize("activation", ["leaky_relu(0.0)", "leaky_relu(0.3)", "leaky_relu(1.0)", "maxout"])
def test_moments_of_units_that_can_be_negative(activation: str) -> None:
    """By a million draws; of maxout both pieces are standard normal, independent of each other."""
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(2, 2, 10**6))
    second = 0.5 * first + np.sqrt(0.75) * second  # correlation 1/2
    slope = float(activation[11:-1]) if activation != "maxout" else None
    unit = (lambda a: a.max(axis=0)) if slope is None else (lambda a: np.maximum(a[0], slope * a[0]))
    z, other = unit(first), unit(second)
    known = moments(activation)
    assert known.mean == pytest.approx(z.mean(), abs=4e-3)
    assert known.square == pytest.approx((z**2).mean(), abs=6e-3)
    assert known.covariance == pytest.approx(np.cov(z, other)[0, 1], abs=4e-3)
