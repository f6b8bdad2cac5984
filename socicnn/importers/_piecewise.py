"""Kinks as units max(0, a): leaky units, maxima and absolute values; softplus units.

leaky(z) = s z + (1 - s) relu(z), with 0 <= s <= 1, or s < 0 where z is affine in x
max(a_1, ..., a_k, c) = a_1 + relu(a_2 - a_1 + relu(... relu(c - a_k))), with a_i affine in x and c convex
|a| = 2 relu(a) - a, with a affine in x
log(exp(a_1) + ... + exp(a_k)) = a_1 + softplus(log(exp(a_2) + ...) - a_1), with all but the last affine in x
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn.importers._forms import without_products
from socicnn.importers._norms import carried_norms
from socicnn.importers._place import Place, makers
from socicnn.importers._value import Value, negative
from socicnn.importers._windows import windows

MOST_PIECES = 256  # of one maximum: each one more is a layer more


def unit(place: Place, value: Value, smoothing: float = 0.0) -> Value:
    """Return max(0, value), or tau log(1 + exp(value / tau)); raise a ModelError where that is not convex."""
    value = without_products(place, value)
    for kind, words in (("relu", "hidden"), ("square", "quadratic"), ("norm", "norm")):
        count, least = negative(value, (kind,))
        if count:
            raise place.refused(
                f"takes {value.origin or 'its input'} with {count} negative {words} weights (least {least:.1e}), so "
                f"that the network is not convex; train it with non-negative {words} weights",
                value.level + 1,
            )
    return carried_norms(value).made("relu", place.words, smoothing=smoothing)


def leaky(place: Place, value: Value, slope: Array) -> Value:
    """Return z where z > 0 and s z elsewhere, for slopes s in [0, 1], and for s < 0 where z is affine in x."""
    if slope.max(initial=0.0) > 1:
        raise place.refused(
            f"has slope {slope.max():.6g}, above 1: its graph bends down at 0, so that it is not convex",
            value.level + 1,
        )
    if slope.min(initial=0.0) < 0 and value.atoms:
        raise place.refused(
            f"has slope {slope.min():.6g}, below 0, and takes {makers(value)}: it falls where they rise, which is not "
            "convex",
            value.level + 1,
        )
    if (slope == 1).all():
        return value
    return value.times(slope).plus(unit(place, value).times(1.0 - slope))


def maximum(place: Place, tensors: Sequence[Value | Array]) -> Value:
    """Return the entrywise maximum of tensors of one shape, at most one of which is more than pieces affine in x.

    Args:
        place: where, for messages.
        tensors: the tensors; a constant counts as affine in x.

    Raises:
        ModelError: two of them are convex, but no maxima of affine pieces.
    """
    values = [tensor for tensor in tensors if isinstance(tensor, Value)]
    constants = [np.asarray(tensor, dtype=np.float64) for tensor in tensors if not isinstance(tensor, Value)]
    affine: list[Value] = []
    curved: list[Value] = []
    for value in values:
        pieces = _pieces(value)
        affine += pieces or []
        curved += [value] if pieces is None else []
    if len(curved) > 1:
        raise place.refused(
            f"takes the maximum of {' and '.join(dict.fromkeys(map(makers, curved)))}; at most one of its inputs may "
            "be more than a maximum of two pieces that are affine in x",
            max(value.level for value in curved) + 1,
        )
    if constants:
        floor = np.maximum.reduce(constants)
        affine.append(values[0].mapped(sparse.csr_array((values[0].size, values[0].size)), floor.shape).plus(floor))
    affine = _distinct(affine)
    if len(affine) > MOST_PIECES:
        raise place.refused(f"takes the maximum of {len(affine)} pieces, more than the {MOST_PIECES} that are read")
    result = curved[0] if curved else affine.pop()
    for piece in reversed(affine):
        result = piece.plus(unit(place, result.plus(piece.times(np.array(-1.0)))))
    return result


def log_sum_exp(place: Place, tensors: Sequence[Value]) -> Value:
    """Return log(exp(a_1) + ... + exp(a_k)) = a_1 + softplus(log(exp(a_2) + ...) - a_1), entry by entry.

    At most one of the tensors is not affine in x.
    """
    affine = [value for value in tensors if not value.atoms]
    curved = [value for value in tensors if value.atoms]
    if len(curved) > 1:
        raise place.refused(
            f"takes the logarithm of a sum of exponentials of {' and '.join(dict.fromkeys(map(makers, curved)))}; at "
            "most one of them may be other than affine in x"
        )
    if len(tensors) > MOST_PIECES:
        raise place.refused(f"adds {len(tensors)} exponentials, more than the {MOST_PIECES} that are read")
    result = curved[0] if curved else affine.pop()
    for piece in reversed(affine):
        result = piece.plus(unit(place, result.plus(piece.times(np.array(-1.0))), 1.0))
    return result


def largest_of(place: Place, value: Value, together: IntArray, shape: tuple[int, ...]) -> Value:
    """Return the maximum over each row of positions, in this shape."""
    size = together.shape[1]
    if size > MOST_PIECES:
        raise place.refused(f"takes the maximum of {size} entries, more than the {MOST_PIECES} that are read")
    return maximum(place, [value.picked(column) for column in together.T]).reshaped(shape)


def log_sum_exp_of(place: Place, value: Value, together: IntArray, shape: tuple[int, ...]) -> Value:
    """Return the logarithm of the sum of the exponentials of each row of positions, in this shape."""
    return log_sum_exp(place, [value.picked(column) for column in together.T]).reshaped(shape)


def max_pool(place: Place, value: Value, settings: dict[str, Any]) -> Value:
    """Return the maximum over windows; what lies in the padding does not count."""
    together, shape = windows(value.shape, settings, place.refused)
    return largest_of(place, value, np.where(together >= 0, together, together.max(axis=1, keepdims=True)), shape)


def absolute(place: Place, value: Value) -> Value:
    """Return |a| for entries that are affine in x, and convex entries as they are if they cannot be negative."""
    curved = np.zeros(value.size, dtype=bool)
    falling = np.diff(value.x.indptr) > 0
    for M in value.atoms.values():
        rows = M.tocoo()
        curved[rows.row] = True
        falling[rows.row[rows.data < 0]] = True
    falling |= value.constant < 0
    if (curved & falling).any() or any(group.kind == "product" for group in value.atoms):
        raise place.refused(
            f"takes the absolute value of {makers(value)}, which may be negative: that is not convex; take it of what "
            "is affine in x, or of units that are not negative",
            value.level + 1,
        )
    if curved.all():
        return value
    straight = (~curved).astype(np.float64).reshape(value.shape)
    part = value.times(straight)
    return value.plus(unit(place, part).times(2.0 * straight)).plus(part.times(np.array(-2.0)))


def _pieces(value: Value) -> list[Value] | None:
    """Return u and u + c a where every entry is u + c relu(a), c >= 0, with u and a affine in x; None elsewhere.

    What is affine in x is one piece.
    """
    if not value.atoms:
        return [value]
    entries = np.zeros(value.size, dtype=np.int64)
    for group, M in value.atoms.items():
        if group.kind != "relu" or group.smoothing or group.source.atoms or (M.data < 0).any():
            return None
        entries += np.diff(M.indptr)
    if entries.max(initial=0) > 1:
        return None
    base = Value(value.shape, value.constant, value.x, origin=value.origin, kind=value.kind)
    raised = base
    for group, M in value.atoms.items():
        raised = raised.plus(group.source.mapped(M, value.shape))
    return [base, raised]


def _distinct(pieces: Sequence[Value]) -> list[Value]:
    """Leave out pieces that are equal to an earlier one in every entry."""
    kept: list[Value] = []
    for piece in pieces:
        if not any((piece.x != old.x).nnz == 0 and np.array_equal(piece.constant, old.constant) for old in kept):
            kept.append(piece)
    return kept
