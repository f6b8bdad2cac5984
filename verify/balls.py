"""Brackets by ball arithmetic: every operation carries a proven error radius (python-flint, extra `[proof]`).

Slower than the float64 recipe of `verify.proof` and narrower: the ends are the value rounded outwards once.

Source: Johansson, Arb: efficient arbitrary-precision midpoint-radius interval arithmetic (2017).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, final

import numpy as np

from socicnn.arrays import Array, Matrix
from socicnn.errors import MissingExtra
from socicnn.frozen import FrozenNet
from verify.proof import Bracket, Prover


@final
class BallProver:
    """Holds a network's arrays as balls and brackets its value.

    Args:
        net: the network.
        bits: working precision.

    Raises:
        MissingExtra: python-flint is not installed.
    """

    def __init__(self, net: FrozenNet, bits: int = 128) -> None:
        try:
            import flint
        except ImportError as error:
            raise MissingExtra(
                "brackets by ball arithmetic need python-flint, which is not installed; "
                'run: pip install "socicnn[proof]"'
            ) from error
        self._flint, self._bits, self._net = flint, bits, net
        self._layers = [(self._map(layer.W), self._map(layer.U)) for layer in net.layers]
        self._inside = [self._map(layer.squares.F) if layer.squares is not None else None for layer in net.layers]
        self._branches = [self._map(quad.A) for quad in net.quadratics] + [self._map(norm.C) for norm in net.norms]
        self._prover = Prover(net)

    def __call__(self, x: Array) -> Bracket:
        """Bracket the value at each point.

        Args:
            x: points, shape `(N, n)`; with stacked contexts, row i belongs to context i.
        """
        scale = self._prover.scale(x)
        lo, hi = np.full(len(x), -np.inf), np.full(len(x), np.inf)
        before = self._flint.ctx.prec
        self._flint.ctx.prec = self._bits
        try:
            for i, point in enumerate(x):
                value = self._value(self._net if self._net.contexts is None else self._net[i], point)
                if value.is_finite():  # the ends are rounded to nearest, then moved outwards by one unit
                    lo[i] = np.nextafter(float(value.lower()), -np.inf)
                    hi[i] = np.nextafter(float(value.upper()), np.inf)
        finally:
            self._flint.ctx.prec = before
        proven = np.isfinite(lo) & np.isfinite(hi)
        return Bracket(np.where(proven, lo, -np.inf), np.where(proven, hi, np.inf), scale)

    def _value(self, net: FrozenNet, point: Array) -> Any:
        """Return the ball of f at one point."""
        arb = self._flint.arb
        x, zero = [arb(float(entry)) for entry in point], arb(0)
        total = _dot(_balls(arb, net.output.v), x, arb(float(net.output.c)))
        z: list[Any] = []
        for layer, (W, U), F in zip(net.layers, self._layers, self._inside, strict=True):
            a = _balls(arb, layer.b)
            if layer.squares is not None and F is not None:
                k, g = layer.squares.rows, _balls(arb, layer.squares.g)
                p = [one + other for one, other in zip(F(x), g, strict=True)]
                squares = [sum((entry * entry for entry in p[i : i + k]), zero) for i in range(0, len(p), k)]
                a = [one + w * t for one, w, t in zip(a, _balls(arb, layer.squares.rho), squares, strict=True)]
            if U is not None:
                a = [one + other for one, other in zip(a, U(x), strict=True)]
            if W is not None:
                a = [one + other for one, other in zip(a, W(z), strict=True)]
            z = [entry.max(zero) for entry in a]
        total = _dot(_balls(arb, net.output.w), z, total)
        offsets = [quad.e for quad in net.quadratics] + [norm.d for norm in net.norms]
        images = [
            [one + other for one, other in zip(matrix(x), _balls(arb, offset), strict=True)]
            for matrix, offset in zip(self._branches, offsets, strict=True)
            if matrix is not None and offset is not None
        ]
        for quad, p in zip(net.quadratics, images, strict=False):
            total += arb(float(quad.beta)) * sum((entry * entry for entry in p), zero)
        for norm, p in zip(net.norms, images[len(net.quadratics) :], strict=True):
            size = norm.group or len(p)
            squares = [sum((entry * entry for entry in p[i : i + size]), zero) for i in range(0, len(p), size)]
            total += arb(float(norm.gamma)) * sum((square.nonnegative_part().sqrt() for square in squares), zero)
        return total

    def _map(self, matrix: Matrix | None) -> Any:
        """Return a function from a list of balls to the list of its image, or None."""
        if matrix is None:
            return None
        arb = self._flint.arb
        if isinstance(matrix, np.ndarray):
            dense = self._flint.arb_mat([[arb(float(entry)) for entry in row] for row in matrix])
            return lambda z: (dense * self._flint.arb_mat([[entry] for entry in z])).entries()
        data = _balls(arb, matrix.data)
        columns, ends = matrix.indices.tolist(), matrix.indptr.tolist()
        return lambda z: [
            sum((data[e] * z[columns[e]] for e in range(first, last)), arb(0)) for first, last in pairwise(ends)
        ]


def _balls(arb: Any, values: Any) -> list[Any]:
    return [arb(float(value)) for value in values]


def _dot(weights: list[Any], values: list[Any], start: Any) -> Any:
    return sum((weight * value for weight, value in zip(weights, values, strict=True)), start)
