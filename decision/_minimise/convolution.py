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
SAMPLE, BLOCK = 2**12, 2**18  # entries that most other matrices are told apart by, and that are read at a time


@final
@dataclass(frozen=True, eq=False)
class ConvolutionMap:
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
    def of(cls, matrix: Matrix, size: tuple[int, ...], dtype: torch.dtype) -> ConvolutionMap | None:
        """Return a matrix of shape `(channels H W, image channels H W)` as a convolution; None if it is another map.

        Args:
            matrix: dense or sparse.
            size: height and width of the images, or another shape, which no image has.
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
    reading = _Reading(matrix.shape, size, inner)
    start, count, several = 0, matrix.shape[0], max(1, matrix.nnz)
    while start < count:
        stop = start + max(1, (BLOCK if start else SAMPLE) * count // several)
        if not reading.add(matrix, start, min(stop, count)):
            return None
        start = stop
    kernel, r = reading.kernel, reading.kernel.shape[-1] // 2
    far = max((abs(int(place) - r) for places in np.nonzero(kernel)[2:] for place in np.unique(places)), default=0)
    kernel = kernel[..., r - far : r + far + 1, r - far : r + far + 1]
    reach = [np.clip(length - np.abs(np.arange(-far, far + 1)), 0, None) for length in size]
    expected = int(((kernel != 0) * np.outer(*reach)).sum())
    return kernel if expected == np.count_nonzero(matrix.data) else None


class _Reading:
    """K, entered block of rows after block: of large matrices, what is computed of a block stays in the cache."""

    def __init__(self, shape: tuple[int, int], size: tuple[int, int], inner: int) -> None:
        places, self._r = size[0] * size[1], min(WIDEST, max(size) - 1)
        width = 2 * self._r + 1
        self.kernel = np.zeros((shape[0] // places, shape[1] // places, width, width))
        outer, place = np.divmod(np.arange(shape[0]), places * inner)
        place, within = np.divmod(place, inner)
        channel, target = np.divmod(np.arange(shape[1]), places)
        self._rows = np.divmod(place, size[1])
        self._columns = np.divmod(target, size[1])
        self._row_keys = (outer * inner + within) * self.kernel[0].size
        self._column_keys = channel * width**2

    def add(self, matrix: sparse.csr_array, start: int, stop: int) -> bool:
        """Enter some rows; tell whether no two entries contradict each other and none is too far away."""
        part = slice(matrix.indptr[start], matrix.indptr[stop])
        column, entries = matrix.indices[part], matrix.data[part]
        row = np.repeat(np.arange(start, stop), np.diff(matrix.indptr[start : stop + 1]))
        where = self._row_keys[row] + self._column_keys[column]
        for ours, theirs, step in zip(self._rows, self._columns, (2 * self._r + 1, 1), strict=True):
            move = theirs[column] - ours[row]
            if np.abs(move).max(initial=0) > self._r:
                return False
            where += (move + self._r) * step
        flat = self.kernel.reshape(-1)
        before = flat[where]
        flat[where] = entries
        return bool((flat[where] == entries).all() and ((before == 0) | (before == entries)).all())
