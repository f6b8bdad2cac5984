"""Convolutions, their transposes and average pooling as one sparse matrix each."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.errors import ModelError
from socicnn.importers._windows import reads


def convolution(
    shape: tuple[int, ...], weight: Array, settings: dict[str, Any], refused: Callable[[str], ModelError]
) -> tuple[sparse.csr_array, tuple[int, ...]]:
    """Return the matrix of a convolution on the flattened input, and the shape of its output.

    Args:
        shape: input shape `(images, channels, *space)`.
        weight: kernels, shape `(out_channels, channels / group, *kernel)`.
        settings: the node's attributes: strides, pads, dilations, group, auto_pad.
        refused: makes the error for invalid settings.
    """
    group = int(settings.get("group", 1))
    if weight.ndim != len(shape) or weight.shape[1] * group != shape[1] or weight.shape[0] % group:
        raise refused(f"has a kernel of shape {weight.shape} in {group} groups for an input of shape {shape}")
    seen, space = reads(shape, weight.shape[2:], settings, refused)
    positions = seen.shape[1]
    outs = weight.shape[0] // group
    flat = weight.reshape(group, outs, weight.shape[1], 1, -1)  # (groups, out, in, 1, kernel entries)
    columns = seen.reshape(group, 1, weight.shape[1], positions, -1)
    columns = np.broadcast_to(columns, (group, outs, *columns.shape[2:]))
    values = np.broadcast_to(flat, columns.shape)
    rows = np.arange(group * outs)[:, None] * positions + np.arange(positions)
    rows = np.broadcast_to(rows.reshape(group, outs, 1, positions, 1), columns.shape)
    kept = (columns >= 0) & (values != 0)
    coordinates = (values[kept], (rows[kept], columns[kept]))
    single = sparse.csr_array(coordinates, shape=(len(weight) * positions, prod(shape[1:])))
    return sparse.csr_array(
        sparse.kron(sparse.eye_array(shape[0]), single, format="csr") if shape[0] > 1 else single
    ), (
        shape[0],
        weight.shape[0],
        *space,
    )


def transposed(
    shape: tuple[int, ...], weight: Array, settings: dict[str, Any], refused: Callable[[str], ModelError]
) -> tuple[sparse.csr_array, tuple[int, ...]]:
    """Return the same for a transposed convolution: the transpose of the convolution back from its output.

    Args:
        shape: input shape `(images, channels, *space)`.
        weight: kernels, shape `(channels, out_channels / group, *kernel)`.
        settings: the node's attributes, `output_padding` among them.
        refused: makes the error for invalid settings.
    """
    rank = len(shape) - 2
    if settings.get("auto_pad", "NOTSET") != "NOTSET" or settings.get("output_shape"):
        raise refused("sets its padding by the size of its output, which is not read; give pads and output_padding")
    pads = settings.get("pads") or [0] * (2 * rank)
    more = settings.get("output_padding") or [0] * rank
    strides = settings.get("strides") or [1] * rank
    dilations = settings.get("dilations") or [1] * rank
    space = tuple(
        (size - 1) * strides[a] + (weight.shape[2 + a] - 1) * dilations[a] + 1 + more[a] - pads[a] - pads[rank + a]
        for a, size in enumerate(shape[2:])
    )
    out = (shape[0], weight.shape[1] * int(settings.get("group", 1)), *space)
    matrix, back = convolution(out, weight, settings, refused)
    if back != shape:
        raise refused(f"has kernels of shape {weight.shape} that do not fit an input of shape {shape}")
    return sparse.csr_array(matrix.T), out


def average_pool(
    shape: tuple[int, ...], settings: dict[str, Any], refused: Callable[[str], ModelError]
) -> tuple[sparse.csr_array, tuple[int, ...]]:
    """Return the same for average pooling; padded zeros count only where the node says so."""
    if settings.get("ceil_mode", 0):
        raise refused("has ceil_mode 1, which is not read; pad the input instead")
    kernel = tuple(settings["kernel_shape"])
    ones = np.ones((shape[1], 1, *kernel))
    matrix, out = convolution(shape, ones, {**settings, "group": shape[1]}, refused)
    counts = np.diff(matrix.indptr)
    if settings.get("count_include_pad", 0):
        counts = np.full(len(counts), int(np.prod(kernel)))
    return sparse.csr_array(sparse.diags_array(1.0 / np.maximum(counts, 1)) @ matrix), out
