"""Convolutions, their transposes, average pooling and resizing as sparse matrices, built without a loop over rows.

Images are flattened channel by channel, positions in row-major order, in one dimension or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from scipy import sparse

from socicnn._arrays import Array

Sizes = Sequence[int]


def out_size(size: Sizes, kernel: Sizes, stride: Sizes, padding: Sequence[tuple[int, int]], dilation: Sizes) -> Sizes:
    """Return the size of a convolution's image, floor((N + padding - d (k - 1) - 1) / s) + 1 along each axis."""
    along = zip(size, kernel, stride, padding, dilation, strict=True)
    return tuple((N + low + high - d * (k - 1) - 1) // s + 1 for N, k, s, (low, high), d in along)


def convolution(
    kernel: Array, size: Sizes, stride: Sizes, padding: Sequence[tuple[int, int]], dilation: Sizes
) -> sparse.csr_array:
    """Return the matrix of x -> kernel * x (cross-correlation with zero padding, as in torch).

    Args:
        kernel: shape `(out_channels, in_channels, *k)`.
        size: spatial size N of x.
        stride: s along each axis.
        padding: zeros (before, after) along each axis.
        dilation: d along each axis.

    Returns:
        Shape `(out_channels * positions, in_channels * prod(size))`.

    >>> convolution(np.array([[[1.0, 2.0]]]), (3,), (1,), ((0, 0),), (1,)).toarray()
    array([[1., 2., 0.],
           [0., 1., 2.]])
    """
    outputs, inputs, *k = kernel.shape
    image = out_size(size, k, stride, padding, dilation)
    source, valid = np.zeros((1, 1), dtype=np.int64), np.ones((1, 1), dtype=bool)
    for N, taps, P, s, (low, _), d in zip(size, k, image, stride, padding, dilation, strict=True):
        at = np.arange(P) * s + np.arange(taps)[:, None] * d - low  # (taps, P): where each tap of each position reads
        fits = (at >= 0) & (at < N)
        source = (source[:, None, :, None] * N + at[None, :, None, :]).reshape(-1, source.shape[1] * P)
        valid = (valid[:, None, :, None] & fits[None, :, None, :]).reshape(source.shape)
    positions, taps = valid.shape[::-1]
    pixels = int(np.prod(size, dtype=np.int64))
    # the rows of one output channel, (position, input channel, tap): their columns ascend as they are written
    shape = (positions, inputs, taps)
    kept = np.flatnonzero(np.broadcast_to(valid.T[:, None, :], shape))
    columns = (source.T[:, None, :] + pixels * np.arange(inputs)[:, None]).reshape(-1)[kept]
    data = kernel.reshape(outputs, -1)[:, kept % (inputs * taps)]
    counts = np.tile(inputs * np.count_nonzero(valid, axis=0), outputs)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    matrix = sparse.csr_array(
        (data.reshape(-1), np.tile(columns, outputs), indptr), shape=(outputs * positions, inputs * pixels)
    )
    matrix.eliminate_zeros()
    return matrix


def average_pool(
    channels: int, size: Sizes, kernel: Sizes, stride: Sizes, padding: Sequence[tuple[int, int]]
) -> sparse.csr_array:
    """Return the matrix of average pooling, padded zeros counted."""
    taps = np.full((1, 1, *kernel), 1.0 / np.prod(kernel))
    single = convolution(taps, size, stride, padding, (1,) * len(kernel))
    return sparse.csr_array(sparse.kron(sparse.eye_array(channels), single))


def resize(channels: int, size: Sizes, new_size: Sizes) -> sparse.csr_array:
    """Return the matrix of adaptive average pooling from one spatial size to another (also a larger one)."""
    axes = [_resize_axis(old, new) for old, new in zip(size, new_size, strict=True)]
    return sparse.csr_array(reduce(sparse.kron, [sparse.eye_array(channels), *axes]))


def _resize_axis(old: int, new: int) -> sparse.csr_array:
    cell = np.arange(new)
    start, stop = cell * old // new, -((cell + 1) * old // -new)
    counts = stop - start
    rows = np.repeat(cell, counts)
    columns = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(start, counts)
    return sparse.csr_array((1.0 / counts[rows], (rows, columns)), shape=(new, old))


def grouped_rows(channels: int, positions: int, group: int) -> np.ndarray:
    """Return the order of rows (channel, position) in which each `group` consecutive channels of a position adjoin."""
    index = np.arange(channels * positions).reshape(channels // group, group, positions)
    return index.transpose(0, 2, 1).ravel()
