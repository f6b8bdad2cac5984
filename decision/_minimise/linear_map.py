"""A matrix that a batch of networks shares, dense or sparse, on any device."""

from __future__ import annotations

import warnings
from functools import cached_property, lru_cache
from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision._minimise.convolution import ConvolutionMap
from decision._minimise.windows import Windows
from socicnn._arrays import Array, IntArray, Matrix

MANY = 10**6  # entries from which a transpose is not stored, as SciPy multiplies with it as fast


@final
class Map:
    """A matrix M that acts on rows: `apply` gives points M', `adjoint` gives points M; dense or sparse.

    Args:
        matrix: shape `(rows, columns)`.
        device: where to compute.
        dtype: in which float type.
        image: size of the images that x is made of, if it is: sparse convolutions are computed as such in float32.
    """

    def __init__(
        self,
        matrix: Matrix,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float64,
        image: tuple[int, ...] = (),
    ) -> None:
        self._matrix, self._device, self._dtype, self._image = matrix, device, dtype, image
        self._convolution: tuple[ConvolutionMap | None] | None = None
        if isinstance(matrix, np.ndarray):
            self._dense: Tensor | None = torch.tensor(matrix, dtype=dtype, device=device)
        else:
            self._dense = None
        self._gram: Tensor | None = None
        self._grams: Tensor | None = None
        self._windows: tuple[Windows | None] | None = None
        self._row_norms: Tensor | None = None
        self._scaled: tuple[float, Map] | None = None
        self._absolute: Map | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (int(self._matrix.shape[0]), int(self._matrix.shape[1]))

    @cached_property
    def _sparse(self) -> Tensor:
        return _csr(self._matrix, self._device, self._dtype)

    @cached_property
    def _transposed(self) -> Tensor:
        return _csr(sparse.csr_array(self._matrix.T), self._device, self._dtype)

    @property
    def dense(self) -> Tensor:
        """The matrix as a dense tensor."""
        if self._dense is None:
            self._dense = self._sparse.to_dense()
        return self._dense

    @property
    def array(self) -> Array:
        """The matrix as a dense array of NumPy."""
        array: Array = self.dense.numpy()
        return array

    @property
    def gram(self) -> Tensor:
        """M'M, shape `(columns, columns)`, computed once."""
        if self._gram is None:
            self._gram = self.dense.T @ self.dense
        return self._gram

    def grams(self, group: int) -> Tensor:
        """Return M_i'M_i of consecutive groups of rows, each as a row, shape `(groups, columns^2)`, computed once."""
        if self._grams is None:
            blocks = self.dense.reshape(-1, group, self.shape[1])
            self._grams = (blocks.mT @ blocks).flatten(1)
        return self._grams

    def windows(self, group: int) -> Windows | None:
        """Return the windows of consecutive groups of rows, computed once; None if they would save little."""
        if self._windows is None:
            self._windows = (Windows.of(self.dense, group),)
        return self._windows[0]

    @property
    def row_norms(self) -> Tensor:
        """Euclidean length of each row, shape `(rows,)`, computed once."""
        if self._row_norms is None:
            if isinstance(self._matrix, np.ndarray):
                self._row_norms = torch.linalg.vector_norm(self.dense, dim=1)
            else:
                squares = sparse.csr_array(self._matrix).power(2).sum(axis=1)
                lengths = np.sqrt(np.asarray(squares))
                self._row_norms = torch.as_tensor(lengths, dtype=self._dtype, device=self._device)
        return self._row_norms

    def absolute(self) -> Map:
        """Return |M|, computed once."""
        if self._absolute is None:
            self._absolute = Map(abs(self._matrix), self._device, self._dtype, self._image)
        return self._absolute

    def part(self, rows: IntArray, columns: IntArray | None = None) -> Map:
        """Return M with these rows and columns alone."""
        some = self._matrix[rows]
        return Map(some if columns is None else some[:, columns], self._device, self._dtype)

    def reads(self, rows: IntArray) -> Any:
        """Return which columns have an entry in these rows, shape `(columns,)`."""
        return np.asarray((self._matrix[rows] != 0).sum(axis=0)).ravel() > 0

    def __matmul__(self, columns: Tensor) -> Tensor:
        """Return M times columns of shape `(columns, count)`."""
        matrix = self.dense if isinstance(self._matrix, np.ndarray) else self._sparse
        return matrix @ columns

    @property
    def T(self) -> Adjoint:
        """M', to multiply columns with."""
        return Adjoint(self)

    def sign(self) -> Map:
        """Return the signs of M, which do not underflow where M does."""
        matrix = np.sign(self._matrix) if isinstance(self._matrix, np.ndarray) else self._matrix.sign()
        return Map(matrix, self._device, self._dtype)

    def scaled(self, factor: float) -> Map:
        """Return factor M; the last one is kept, as a search over the same set asks for it again."""
        if factor == 1.0:
            return self
        if self._scaled is None or self._scaled[0] != factor:
            self._scaled = factor, Map(self._matrix * factor, self._device, self._dtype, self._image)
        return self._scaled[1]

    @property
    def is_sparse(self) -> bool:
        """Whether M is stored by its entries that are not zero."""
        return not isinstance(self._matrix, np.ndarray)

    def isfinite(self) -> bool:
        """Return whether every entry is finite."""
        entries = self._matrix if isinstance(self._matrix, np.ndarray) else self._matrix.data
        return bool(np.isfinite(entries).all())

    def to(self, dtype: torch.dtype) -> Map:
        """Return M in another float type."""
        return Map(self._matrix, self._device, dtype, self._image)

    def apply(self, points: Tensor) -> Tensor:
        """Return M x for each row x of shape `(columns,)`."""
        if isinstance(self._matrix, np.ndarray):
            return points @ self.dense.T
        convolution = self._as_convolution()
        return (self._sparse @ points.T).T if convolution is None else convolution.apply(points)

    def add(self, base: Tensor, points: Tensor) -> Tensor:
        """Return base + M x for each row x; base has a row for each."""
        if isinstance(self._matrix, np.ndarray):
            return torch.addmm(base, points, self.dense.T)
        return base + self.apply(points)

    def adjoint(self, points: Tensor) -> Tensor:
        """Return M'y for each row y of shape `(rows,)`."""
        if isinstance(self._matrix, np.ndarray):
            return points @ self.dense
        convolution = self._as_convolution()
        if convolution is not None:
            return convolution.adjoint(points)
        if self._matrix.nnz >= MANY and self._dtype == torch.float64 and points.device.type == "cpu":
            return torch.from_numpy((self._matrix.T @ points.numpy().T).T)
        return (self._transposed @ points.T).T

    def _as_convolution(self) -> ConvolutionMap | None:
        """Return M as a convolution, looked for once; None if it is another map, or sparse products are as fast."""
        if self._convolution is None:
            fits = self._dtype == torch.float32 and self._image and torch.device(self._device or "cpu").type == "cpu"
            self._convolution = (ConvolutionMap.of(self._matrix, self._image, torch.float32) if fits else None,)
        return self._convolution[0]


@final
class Adjoint:
    """The transpose of a map."""

    def __init__(self, map_: Map) -> None:
        self._map = map_

    def __matmul__(self, columns: Tensor) -> Tensor:
        """Return M' times columns of shape `(rows, count)`."""
        return self._map.adjoint(columns.T).T


@lru_cache
def nothing(rows: int, columns: int, device: torch.device) -> Map:
    """Return the map to zero."""
    return Map(sparse.csr_array((rows, columns)), device)


def _csr(matrix: Any, device: torch.device | str | None, dtype: torch.dtype) -> Tensor:
    small = max(matrix.nnz, *matrix.shape) < 2**31  # then the products need no copy of the places in a shorter type
    places = torch.int32 if small else torch.int64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that its sparse rows are in beta; the tests here cover their use
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr).to(places),  # shared with the matrix where the types are the same
            torch.from_numpy(matrix.indices).to(places),
            torch.from_numpy(matrix.data).to(dtype),
            size=matrix.shape,
            device=device,
        )
