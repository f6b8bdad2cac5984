"""Quadratic forms x'Qx that are written as products: read as ||F x||^2 where Q is positive semidefinite.

Products of two expressions that are affine in x are kept as they are until something reads their sum. Then

    sum_i w_i p_i(x) q_i(x) = x'Qx + l'x + c,    Q = F'F,

with F from the eigenvalues of Q: the network that is read is convex by construction. Q is taken as positive
semidefinite if no eigenvalue is below -n eps ||Q||, eps of the type that the graph computes in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array
from socicnn.errors import ModelError
from socicnn.importers._place import Place, affine
from socicnn.importers._value import Atoms, Value

MOST_INPUTS = 1000  # entries of x in one form: its eigenvalues take about a second
_EPS = {"float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}


def product(place: Place, first: Value, second: Value) -> Value:
    """Return the entrywise product of two tensors of one shape that are affine in x."""
    for value in (first, second):
        affine(place, value, "multiplies")
    both = Value(
        (2 * first.size,),
        np.concatenate([first.constant, second.constant]),
        sparse.csr_array(sparse.vstack([first.x, second.x], format="csr")),
        origin=place.words,
        kind=first.kind,
    )
    return Atoms("product", first.size, both, place.words).value(first.shape, place.words)


def without_products(place: Place | None, value: Value) -> Value:
    """Return the same function with sums of squares in place of products.

    Args:
        place: what reads them, for messages; None for the graph's output.
        value: the tensor.

    Raises:
        ModelError: a form is not positive semidefinite.
    """
    groups = [group for group in value.atoms if group.kind == "product"]
    if not groups:
        return value
    entry: list[Any] = []
    rows: list[Any] = []
    x, constant = value.x.tolil(), value.constant.copy()
    for i in sorted({row for group in groups for row in np.flatnonzero(np.diff(value.atoms[group].indptr)).tolist()}):
        H, inputs = homogeneous(value, i, groups)
        F = _factor(H[:-1, :-1], value.kind, _named(place, groups))
        rows.append(_in_all(F, inputs, value.x.shape[1]))
        entry.append(np.full(len(F), i))
        for j, linear in zip(inputs, 2 * H[:-1, -1], strict=True):
            x[i, j] += linear
        constant[i] += H[-1, -1]
    kept = {group: M for group, M in value.atoms.items() if group.kind != "product"}
    plain = replace(value, x=sparse.csr_array(x), constant=constant, atoms=kept)
    return plain.plus(_squares(np.concatenate(entry), rows, value, groups[0].node))


def whole_form(place: Place, value: Value) -> Value:
    """Return a tensor of forms as sums of squares alone, (x, 1)'H(x, 1) = ||F (x, 1)||^2, as a root needs it."""
    groups = [group for group in value.atoms if group.kind in ("product", "square")]
    entry: list[Any] = []
    rows: list[Any] = []
    for i in range(value.size):
        H, inputs = homogeneous(value, i, groups)
        linear = value.x[[i]].toarray().reshape(-1)
        wider = np.union1d(inputs, np.flatnonzero(linear))
        G = np.zeros((len(wider) + 1, len(wider) + 1))
        at = np.append(np.searchsorted(wider, inputs), len(wider))
        G[np.ix_(at, at)] = H
        G[:-1, -1] += linear[wider] / 2
        G[-1, :-1] += linear[wider] / 2
        G[-1, -1] += value.constant[i]
        F = _factor(G, value.kind, _named(place, groups))
        rows.append(sparse.hstack([_in_all(F[:, :-1], wider, value.x.shape[1]), sparse.csr_array(F[:, -1:])]))
        entry.append(np.full(len(F), i))
    zero = replace(value, x=sparse.csr_array(value.x.shape), constant=np.zeros(value.size), atoms={})
    return zero.plus(_squares(np.concatenate(entry), rows, value, place.words, shifted=True))


def homogeneous(value: Value, i: int, groups: list[Atoms]) -> tuple[Array, Any]:
    """Return the symmetric matrix H of entry i's form in (x, 1), over the entries of x that it reads, and these."""
    pieces = []
    for group in groups:
        M = value.atoms[group][[i]].tocoo()
        own, twin = M.col, M.col + (group.size if group.kind == "product" else 0)
        source = group.source
        pieces.append((M.data, source.x[own], source.constant[own], source.x[twin], source.constant[twin]))
    inputs = np.unique(np.concatenate([np.concatenate([P.indices, R.indices]) for _, P, _, R, _ in pieces]))
    if len(inputs) > MOST_INPUTS:
        raise ModelError(
            f"{groups[0].node} makes a quadratic form of {len(inputs)} entries of x, more than the {MOST_INPUTS} that "
            "are read; write it as a sum of squares"
        )
    H = np.zeros((len(inputs) + 1, len(inputs) + 1))
    for weight, P, p, R, r in pieces:
        left = np.column_stack([P[:, inputs].toarray(), p])
        right = np.column_stack([R[:, inputs].toarray(), r])
        H += (left * weight[:, None]).T @ right
    return (H + H.T) / 2, inputs


def _factor(Q: Array, kind: str, named: str) -> Array:
    """Return F with F'F = Q, one row per eigenvalue that is not zero."""
    values, vectors = np.linalg.eigh(Q)
    size = float(np.abs(values).max(initial=0.0))
    floor = len(Q) * _EPS.get(kind, 2.0**-23) * size
    if values.min(initial=0.0) < -floor:
        raise ModelError(
            f"{named} a quadratic form that is not positive semidefinite (eigenvalues from {values.min():.3g} to "
            f"{values.max():.3g}), so that the network is not convex"
        )
    kept = values > len(Q) * 2.0**-52 * size
    return np.sqrt(values[kept])[:, None] * vectors[:, kept].T


def _named(place: Place | None, groups: list[Atoms]) -> str:
    made = ", ".join(sorted({group.node for group in groups}))
    return f"{made} makes" if place is None else f"{place.words} takes, from {made},"


def _in_all(F: Array, inputs: Any, n: int) -> Any:
    """Return the rows of F, which reads some entries of x, as rows over all of them."""
    coo = sparse.coo_array(F)
    return sparse.csr_array((coo.data, (coo.row, inputs[coo.col])), shape=(len(F), n))


def _squares(entry: Any, rows: list[Any], value: Value, words: str, *, shifted: bool = False) -> Value:
    """Return the sums of squares of these rows (`shifted`: the last column is a constant), entry by entry."""
    stacked = sparse.csr_array(sparse.vstack(rows, format="csr"))
    n = value.x.shape[1]
    constant = stacked[:, [n]].toarray().reshape(-1) if shifted else np.zeros(len(entry))
    source = Value((len(entry),), constant, sparse.csr_array(stacked[:, :n]), kind=value.kind)
    total = sparse.csr_array((np.ones(len(entry)), (entry, np.arange(len(entry)))), shape=(value.size, len(entry)))
    return source.made("square", words).mapped(total, value.shape, value.origin)
