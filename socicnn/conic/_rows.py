"""The rows of a feasible set: linear and conic constraints on x alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, as_float64
from socicnn.conic._blocks import own
from socicnn.conic._cones import Cones
from socicnn.errors import ProgramError


def own_numbers(data: Any, form: Any, matrices: Sequence[str], vectors: Sequence[str]) -> None:
    """Make the arrays of a frozen dataclass its own, read-only; what is no array yet, a list for instance, becomes one.

    Args:
        data: the dataclass.
        form: `csr_array` or `csc_array`, which a matrix becomes unless it is one of the two.
        matrices: names of the matrices.
        vectors: names of the vectors.

    Raises:
        ModelError: what is no array of numbers.
        ProgramError: a matrix that has not two axes.
    """
    for name in vectors:
        object.__setattr__(data, name, as_float64(getattr(data, name), name))
    for name in matrices:
        object.__setattr__(data, name, _compressed(getattr(data, name), form, name))
    own(data, *matrices, *vectors)


def _compressed(values: Any, form: Any, name: str) -> Any:
    if isinstance(values, sparse.csr_array | sparse.csc_array):
        return values
    if not sparse.issparse(values):
        values = as_float64(values, name)
    if values.ndim != 2:
        raise ProgramError(f"{name} must be a matrix, one list per row; received shape {values.shape}")
    return form(values)


@dataclass(frozen=True, eq=False)
class Rows:
    """Linear and second-order cone constraints on x alone: G x + s = h, s in K. The arrays are copied, read-only.

    Args:
        G: matrix of shape `(rows, n)`, sparse or not.
        h: vector of shape `(rows,)`.
        cones: the cone K of the rows.

    Raises:
        ProgramError: shapes that do not agree, or exponential cones.
        ModelError: what is no array of numbers.
    """

    G: sparse.csr_array
    h: Array
    cones: Cones
    any_cone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.cones, Cones):
            received = type(self.cones).__name__
            raise ProgramError(f"cones must be Cones, such as Cones(nonnegative=2); received {received}")
        own_numbers(self, sparse.csr_array, ["G"], ["h"])
        if self.cones.exponential and not self.any_cone:
            raise ProgramError(
                f"a set takes linear rows and second-order cones; received {self.cones.exponential} exponential cones"
            )
        if self.G.shape[0] != self.cones.rows or self.h.shape != (self.cones.rows,):
            raise ProgramError(
                f"rows must agree: G has shape {self.G.shape}, h {self.h.shape}, the cones {self.cones.rows} rows"
            )

    @cached_property
    def transposed(self) -> sparse.csr_array:
        """G'."""
        return sparse.csr_array(self.G.T)

    @cached_property
    def absolute(self) -> sparse.csr_array:
        """|G|."""
        return abs(self.G)

    @cached_property
    def lengths(self) -> Array:
        """The 2-norm of each row of G."""
        return np.asarray(np.sqrt((self.G * self.G).sum(axis=1))).reshape(-1)


class ProgramRows(Rows):
    """The rows of a whole program, which may have exponential cones, too."""

    any_cone = True
