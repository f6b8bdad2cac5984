"""Means keep their digits when the type of a network changes: converted, or loaded from a wider state."""

import copy

import numpy as np
import pytest
import torch

from socicnn import ICKAN, ICNN, SOCICNN, ConvSOCICNN, RecurrentSOCICNN
from socicnn.nn._network import Network
from tests.support.cases import generator

FAR = 1.7e9 + 59.72
NARROW = (torch.float32, torch.bfloat16, torch.float16)


def network(dtype: torch.dtype = torch.float64, mean: float = FAR) -> SOCICNN:
    model = SOCICNN(2, (4,), context_features=1, dtype=dtype, generator=generator(0))
    for name in ("x", "context", "y"):
        model.standardisation.assign(name, mean + 1 / 3, 3.0)
    return model


def means(model: Network) -> list[float]:
    return [float(model.standardisation.exact_mean(name).flatten()[0]) for name in ("x", "context", "y")]


def loaded(model: Network, dtype: torch.dtype) -> Network:
    narrow = network(dtype, 0.0)
    state = model.state_dict()
    kept = dict(state)
    narrow.load_state_dict(state)
    assert all(state[name] is kept[name] for name in kept)  # the caller's state is left alone
    return narrow


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("way", [lambda model, dtype: copy.deepcopy(model).to(dtype), loaded], ids=["to", "loaded"])
def test_a_mean_keeps_what_its_type_loses(way, dtype: torch.dtype) -> None:
    mean = FAR if dtype == torch.float32 else 2020.0
    model = network(mean=mean)
    narrow = way(model, dtype)
    lost = torch.finfo(dtype).eps ** 2 * mean
    np.testing.assert_allclose(means(narrow), means(model), rtol=0, atol=lost)
    fresh = network(dtype, mean)  # what the network would hold, had it been in this type when it was fitted
    for name, buffer in fresh.standardisation.named_buffers():
        assert torch.equal(buffer, narrow.standardisation.get_buffer(name))
        assert buffer.dtype == narrow.standardisation.get_buffer(name).dtype == dtype


def test_the_function_stays_where_it_is() -> None:
    x = FAR + 10 * np.random.default_rng(0).normal(size=(50, 2))
    theta = np.array([FAR])
    model = network()
    model.standardisation.assign("y", 0.0, 1.0)
    expected = model.freeze(theta)(x)
    for narrow in (copy.deepcopy(model).float(), loaded(model, torch.float32)):
        np.testing.assert_allclose(narrow.freeze(theta)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        ICNN(2),
        ICKAN(2, (3,)),
        ConvSOCICNN((1, 4, 4), (2,)),
        ConvSOCICNN((1, 4, 4), (2,), context_channels=1),
        RecurrentSOCICNN((5, 2), 3),
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_network_keeps_its_means(model: Network) -> None:
    model.double()
    own = model.standardisation
    names = [name for name in ("x", "context", "y") if f"{name}_mean" in dict(own.named_buffers())]
    for name in names:
        own.assign(name, FAR, 1.0)
    model.float()
    assert all(bool((own.exact_mean(name) - FAR).abs().max() < 1e-5) for name in names)


@pytest.mark.parametrize("dtype", NARROW)
def test_a_wider_type_takes_the_buffers_as_they_are(dtype: torch.dtype) -> None:
    model = network(dtype, 2020.0)
    wide = copy.deepcopy(model).double()
    assert means(wide) == means(model)
    into = network(torch.float64)
    into.load_state_dict(model.state_dict())
    assert means(into) == means(model)
    for name, buffer in wide.to(dtype).standardisation.named_buffers():  # and back
        assert torch.equal(buffer, model.standardisation.get_buffer(name))


@pytest.mark.parametrize("dtype", [torch.float64, *NARROW])
@pytest.mark.parametrize("change", [lambda m: m.cpu(), lambda m: m.to(dtype=m.standardisation.x_mean.dtype), None])
def test_the_same_type_changes_no_bit(dtype: torch.dtype, change) -> None:
    model = network(dtype, 2020.0)
    model.standardisation.x_mean_low.fill_(7.0)  # whatever the second buffer holds
    before = {name: buffer.clone() for name, buffer in model.state_dict().items()}
    if change is None:
        model.load_state_dict(before)
    else:
        change(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_states_that_become_the_buffers_keep_their_type() -> None:
    wide, narrow = network(), network(torch.float32)
    narrow.load_state_dict(wide.state_dict(), assign=True)
    assert narrow.standardisation.x_mean.dtype == torch.float64
    assert means(narrow) == means(wide)


def test_a_wide_state_of_an_older_version_is_split_too() -> None:
    wide, narrow = network(), network(torch.float32)
    older = {name: tensor for name, tensor in wide.state_dict().items() if not name.endswith("_low")}
    narrow.load_state_dict(older)
    np.testing.assert_allclose(means(narrow), means(wide), rtol=0, atol=1e-5)


def test_means_beyond_a_type_the_meta_device_and_types_of_eight_bits() -> None:
    model = network().half()
    assert model.standardisation.x_mean.isinf().all()
    assert not model.standardisation.x_mean_low.any()
    assert network().to("meta", torch.float32).standardisation.x_mean_low.is_meta
    assert network().to("meta").to_empty(device="cpu").standardisation.x_mean.dtype == torch.float64
    assert network(mean=3.0).to(torch.float8_e5m2).standardisation.x_mean.dtype == torch.float8_e5m2
