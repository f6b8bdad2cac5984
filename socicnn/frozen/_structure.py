"""Functions given by their structure, written as a network without loss.

f(x) = x'P x + q'x + c + sum_r gamma_r ||C_r x + d_r||_2 + sum_j max_k (a_jk'x + b_jk),   P >= 0, gamma_r >= 0

P = F'F is one quadratic branch, each norm a norm branch. A maximum of pieces l_1 .. l_K is a chain of K - 1 units,
m_1 = l_1, m_k = l_k + relu(m_{k-1} - l_k); chains run side by side, one unit per layer, and all end in the last layer.

Source: Proposition 4 of "SOC-ICNN: From Polyhedral to Conic Geometry", and the maxima of its Proposition 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, Matrix, as_float64
from socicnn.errors import ModelError
from socicnn.frozen._bundle import Parts
from socicnn.frozen._parts import Layer, Norm, Output, Quadratic

ROUNDING = 1e-12  # relative, of a matrix that is symmetric and positive semidefinite


def structured(
    quadratic: Any, slope: Any, constant: float, norms: Sequence[tuple[Any, Any, Any]], maxima: Sequence[Any]
) -> Parts:
    """Return the parts of the network; arguments and errors are those of `FrozenNet.from_structure`."""
    pairs = [_pieces(number, pair) for number, pair in enumerate(maxima, start=1)]
    if any(not isinstance(entry, Sequence) or len(entry) != 3 for entry in norms):
        raise ModelError("norms must list (gamma, C, d) of each norm; d may be None")
    branches = [Norm(*entry) for entry in norms]
    factor = None if quadratic is None else factored(as_float64(quadratic, "quadratic"))
    q = None if slope is None else as_float64(slope, "slope")
    if q is not None and q.ndim != 1:
        raise ModelError(f"slope must be a vector; received shape {q.shape}")
    lengths = [branch.C.shape[-1] for branch in branches] + [a.shape[1] for a, _ in pairs]
    lengths += [] if factor is None else [factor.shape[1]]
    lengths += [] if q is None else [q.shape[-1]]
    if not lengths:
        raise ModelError("nothing tells the length of x; give a slope, zeros for none")
    if len(set(lengths)) > 1:
        raise ModelError(f"quadratic, slope, norms and maxima must take the same x; received lengths {sorted(lengths)}")
    v = np.zeros(lengths[0]) if q is None else q
    last = [(a[-1], float(b[-1])) for a, b in pairs]
    v, c = v + sum((a for a, _ in last), np.zeros(lengths[0])), constant + sum(b for _, b in last)
    layers = chains(pairs)
    output = Output(np.ones(layers[-1].width if layers else 0), v, c)
    return Parts(layers, output, [] if factor is None else [Quadratic(1.0, factor)], branches)


def factored(P: Array) -> Matrix:
    """Return F with F'F = P: of a diagonal P its roots, else by Cholesky, or by eigenvalues if P is singular.

    Raises:
        ModelError: P is not finite, symmetric and positive semidefinite.

    >>> factored(np.array([[4.0, 2.0], [2.0, 5.0]]))
    array([[2., 1.],
           [0., 2.]])
    """
    if P.ndim != 2 or P.shape[0] != P.shape[1] or not np.isfinite(P).all():
        raise ModelError(f"quadratic must be a finite square matrix; received shape {P.shape}")
    size = np.abs(P).max(initial=0.0)
    if np.abs(P - P.T).max(initial=0.0) > ROUNDING * size:
        raise ModelError("quadratic must be symmetric; give (P + P.T) / 2, which has the same x'P x")
    values, vectors = np.linalg.eigh(P)
    if values.min(initial=0.0) < -ROUNDING * len(P) * size:
        raise ModelError(
            f"quadratic must be positive semidefinite for f to be convex; least eigenvalue {values[0]:.3g}"
        )
    if np.count_nonzero(P - np.diag(np.diagonal(P))) == 0:
        return sparse.csr_array(sparse.diags_array(np.sqrt(np.maximum(np.diagonal(P), 0.0))))
    try:
        F = as_float64(np.linalg.cholesky(P).T)
    except np.linalg.LinAlgError:
        F = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return F


def chains(maxima: Sequence[tuple[Array, Array]]) -> list[Layer]:
    """Return the layers of the chains: what each maximum exceeds its last piece by, one unit each in the last layer."""
    steps = [(-np.diff(a, axis=0), -np.diff(b)) for a, b in maxima if len(b) > 1]
    depth = max((len(b) for _, b in steps), default=0)
    layers: list[Layer] = []
    before: list[int] = []
    for k in range(depth):
        running = [j for j, (_, b) in enumerate(steps) if len(b) >= depth - k]
        at = [k - depth + len(steps[j][1]) for j in running]
        W = np.array([[float(j == i) for i in before] for j in running]) if layers else None
        U = np.stack([steps[j][0][i] for j, i in zip(running, at, strict=True)])
        layers.append(Layer(W, U, [steps[j][1][i] for j, i in zip(running, at, strict=True)]))
        before = running
    return layers


def _pieces(number: int, pair: Any) -> tuple[Array, Array]:
    """Return slopes and offsets of a maximum."""
    if len(pair) != 2:
        raise ModelError(f"maximum {number} must be (slopes, offsets); received {len(pair)} entries")
    slopes, offsets = pair
    a, b = as_float64(slopes, f"slopes of maximum {number}"), as_float64(offsets, f"offsets of maximum {number}")
    if a.ndim != 2 or b.shape != a.shape[:1] or not len(b):
        raise ModelError(
            f"maximum {number} needs slopes of shape (pieces, n) and as many offsets; received {a.shape} and {b.shape}"
        )
    return a, b
