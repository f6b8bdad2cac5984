"""Leaky and maxout units: every contract of networks, the formulas, frozen forms, decisions and what is refused."""

import numpy as np
import pytest
import torch

import verify
from decision import DecisionLayer, decide
from decision.sets import Box
from socicnn import ICNN, SOCICNN
from socicnn.errors import ModelError
from socicnn.nn import AveragePool, Conv, ConvSOCICNN, RecurrentSOCICNN
from socicnn.nn._activations import LayerUnits
from tests.contracts.networks import NetworkContract, value
from tests.support.cases import Case, generator


def _case(name: str, kind, *arguments, **settings) -> Case:
    return Case(name, lambda **more: kind(*arguments, **{**settings, "negative_slope": 0.3, **more}))


CASES = [
    _case("leaky", SOCICNN, 3, (6, 5, 4), (2,), (2,), activation="leaky_relu"),
    _case("maxout", SOCICNN, 3, (6, 5, 4), (2,), (2,), activation="maxout"),
    _case("mixed", ICNN, 3, (4, 4, 4, 4), activation=("maxout", "leaky_relu", "softplus", "leaky_relu")),
    _case("leaky-partial", SOCICNN, 3, (5, 4), (2,), (2,), activation="leaky_relu", context_features=2),
    _case("maxout-joint", ICNN, 3, (5, 4), activation="maxout", context_features=2, context="joint"),
    _case("leaky-monotone", ICNN, 3, (5, 4), activation="leaky_relu", monotone=(1, -1, 0)),
    _case("maxout-monotone", ICNN, 3, (5, 4, 4), activation=("maxout", "relu", "maxout"), monotone=(1, -1, 0)),
    _case("no-passthrough", ICNN, 3, (8, 6), activation=("leaky_relu", "maxout"), passthrough=False),
    _case(
        "conv", ConvSOCICNN, (2, 5, 4), (3, AveragePool(2, 1), 2), (2,), (Conv(4, group=2),), activation="leaky_relu"
    ),
    _case("conv-image", ConvSOCICNN, (1, 4, 4), (3, 2), (2,), (2,), activation="maxout", context_channels=2),
    _case("recurrent", RecurrentSOCICNN, (4, 2), 3, (2,), (2,), activation="leaky_relu"),
    _case(
        "recurrent-own", RecurrentSOCICNN, (4, 2), 3, (2,), (2,), activation="maxout", shared=False, context_features=2
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
class TestSignedUnits(NetworkContract):
    @pytest.fixture(autouse=True)
    def _case(self, case: Case) -> None:
        self.case = case

    def test_float32_weights_are_lifted_exactly(self) -> None:
        """What is frozen are sums and products of the weights, taken in float64."""
        model = self.case.model(dtype=torch.float32)
        x, context = self.case.points(model, 6).double(), self.case.contexts(model, 1)
        theta = None if context is None else context[0].double()
        net = model.freeze(theta)
        exact = value(model.double(), x, theta).detach().numpy()
        np.testing.assert_allclose(net(x), exact, rtol=1e-6 if theta is not None else 1e-12)


def test_units_are_their_formulas() -> None:
    a, below = torch.randn(2, 50, dtype=torch.float64, generator=generator(0))
    both = torch.cat([a, below])
    torch.testing.assert_close(
        LayerUnits("leaky_relu", 0.25)(a, below), torch.where(a + below > 0, 1, 0.25) * (a + below)
    )
    torch.testing.assert_close(LayerUnits("maxout")(both, a), torch.maximum(2 * a, below))
    torch.testing.assert_close(LayerUnits("leaky_relu", 1.0)(a), a)
    torch.testing.assert_close(LayerUnits("leaky_relu", 0.0)(a), torch.relu(a))


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_slopes_at_the_ends_are_relu_and_a_straight_line(slope: float) -> None:
    model = ICNN(3, (5, 4), activation="leaky_relu", negative_slope=slope, generator=generator(1), dtype=torch.float64)
    x = torch.randn(20, 3, dtype=torch.float64, generator=generator(2))
    net = model.freeze()
    np.testing.assert_allclose(net(x), model(x).detach().numpy(), rtol=1e-13, atol=1e-13)
    assert net.hidden_features == ((5, 4) if slope == 0 else (5, 9))
    middle = (net(x) + net(-x.numpy())) / 2 - net(np.zeros((1, 3)))
    assert np.abs(middle).max() < 1e-12 if slope else middle.max() > 0.1


def test_frozen_layers_carry_what_leaky_units_add() -> None:
    """r_k = (relu(a_k), r_{k-1}): widths add up past leaky layers, and maxout layers need none."""
    widths = lambda kinds: ICNN(3, (6, 5, 4), activation=kinds).freeze().hidden_features  # noqa: E731 (shorthand)
    assert widths("leaky_relu") == (6, 11, 15)
    assert widths("maxout") == (6, 5, 4)
    assert widths(("leaky_relu", "softplus", "leaky_relu")) == (6, 5, 9)


@pytest.mark.parametrize("kind", ["leaky_relu", "maxout", ("softplus", "leaky_relu")])
def test_certificates_decisions_and_gradients(kind) -> None:
    """Proven at every scale, decided with proven gaps, and decisions are differentiated."""
    model = SOCICNN(3, (6, 5), (2,), (2,), activation=kind, context_features=2, generator=generator(3))
    model = model.double()
    theta = torch.randn(4, 2, dtype=torch.float64, generator=generator(4))
    for scale in (1e-6, 1.0, 1e6):
        x = scale * torch.randn(4, 3, dtype=torch.float64, generator=generator(5))
        certificate = verify.certify(model, x, theta, proof=True)
        assert certificate.ok, certificate.summary()
        exact = model(x, theta).detach().numpy()
        slack = 1e-12 * (1 + np.abs(exact).max())
        assert (certificate.lo <= exact + slack).all()
        assert (exact <= certificate.hi + slack).all()
    answer = decide(model, Box(3, -1, 1), theta)
    assert answer.certified.all()
    grid = 2 * torch.rand(4, 4000, 3, dtype=torch.float64, generator=generator(6)) - 1
    assert (answer.value - answer.gap <= model(grid, theta[:, None]).amin(dim=1) + 1e-12).all()
    layer = DecisionLayer(model, Box(3, -1, 1))
    layer(theta.requires_grad_()).square().sum().backward()
    assert theta.grad.isfinite().all()


def test_monotone_networks_move_as_their_signs_say() -> None:
    for kind in ("leaky_relu", "maxout"):
        for seed in range(5):
            model = ICNN(2, (5, 4), activation=kind, monotone=(1, -1), generator=generator(seed), dtype=torch.float64)
            with torch.no_grad():
                model.vectors.get_parameter("positive.v_signed.theta").zero_()  # nothing but what makes up for units
            a = 5 * torch.randn(500, 2, dtype=torch.float64, generator=generator(9))
            step = torch.rand(500, 2, dtype=torch.float64, generator=generator(8)) * torch.tensor([1.0, -1.0])
            assert (model(a + step) - model(a)).min() >= -1e-12


def test_what_is_refused() -> None:
    for slope in (-0.1, 1.5, True, float("nan")):
        with pytest.raises(ModelError, match=r"negative_slope must be a number in \[0, 1\]"):
            ICNN(3, (4,), activation="leaky_relu", negative_slope=slope)
    for kind in ("leaky_relu", "maxout"):
        with pytest.raises(ModelError, match=f"needs relu or softplus units; {kind} units can be negative"):
            ICNN(3, (4,), activation=kind, nonnegative=True)


def test_parameters_by_hand() -> None:
    """A maxout layer has a second matrix of x and a second bias; a leaky layer has what a ReLU layer has."""
    count = lambda kind: sum(p.numel() for p in ICNN(3, (6, 5), activation=kind).parameters())  # noqa: E731 (shorthand)
    assert count("leaky_relu") == count("relu") == 6 * 3 + 6 + 5 * 6 + 5 * 3 + 5 + 5 + 3 + 1
    assert count("maxout") == count("relu") + (6 + 5) * (3 + 1)
