"""Networks of changed numbers: parts at (x - m) / s, parts of absolute values, and vectors side by side.

W_k z + U_k (x - m)/s + b_k = W_k z + (U_k / s) x + b_k - (U_k / s) m, and alike in every term.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, Matrix, transform
from socicnn.frozen._parts import Layer, Output
from socicnn.frozen._terms import Term

T = TypeVar("T", bound=Term)


def composed_layer(layer: Layer, s: Array | float, m: Array | None = None) -> Layer:
    """Return the layer at (x - m) / s."""
    inner = {name: composed_term(term, s, m) for name, term in layer.named_inner()}
    if not layer.U.size:
        return layer.changed(**inner)
    return layer.changed(U=_rescaled(layer.U, s), b=_shifted(layer.b, layer.U, s, m), **inner)


def composed_term(term: T, s: Array | float, m: Array | None = None, factor: Array | float = 1.0) -> T:
    """Return factor times the term at (x - m) / s."""
    weight, matrix, offset = term.LETTERS
    M, o = _rescaled(term.matrix, s), _shifted(term.offset, term.matrix, s, m)
    return term.changed(**{weight: factor * term.weight, matrix: M, offset: o})


def absolute_layer(layer: Layer) -> Layer:
    """Return the layer of |U| and |b|, and of the absolute terms; W is >= 0."""
    inner = {name: absolute_term(term) for name, term in layer.named_inner()}
    return layer.changed(U=abs(layer.U), b=np.abs(layer.b), **inner)


def absolute_term(term: T) -> T:
    """Return the term of |M| and |o|; its weight is >= 0."""
    _, matrix, offset = term.LETTERS
    return term.changed(**{matrix: abs(term.matrix), offset: np.abs(term.offset)})


def absolute_output(output: Output) -> Output:
    """Return the read-out of |v| and |c|; w is >= 0."""
    return output.changed(v=np.abs(output.v), c=np.abs(output.c))


def joined(vectors: Sequence[Array]) -> Array:
    """Return vectors, some of them one per context, side by side."""
    lead = np.broadcast_shapes(*(vector.shape[:-1] for vector in vectors))
    return np.concatenate([np.broadcast_to(vector, (*lead, vector.shape[-1])) for vector in vectors], axis=-1)


def _rescaled(matrix: Matrix, s: Array | float) -> Matrix:
    """Return M diag(1 / s)."""
    if np.ndim(s) and sparse.issparse(matrix):
        return sparse.csr_array(matrix @ sparse.diags_array(1 / np.asarray(s)))
    return matrix / s


def _shifted(offset: Array, matrix: Matrix, s: Array | float, m: Array | None) -> Array:
    """Return o - M (m / s), o without m."""
    return offset if m is None else offset - transform(matrix, m / s)
