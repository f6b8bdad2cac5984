"""Norms over groups of entries, and roots of sums of squares, which are norms too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import IntArray
from socicnn.importers._forms import whole_form
from socicnn.importers._place import Place, affine
from socicnn.importers._value import Value, negative


def norms(place: Place, value: Value, together: IntArray, shape: tuple[int, ...]) -> Value:
    """Return the 2-norm over each row of positions of what is affine in x, in this shape."""
    affine(place, value, "takes the norm of")
    lengths = np.full(len(together), together.shape[1])
    return value.picked(together.reshape(-1)).made("norm", place.words, lengths).reshaped(shape)


def carried_norms(value: Value) -> Value:
    """Return what units take: at most one norm in each, and each norm in one, as layers hold them.

    Other norms are carried there by units of a layer below: ||p|| = relu(||p||).
    """
    norms = {group: M for group, M in value.atoms.items() if group.kind == "norm"}
    reads = np.zeros(value.size, dtype=np.int64)
    for M in norms.values():
        reads += np.diff(M.indptr)
    shared = any((np.bincount(M.indices, minlength=1) > 1).any() for M in norms.values())
    if not shared and not (reads > 1).any():
        return value
    plain = replace(value, atoms={group: M for group, M in value.atoms.items() if group not in norms})
    for group, M in norms.items():
        plain = plain.plus(group.value((group.size,)).made("relu", group.node).mapped(M, value.shape))
    return plain


def root(place: Place, value: Value) -> Value:
    """Read the root of a sum of squares (and of a constant >= 0), or of a semidefinite form, as a norm."""
    if any(group.kind == "product" for group in value.atoms):
        if any(group.kind not in ("product", "square") for group in value.atoms):
            raise place.refused("takes the root of something that is not a sum of squares")
        value = whole_form(place, value)
    squares = {group: M for group, M in value.atoms.items() if group.kind == "square"}
    if len(squares) < len(value.atoms) or value.x.nnz or negative(value)[0] or (value.constant < 0).any():
        raise place.refused("takes the root of something that is not a sum of squares")
    n = value.x.shape[1]
    parts: list[tuple[Any, Any, Any]] = []  # entry, row of X, constant of each row inside a norm
    for group, M in squares.items():
        coo = M.tocoo()
        factor = np.sqrt(coo.data)
        parts.append(
            (coo.row, sparse.diags_array(factor) @ group.source.x[coo.col], factor * group.source.constant[coo.col])
        )
    extra = np.flatnonzero(value.constant)
    parts.append((extra, sparse.csr_array((len(extra), n)), np.sqrt(value.constant[extra])))
    entry = np.concatenate([part[0] for part in parts])
    order = np.argsort(entry, kind="stable")
    rows = sparse.csr_array(sparse.vstack([part[1] for part in parts], format="csr")[order])
    constant = np.concatenate([part[2] for part in parts])[order]
    lengths = np.bincount(entry, minlength=value.size)
    if (lengths == 0).any():
        raise place.refused("takes the root of zero at some entries")
    return (
        Value((len(order),), constant, rows, kind=value.kind).made("norm", place.words, lengths).reshaped(value.shape)
    )
