"""How residuals are measured: against what they are allowed, the worst of a column, norms without overflow.

Part of the trusted core. NumPy alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from verify._core.terms import Array


def rounding(terms: Any) -> Any:
    """Return which part of 1e-12 the rounding of a sum of `terms` products may take, at most 1."""
    return np.minimum(1.0, 1e12 * (np.asarray(terms) + 8.0) * 2.0**-52)


def worst(matrix: Array, allowed: Array) -> tuple[Array, Array]:
    """Return per column the residual that is largest relative to what is allowed, with that; the first NaN if any."""
    at = ratio(matrix, allowed).argmax(axis=0), np.arange(matrix.shape[1])
    return matrix[at], allowed[at]


def larger(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return of each point the pair whose residual is larger, measured by what is allowed; NaN is largest."""
    one, other = ratio(*first), ratio(*second)
    keep = np.isnan(one) | (one >= other)
    return np.where(keep, first[0], second[0]), np.where(keep, first[1], second[1])


def ratio(residual: Array, allowed: Array) -> Array:
    """Return residual / allowed: 0 where the residual is satisfied, huge where nothing is allowed."""
    nothing = 1e150 * (1.0 + residual)
    return np.where(residual <= 0, 0.0, np.where(allowed > 0, residual / allowed, nothing))


def length(values: Array) -> Array:
    """Return the 2-norm over the middle axis; where squares overflow or underflow, of values scaled down or up."""
    # not `socicnn._arrays.lengths`: the core shares no code with what it checks
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        found = np.sqrt(np.einsum("ckn,ckn->cn", values, values))
        doubtful = ~((found > 1e-140) & (found < np.inf))
        if not doubtful.any():
            return found
        largest = np.abs(values).max(axis=1, initial=0.0)
        scaled = np.isfinite(largest) & (largest > 0)
        unit = values / np.where(scaled, largest, 1.0)[:, None]
        return np.where(doubtful & scaled, largest * np.sqrt(np.einsum("ckn,ckn->cn", unit, unit)), found)
