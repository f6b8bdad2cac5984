"""Small dense algebra in compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np

from socicnn._arrays import Array

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Return a function compiled by numba when it is first called; machine code is kept on disk.

    Sums may be taken in another order: nothing here is a proof, what comes out is proven afterwards.
    """
    loose = {"contract", "reassoc"}
    try:
        made: Any = numba.njit(function, error_model="numpy", fastmath=loose, cache=True)
    except RuntimeError:  # no folder can be written to
        made = numba.njit(function, error_model="numpy", fastmath=loose)
    return cast("F", made)


def forget(function: Any) -> None:
    """Remove the machine code that an older version of this package left beside a compiled function."""
    for path in Path(function.stats.cache_path).glob("*.nb[ci]"):
        path.unlink(missing_ok=True)


@compiled
def softplus(a: float, tau: float) -> float:
    """Return tau log(1 + exp(a / tau)), relu(a) if tau is 0."""
    return max(a, 0.0) + (tau * np.log1p(np.exp(-abs(a) / tau)) if tau > 0.0 else 0.0)


@compiled
def sigmoid(t: float) -> float:
    """Return 1 / (1 + exp(-t))."""
    e = np.exp(-abs(t))
    return (1.0 if t > 0.0 else e) / (1.0 + e)


@compiled
def solve_factored(L: Array, r: Array) -> None:
    """Overwrite r by (L L')^-1 r, L lower triangular."""
    n = len(r)
    for i in range(n):
        total = r[i]
        for j in range(i):
            total -= L[i, j] * r[j]
        r[i] = total / L[i, i]
    for i in range(n - 1, -1, -1):
        r[i] /= L[i, i]
        for j in range(i):
            r[j] -= L[i, j] * r[i]


@compiled
def factor(M: Array) -> bool:
    """Overwrite the lower triangle of M by its Cholesky factor; return whether M is positive definite.

    Blocks of rows and columns: the products between them are the processor's own.
    """
    n, width = len(M), 48
    for start in range(0, n, width):
        stop = min(start + width, n)
        for j in range(start, stop):
            pivot = M[j, j]
            for k in range(start, j):
                pivot -= M[j, k] * M[j, k]
            if not pivot > 0.0:
                return False
            pivot = np.sqrt(pivot)
            M[j, j] = pivot
            for i in range(j + 1, n):
                total = M[i, j]
                for k in range(start, j):
                    total -= M[i, k] * M[j, k]
                M[i, j] = total / pivot
        if stop < n:
            below = M[stop:, start:stop].copy()
            M[stop:, stop:] -= np.dot(below, below.T)
    return True


@compiled
def times(M: Array, x: Array, out: Array) -> None:
    """Write M x; M has few rows."""
    for i in range(len(M)):
        total = 0.0
        for j in range(len(x)):
            total += M[i, j] * x[j]
        out[i] = total


@compiled
def add(values: Array, steps: Array, length: float) -> None:
    """Add length times the steps."""
    for i in range(len(values)):
        values[i] += length * steps[i]


@compiled
def add_adjoint(M: Array, y: Array, out: Array, factor: float) -> None:
    """Add factor M'y to `out`; M has few rows."""
    for i in range(len(M)):
        weight = factor * y[i]
        for j in range(len(out)):
            out[j] += weight * M[i, j]
