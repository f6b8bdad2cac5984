"""Sparse operators against the dense matrix of the same map, column by column through torch."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from socicnn.errors import ModelError
from socicnn.nn import AveragePool, Conv
from socicnn.nn._geometry import Chain, Convolution, ImageMap, Pooling, Resizing
from tests.support.cases import generator

SIZES = [(7,), (6, 5), (1,), (4, 3, 2)]


def dense(apply, channels: int, size: tuple[int, ...]) -> np.ndarray:
    """The matrix of a linear map, from the images of the unit vectors."""
    count = channels * int(np.prod(size))
    units = torch.eye(count, dtype=torch.float64).reshape(count, channels, *size)
    return apply(units).reshape(count, -1).T.numpy()


def kernel_of(map_: Convolution) -> torch.Tensor:
    return torch.randn(map_.kernel_shape, generator=generator(0), dtype=torch.float64)


def check(map_: ImageMap, apply, kernel: torch.Tensor | None = None) -> None:
    matrix = map_.matrix(None if kernel is None else kernel.numpy())
    expected = dense(apply, map_.in_channels, map_.size)
    assert matrix.shape == (map_.out_channels * np.prod(map_.out_size), map_.in_channels * np.prod(map_.size))
    np.testing.assert_allclose(matrix.toarray(), expected, atol=1e-14)
    x = torch.randn(2, 3, map_.in_channels, *map_.size, generator=generator(1), dtype=torch.float64)
    image = map_.apply(x, kernel)
    assert image.shape == (2, 3, map_.out_channels, *map_.out_size)
    np.testing.assert_allclose(image.reshape(6, -1).numpy(), x.reshape(6, -1).numpy() @ expected.T, atol=1e-12)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), list(itertools.product((1, 2, 3), (1, 2), (0, 2), (1, 2)))
)
def test_convolution(size, kernel, stride, padding, dilation) -> None:
    spec = Conv(3, kernel, stride, padding, dilation)
    if min(size) + 2 * padding < dilation * (kernel - 1) + 1:
        with pytest.raises(ModelError, match="leaves nothing"):
            Convolution(spec, 2, size)
        return
    map_ = Convolution(spec, 2, size)
    K = kernel_of(map_)
    torch_conv = getattr(functional, f"conv{len(size)}d")
    check(map_, lambda x: torch_conv(x, K, stride=stride, padding=padding, dilation=dilation), K)


@pytest.mark.parametrize("size", SIZES[:3], ids=str)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), list(itertools.product((1, 3, 4), (1, 2), (0, 1), (1, 2)))
)
def test_transposed_convolution(size, kernel, stride, padding, dilation) -> None:
    spec = Conv(3, kernel, stride, padding, dilation, transposed=True)
    if any((N - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1 < 1 for N in size):
        with pytest.raises(ModelError, match="leaves nothing"):
            Convolution(spec, 2, size)
        return
    map_ = Convolution(spec, 2, size)
    K = kernel_of(map_)
    torch_conv = getattr(functional, f"conv_transpose{len(size)}d")
    check(map_, lambda x: torch_conv(x, K, stride=stride, padding=padding, dilation=dilation), K)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), list(itertools.product((1, 2, 3, 4, 5), (1, 2, 3), (1, 2))))
def test_same_padding_keeps_the_size_times_or_over_the_stride(kernel, stride, dilation, transposed) -> None:
    spec = Conv(2, kernel, stride, "same", dilation, transposed)
    span = dilation * (kernel - 1)
    if transposed and (short := max(0, stride - 1 - span) or (span + 1 - stride) % 2) >= max(stride, dilation):
        assert short == 1
        with pytest.raises(ModelError, match="cannot keep the size"):
            Convolution(spec, 1, (6, 5))
        return
    map_ = Convolution(spec, 1, (6, 5))
    expected = tuple(N * stride if transposed else -(N // -stride) for N in (6, 5))
    assert map_.out_size == expected
    K = kernel_of(map_)
    check(map_, lambda x: map_.apply(x, K), K)


def test_same_padding_is_torchs_own() -> None:
    for kernel, dilation in ((2, 2), (3, 2), (4, 2), (5, 3)):
        map_ = Convolution(Conv(2, kernel, dilation=dilation), 1, (6, 5))
        K = kernel_of(map_)
        x = torch.randn(1, 1, 6, 5, dtype=torch.float64, generator=generator(3))
        torch.testing.assert_close(map_.apply(x, K), functional.conv2d(x, K, padding="same", dilation=dilation))


def test_anisotropic_settings() -> None:
    map_ = Convolution(Conv(2, (3, 2), (2, 1), (1, 0), (1, 2)), 2, (7, 6))
    K = kernel_of(map_)
    check(map_, lambda x: functional.conv2d(x, K, stride=(2, 1), padding=(1, 0), dilation=(1, 2)), K)


@pytest.mark.parametrize("size", SIZES[:2], ids=str)
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), (2, 1, 1), (1, 3, 0)])
def test_average_pooling(size, kernel, stride, padding) -> None:
    pool = getattr(functional, f"avg_pool{len(size)}d")
    check(Pooling(AveragePool(kernel, stride, padding), 3, size), lambda x: pool(x, kernel, stride, padding))


@pytest.mark.parametrize(
    ("size", "new"), [((7,), (3,)), ((6, 5), (4, 5)), ((3, 4), (7, 8)), ((5,), (1,)), ((2, 2), (2, 2))]
)
def test_resizing(size, new) -> None:
    pool = getattr(functional, f"adaptive_avg_pool{len(size)}d")
    check(Resizing(2, size, new), lambda x: pool(x, new))


def test_chain_is_the_product() -> None:
    pool = Pooling(AveragePool(2), 2, (6, 4))
    conv = Convolution(Conv(3, 3, stride=2), 2, (3, 2))
    K = kernel_of(conv)
    chain = Chain([pool, conv], 2, (6, 4))
    check(chain, lambda x: functional.conv2d(functional.avg_pool2d(x, 2), K, stride=2, padding=1), K)
    assert (Chain([], 2, (3,)).matrix().toarray() == np.eye(6)).all()
