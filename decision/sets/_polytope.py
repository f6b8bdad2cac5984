"""The polytope {A x <= b, E x = f, lower <= x <= upper}, whose right-hand sides may move with the context."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from scipy import sparse

from decision.sets._base import FeasibleSet
from decision.sets._conic_set import ConicSet, ConicSystem
from decision.sets._moving import Affine, Moving, with_gradients
from decision.sets._recognised import recognised
from socicnn._arrays import as_float64
from socicnn.errors import ProgramError
from socicnn.frozen._terms import owned_matrix


@final
class Polytope(ConicSet):
    """The polytope {x in R^n : A x <= b, E x = f, lower <= x <= upper}.

    Right-hand sides b, f, lower and upper are each an array, an array per context (shape `(contexts, size)`), or an
    `Affine` map of theta. The set need not be bounded if the cost grows. A simplex, box or budget that is written as a
    polytope is recognised, and is decided as fast as these are.

    Args:
        A: matrix of the inequalities, shape `(rows, n)`, dense or sparse; None without.
        b: their right-hand sides.
        E: matrix of the equalities, shape `(rows, n)`; None without.
        f: their right-hand sides.
        lower: lower bounds, a number or one per coordinate; None, or -infinity, without.
        upper: upper bounds; None, or infinity, without.
        n: length of x, where neither matrices nor bounds tell it.

    Raises:
        ProgramError: shapes that disagree, NaN, or bounds that cross.

    >>> Polytope(A=[[1.0, 2.0]], b=[3.0], lower=0.0)
    Polytope(n=2)
    >>> Polytope(E=[[1.0, 1.0]], f=[1.0], lower=0.0).fixed()
    Simplex(n=2)
    """

    name = "polytope"

    def __init__(
        self,
        A: Any = None,
        b: Any = None,
        E: Any = None,
        f: Any = None,
        lower: Any = None,
        upper: Any = None,
        *,
        n: int | None = None,
    ) -> None:
        matrices = {"A": _matrix(A, "A"), "E": _matrix(E, "E")}
        super().__init__(_width(matrices, lower, upper) if n is None else n)
        self.detached = with_gradients(self, A=A, E=E)
        self._A, self._b = self._pair(matrices["A"], b, "A", "b")
        self._E, self._f = self._pair(matrices["E"], f, "E", "f")
        self._lower = Moving.of(-np.inf if lower is None else lower, self.n, "lower")
        self._upper = Moving.of(np.inf if upper is None else upper, self.n, "upper")
        self._check_bounds()

    def _pair(self, matrix: Any, side: Any, name: str, label: str) -> tuple[sparse.csr_array, Moving]:
        """Return a matrix and its right-hand sides."""
        if (matrix is None) != (side is None):
            raise ProgramError(f"{name} and {label} of a Polytope belong together; give both or neither")
        if matrix is None:
            return sparse.csr_array((0, self.n)), Moving(torch.zeros(1, 0, dtype=torch.float64))
        if matrix.shape[1] != self.n:
            raise ProgramError(f"{name} must have {self.n} columns, one per coordinate; received {matrix.shape}")
        return matrix, Moving.of(side, matrix.shape[0], label)

    def _check_bounds(self) -> None:
        lower, upper = self._lower.table.detach(), self._upper.table.detach()
        if bool((lower == torch.inf).any()) or bool((upper == -torch.inf).any()):
            raise ProgramError("a lower bound of +infinity, or an upper one of -infinity, leaves no point")
        both = self._lower.weight is None and self._upper.weight is None
        if (both and len(lower) in (1, len(upper))) or (both and len(upper) == 1):
            crossed = (lower > upper).nonzero()
            if len(crossed):
                i, j = (int(place) for place in crossed[0])
                where = f" of context {i}" if len(lower) > 1 or len(upper) > 1 else ""
                raise ProgramError(
                    f"the polytope is empty: lower exceeds upper in coordinate {j}{where}; exchange or widen them"
                )

    def build(self) -> ConicSystem:
        """Return E x = f and fixed coordinates, then A x <= b and the finite bounds."""
        eye = sparse.csr_array(sparse.eye_array(self.n))
        lower, upper = _some(self._lower), _some(self._upper)
        stuck = np.zeros(self.n, dtype=bool)
        if self._lower.fixed and self._upper.fixed:
            stuck = (self._lower.table == self._upper.table)[0].numpy()
        low, high, equal = (np.flatnonzero(which) for which in (lower & ~stuck, upper & ~stuck, stuck))
        parts = []
        if self._E.shape[0]:
            parts.append(ConicSystem.equalities(self._E, self._f))
        if len(equal):
            parts.append(ConicSystem.equalities(eye[equal], self._lower.take(equal)))
        if self._A.shape[0]:
            parts.append(ConicSystem.inequalities(self._A, self._b))
        if len(low):
            parts.append(ConicSystem.inequalities(-eye[low], self._lower.take(low).times(-1.0)))
        if len(high):
            parts.append(ConicSystem.inequalities(eye[high], self._upper.take(high)))
        if not parts:
            raise ProgramError("the polytope has no finite row; give A, E or bounds")
        return ConicSystem.stacked(parts)

    def fixed(self) -> FeasibleSet | None:
        """Return the simplex, box or budget that this polytope is; else None."""
        return None if self.moves else recognised(self.rows())


def _matrix(values: Any, name: str) -> sparse.csr_array | None:
    if values is None:
        return None
    matrix = owned_matrix(values if sparse.issparse(values) else as_float64(values, f"{name} of a Polytope"))
    if matrix.ndim != 2:
        raise ProgramError(f"{name} of a Polytope must be a matrix of shape (rows, n); received {matrix.shape}")
    sparse_matrix = sparse.csr_array(matrix)
    bad = int((~np.isfinite(sparse_matrix.data)).sum())
    if bad:
        raise ProgramError(f"{name} of a Polytope has {bad} non-finite entries; remove or replace them")
    return sparse_matrix


def _width(matrices: dict[str, Any], lower: Any, upper: Any) -> int:
    """Return n, as the first argument says that has one entry per coordinate."""
    for matrix in matrices.values():
        if matrix is not None:
            return int(matrix.shape[1])
    for bound in (lower, upper):
        if isinstance(bound, Moving | Affine):
            return bound.size
        if np.shape(bound):
            return int(np.shape(bound)[-1])
    raise ProgramError("the length of x is not known; give n=, a matrix, or one bound per coordinate")


def _some(bound: Moving) -> Any:
    """Return which bounds are finite in some context; those that are infinite in others are refused later."""
    return bound.table.detach().isfinite().any(dim=0).numpy()
