"""Sparse matrices that are convolutions of images, found from their entries: in float32 torch's kernels are faster.

A row (i, y, x, j) of such a matrix, i and j its channel and y, x its place, has the entries K[ij, c, dy, dx] at the
places (y + dy, x + dx) of channel c of the image that are inside: a convolution of stride one, zeros around the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from socicnn._arrays import Array, Matrix

WIDEST = 7  # |dy| and |dx| at most
SAMPLE = 4096  # entries that most other matrices are told apart by


@final
@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution of flattened images, as a matrix acts on rows.

    Args:
        kernel: K, shape `(channels, image channels, 2 r + 1, 2 r + 1)`.
        size: height and width of the images.
        inner: how many channels j stay together at each place.
    """

    kernel: Tensor
    size: tuple[int, int]
    inner: int

    @classmethod
    def of(cls, matrix: Matrix, size: tuple[int, ...], dtype: torch.dtype) -> Convolution | None:
        """Return a matrix of shape `(channels H W, image channels H W)` as a convolution; None if it is none.

        Args:
            matrix: dense or sparse.
            size: height and width of the images, or a shape that is none of an image.
            dtype: type to compute in.
        """
        if isinstance(matrix, np.ndarray) or len(size) != 2:
            return None
        places, entries = size[0] * size[1], sparse.csr_array(matrix)
        if any(side == 0 or side % places for side in entries.shape):
            return None
        channels = entries.shape[0] // places
        for inner in (k for k in range(1, channels + 1) if channels % k == 0):
            kernel = _kernel(entries, (size[0], size[1]), inner)
            if kernel is not None:
                return cls(torch.as_tensor(kernel, dtype=dtype), (size[0], size[1]), inner)
        return None

    def apply(self, points: Tensor) -> Tensor:
        """Return M x for each row x."""
        images = points.reshape(len(points), -1, *self.size)
        out = torch.nn.functional.conv2d(images, self.kernel, padding=self._radius)
        if self.inner > 1:
            out = out.unflatten(1, (-1, self.inner)).permute(0, 1, 3, 4, 2)
        return out.reshape(len(points), -1)

    def adjoint(self, points: Tensor) -> Tensor:
        """Return M'y for each row y."""
        images = points.reshape(len(points), -1, *self.size, self.inner).movedim(-1, 2).flatten(1, 2)
        return torch.nn.functional.conv2d(images, self.turned, padding=self._radius).reshape(len(points), -1)

    @cached_property
    def turned(self) -> Tensor:
        """The kernel of the adjoint: both axes run the other way, and channels change places."""
        return self.kernel.flip(-1, -2).transpose(0, 1).contiguous()

    @property
    def _radius(self) -> int:
        return self.kernel.shape[-1] // 2


def _kernel(matrix: sparse.csr_array, size: tuple[int, int], inner: int) -> Array | None:
    """Return K if every entry is where and what the convolution says; None otherwise."""
    few = matrix[: max(1, SAMPLE * matrix.shape[0] // max(1, matrix.nnz))]
    if few.shape[0] < matrix.shape[0] and _read(few, matrix.shape, size, inner) is None:
        return None
    known = _read(matrix, matrix.shape, size, inner)
    if known is None:
        return None
    kernel, r = known, known.shape[-1] // 2
    reach = [np.clip(length - np.abs(np.arange(-r, r + 1)), 0, None) for length in size]
    expected = int(((kernel != 0) * np.outer(*reach)).sum())
    return kernel if expected == np.count_nonzero(matrix.data) else None


def _read(rows: sparse.csr_array, shape: tuple[int, int], size: tuple[int, int], inner: int) -> Array | None:
    """Return K from the first rows of a matrix; None if two entries contradict each other or one is too far away."""
    places, entries = size[0] * size[1], sparse.coo_array(rows)
    outer, place = np.divmod(entries.row, places * inner)
    place, within = np.divmod(place, inner)
    outer = outer * inner + within
    channel, target = np.divmod(entries.col, places)
    dy, dx = target // size[1] - place // size[1], target % size[1] - place % size[1]
    del place, within, target  # large matrices are bound by memory
    r = int(max(np.abs(dy).max(initial=0), np.abs(dx).max(initial=0)))
    if r > WIDEST:
        return None
    kernel = np.zeros((shape[0] // places, shape[1] // places, 2 * r + 1, 2 * r + 1))
    where = (outer, channel, dy + r, dx + r)
    kernel[where] = entries.data
    return kernel if np.array_equal(kernel[where], entries.data) else None
