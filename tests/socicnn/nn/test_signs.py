"""Networks that are monotone in some entries, or non-negative, by construction."""

import itertools

import numpy as np
import pytest
import torch

import socicnn
from socicnn import ICNN, SOCICNN, ConvSOCICNN
from socicnn.errors import ModelError
from tests.support.cases import generator

CASES = list(
    itertools.product(
        [{}, {"context_features": 2}, {"context_features": 2, "context": "joint"}],
        ["projected", "softplus", "square"],
        [False, True],
    )
)


@pytest.mark.parametrize(("context", "recipe", "nonnegative"), CASES)
def test_signs_hold_for_any_weights_and_in_the_export(context, recipe, nonnegative, tmp_path) -> None:
    model = SOCICNN(
        4,
        (8, 8),
        (3, "diagonal"),
        (2, 2),
        **context,
        positivity=recipe,
        monotone=[0, 1, -1, 0],
        nonnegative=nonnegative,
        generator=generator(0),
        dtype=torch.float64,
    )
    y_mean = {} if nonnegative else {"y_mean": -3.0}
    model.standardise(x_mean=[1, 2, 3, 4], x_scale=[1, 2, 3, 4], y_scale=2.0, **y_mean)
    x = 4 * torch.randn(60, 4, dtype=torch.float64, generator=generator(1))
    theta = torch.randn(2, dtype=torch.float64, generator=generator(2)) if context else None
    at = x.clone().requires_grad_()
    value = model(at, theta)
    (slope,) = torch.autograd.grad(value.sum(), at)
    assert (slope[:, 1] >= 0).all()
    assert (slope[:, 2] <= 0).all()
    assert slope[:, 1].max() > 0
    assert slope[:, 2].min() < 0
    if nonnegative:
        assert (value >= 0).all()
    net = model.freeze(theta)
    np.testing.assert_allclose(net(x.numpy()), value.detach().numpy(), rtol=1e-12, atol=1e-12)
    socicnn.save(model, tmp_path / "net.safetensors")
    again = socicnn.load(tmp_path / "net.safetensors")
    torch.testing.assert_close(again(x, theta), value.detach(), rtol=0, atol=0)
    torch.testing.assert_close(model.finalise()(x, theta), value.detach(), rtol=1e-9, atol=1e-9)


def test_every_entry_may_be_monotone_without_branches() -> None:
    model = SOCICNN(2, (4,), (), (), monotone=[1, 1])
    layer, output = model.freeze().layers[0], model.freeze().output
    assert layer.U.min() < 0  # max(x_1, x_2) needs both signs
    assert (output.v - output.w @ np.maximum(-layer.U, 0) >= 0).all()
    with pytest.raises(ModelError, match="not monotone"):
        SOCICNN(2, (4,), monotone=[1, 1])


@pytest.mark.parametrize("signs", [(1, 1), (-1, 1), (-1, -1)])
def test_a_maximum_of_coordinates_is_within_reach(signs) -> None:
    """max(s x_1, t x_2) = relu(s x_1 - t x_2) + t x_2; no sum of increasing units of single signs is near it."""
    s, t = signs
    model = SOCICNN(2, (1,), (), (), monotone=signs, dtype=torch.float64)
    with torch.no_grad():
        model.U[0].copy_(torch.tensor([[s, -t]]))
        for name, value in {"free.b1": 0, "positive.w.theta": 1, "positive.v_signed.theta": 0, "free.c": 0}.items():
            model.vectors.get_parameter(name).fill_(value)
    x = torch.randn(50, 2, dtype=torch.float64, generator=generator(3))
    torch.testing.assert_close(model(x), torch.maximum(s * x[:, 0], t * x[:, 1]))


def test_no_sign_is_the_network_of_before() -> None:
    plain, zero = (ICNN(3, (5,), generator=generator(0), **more) for more in ({}, {"monotone": [0, 0, 0]}))
    assert plain.state_dict().keys() == zero.state_dict().keys()
    assert plain.config() == zero.config()


@pytest.mark.parametrize("monotone", [[1, 0], [2, 0, 0], [0.5, 0, 0], [True, 0, 0]])
def test_signs_that_do_not_fit_are_named(monotone) -> None:
    with pytest.raises(ModelError, match="one of -1, 0 and 1 for each of 3 entries"):
        ICNN(3, (5,), monotone=monotone)


def test_what_has_no_signs_says_so() -> None:
    with pytest.raises(TypeError, match="monotone"):
        ConvSOCICNN((1, 4, 4), (3,), monotone=[1])
    with pytest.raises(ModelError, match="keeps y_mean 0"):
        ICNN(3, (5,), nonnegative=True).standardise(y_mean=1.0)


def test_a_maximum_of_many_increasing_planes_is_within_reach() -> None:
    """z_k = relu(z_{k-1} + l_{k-1} - l_k) ends in max_k l_k - l_K; its fall leaves v_signed the least of the slopes."""
    slopes = torch.rand(5, 2, dtype=torch.float64, generator=generator(4))
    model = SOCICNN(2, (1,) * 4, (), (), monotone=[1, 1], dtype=torch.float64)
    with torch.no_grad():
        for k in range(4):
            model.U[k].copy_(slopes[k] - slopes[k + 1])
            if k:
                model.W[k - 1].get_parameter("theta").fill_(1)
        for name in ("free.b1", "free.b2", "free.b3", "free.b4", "free.c"):
            model.vectors.get_parameter(name).fill_(0)
        model.vectors.get_parameter("positive.w.theta").fill_(1)
        model.vectors.get_parameter("positive.v_signed.theta").copy_(slopes.amin(dim=0))
    x = torch.randn(50, 2, dtype=torch.float64, generator=generator(5))
    torch.testing.assert_close(model(x), (x @ slopes.T).amax(dim=1))
