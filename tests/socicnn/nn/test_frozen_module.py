"""A frozen network as a torch module: its numbers in the type that was asked for, or a refusal."""

import numpy as np
import pytest
import torch

from socicnn import ICNN
from socicnn.density import quadrature
from socicnn.density._targets import Gumbel
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn._frozen_module import FrozenModule


def net(bias: float = 0.5, weight: float = 2.0, offset: float = 1.0) -> FrozenNet:
    layers = [Layer(None, np.eye(2), np.array([bias, 1.0])), Layer([[weight, 1.0]], None, [0.25])]
    branches = [Quadratic(0.5, np.eye(2), [0.0, 1.0])], [Norm(3.0, [[1.0, 2.0]], [offset])]
    return FrozenNet(layers, Output([1.0], [0.5, 0.0], 1.0), *branches)


@pytest.mark.parametrize(
    ("changed", "dtype", "message"),
    [
        ({"bias": 1e39}, torch.float32, r"b1 holds 1e\+39, more than float32 holds \(3.4e\+38\); take a wider type"),
        ({"bias": -1e39}, torch.float32, r"b1 holds 1e\+39, more than float32"),
        ({"weight": 65520.0}, torch.float16, r"W2 holds 6.55e\+04, more than float16 holds \(6.55e\+04\)"),
        ({"offset": 1e-50}, torch.float32, "the offset of a norm branch holds 1e-50, which is 0 in float32; take"),
        ({"offset": 1e-9}, torch.float16, "the offset of a norm branch holds 1e-09, which is 0 in float16"),
    ],
)
def test_numbers_that_the_type_does_not_hold_are_refused(changed: dict[str, float], dtype, message: str) -> None:
    """They were written as infinite, or as zero, without a word."""
    with pytest.raises(ModelError, match=message):
        FrozenModule(net(**changed), dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_numbers_below_the_rounding_of_their_neighbours_may_vanish(dtype: torch.dtype) -> None:
    """A weight softplus(-200) beside one of 1 stops no export; neither does a sparse or an empty matrix."""
    small, x = net(bias=1e-60, weight=1e-80), torch.tensor([[0.5, -2.0], [1.0, 3.0]])
    values = FrozenModule(small, dtype)(x.to(dtype)).double()
    np.testing.assert_allclose(values, small(x), rtol=4 * torch.finfo(dtype).eps)
    largest = net(weight=65504.0)
    assert FrozenModule(largest, torch.float16).get_buffer("array2").isfinite().all()


@pytest.mark.parametrize("dtype", ["float32", np.float32, torch.int64, 32])
@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: ICNN(2, (3,), dtype=dtype),
        lambda dtype: quadrature([-1.0], [1.0], dtype=dtype),
        lambda dtype: Gumbel().sample(3, dtype=dtype),
    ],
)
def test_a_type_is_a_floating_type_of_torch(make, dtype) -> None:
    """Text was an AttributeError, a TypeError or 'Invalid device string', as it happened."""
    with pytest.raises(ModelError, match=r"dtype must be a floating type of torch, such as torch\.float32; received"):
        make(dtype)
