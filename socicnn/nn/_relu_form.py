"""Layers of units that can be negative, as layers of frozen networks, whose units cannot.

With a_k = W_k z_{k-1} + U_k x + b_k and z_{k-1} = P r_{k-1} + Q x + q, P >= 0, r_{k-1} the units of the layer before:

    leaky_relu   r_k = (relu(a_k), r_{k-1}),   z_k = (1 - s) relu(a_k) + s a_k
    maxout       r_k = relu(a_k - V_k x - d_k),   z_k = r_k + V_k x + d_k

r_{k-1} >= 0 is carried on by units relu(r) = r. Every number is a product or a sum of those given; W >= 0 stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, Matrix, transform
from socicnn.frozen import Layer, Output
from socicnn.nn._activations import LayerUnits


def relu_form(layers: Sequence[Layer], units: Sequence[LayerUnits], output: Output) -> tuple[list[Layer], Output]:
    """Return layers and read-out of the same function whose units are all >= 0.

    Args:
        layers: W, U and b of each layer; of maxout units the rows (U, b) first, then (V, d).
        units: of each layer.
        output: the read-out of the last layer.

    >>> layer = Layer(None, [[1.0]], [0.0])
    >>> made, read = relu_form([layer], [LayerUnits("leaky_relu", 0.25)], Output([4.0], [0.0]))
    >>> read.w.tolist(), read.v.tolist()
    ([[3.0]], [[1.0]])
    """
    if all(unit.plain for unit in units):
        return list(layers), output
    n = output.v.shape[-1]
    made: list[Layer] = []
    z = _Form()
    for layer, unit in zip(layers, units, strict=True):
        h = layer.width // unit.pieces
        W = z.weighted(layer.W) if made else None
        rows = layer.U if layer.U.shape[1] else sparse.csr_array((layer.width, n))
        U, b = rows[:h], layer.b[..., :h]
        if z.Q is not None:
            U, b = _sum(U, layer.W @ z.Q), b + transform(layer.W, z.q)
        if unit.pieces == 2:
            V, d = rows[h:], layer.b[..., h:]
            made.append(Layer(W, _sum(U, -V), b - d))
            z = _Form(None, V, d)
        elif unit.slope:
            kept = 0 if W is None else W.shape[1]
            made.append(_carrying(W, U, b, kept))
            P = sparse.hstack([(1.0 - unit.slope) * sparse.eye_array(h), *([] if W is None else [unit.slope * W])])
            z = _Form(sparse.csr_array(P), unit.slope * U, unit.slope * b)
        else:
            made.append(Layer(W, U, b, smoothing=unit.smoothing))
            z = _Form()
    if z.Q is None:
        return made, output
    w = output.w
    read = w if z.P is None else w @ z.P
    return made, Output(read, output.v + w @ z.Q, output.c + (w * z.q).sum(axis=-1))


class _Form:
    """z = P r + Q x + q; z = r without arguments, P None standing for the identity and Q None for no x."""

    def __init__(self, P: Matrix | None = None, Q: Any = None, q: Any = 0.0) -> None:
        self.P, self.Q, self.q = P, Q, np.asarray(q)

    def weighted(self, W: Matrix) -> Matrix:
        """Return W P."""
        return W if self.P is None else W @ self.P


def _carrying(W: Matrix | None, U: Matrix, b: Array, kept: int) -> Layer:
    """Return the layer of these units and, after them, `kept` units of the layer before as they are."""
    if W is None:
        return Layer(None, U, b)
    rows = sparse.vstack([sparse.csr_array(W), sparse.eye_array(kept)], format="csr")
    passed = sparse.vstack([sparse.csr_array(U), sparse.csr_array((kept, U.shape[1]))], format="csr")
    return Layer(rows, passed, np.concatenate([b, np.zeros((*b.shape[:-1], kept))], axis=-1))


def _sum(first: Matrix, second: Matrix) -> Matrix:
    """Return the sum, dense if either is."""
    if sparse.issparse(first) and sparse.issparse(second):
        return sparse.csr_array(first + second)
    parts: tuple[Any, Any] = (first, second)
    total, other = (part.toarray() if sparse.issparse(part) else part for part in parts)
    return np.asarray(total + other)
