"""Brackets by ball arithmetic: every operation carries a proven error radius (python-flint, extra `[proof]`).

Slower than the float64 recipe of `verify._proof.network` and narrower: the ends are the value rounded outwards once.

Source: Johansson, Arb: efficient arbitrary-precision midpoint-radius interval arithmetic (2017).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, Matrix
from socicnn.errors import MissingExtra
from socicnn.frozen import FrozenNet
from socicnn.frozen._exponentials import ONE
from socicnn.frozen._terms import Term
from verify._proof.network import Bracket
from verify._proof.scale import data_scale

_PRECISION = threading.RLock()  # flint's working precision is one number for the whole process


@contextmanager
def _precision(flint: Any, bits: int) -> Iterator[None]:
    """Work at `bits` bits, alone among the threads of this module, and leave flint's own precision as it was."""
    with _PRECISION:
        before = flint.ctx.prec
        flint.ctx.prec = bits
        try:
            yield
        finally:
            flint.ctx.prec = before


@final
class BallProver:
    """Holds a network's arrays as balls and brackets its value.

    Args:
        net: the network.
        bits: working precision. Provers of several threads take turns, since flint has one precision per process.

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
        # one matrix per layer, on x and the layer before; one for everything that is affine in x alone
        self._layers = [self._map(_side_by_side(layer.U, layer.W)) for layer in net.layers]
        self._images = self._map(_below([term.matrix for term in _terms(net)]))
        self._exponentials = [self._map(term.matrix) for term in net.exponentials]
        self._vectors = None if net.stacked else self._read(net)

    def __call__(self, x: Array) -> Bracket:
        """Bracket the value at each point.

        Args:
            x: points, shape `(N, n)`; with stacked contexts, row i belongs to context i.
        """
        scale = data_scale(self._net, x)
        lo, hi = np.full(len(x), -np.inf), np.full(len(x), np.inf)
        with _precision(self._flint, self._bits):
            for i, point in enumerate(x):
                net = self._net.take(i)
                value = self._value(net, self._vectors or self._read(net), point)
                if value.is_finite():  # the ends are rounded to nearest, then moved outwards by one unit
                    lo[i] = np.nextafter(float(value.lower()), -np.inf)
                    hi[i] = np.nextafter(float(value.upper()), np.inf)
        proven = np.isfinite(lo) & np.isfinite(hi)
        return Bracket(np.where(proven, lo, -np.inf), np.where(proven, hi, np.inf), scale)

    def _read(self, net: FrozenNet) -> _Vectors:
        """Return the vectors of a network as balls."""
        terms = _terms(net)
        return _Vectors(
            biases=[self._balls(layer.b) for layer in net.layers],
            offsets=self._balls(np.concatenate([np.zeros(0), *(term.offset[0] for term in terms)])),
            weights=[self._balls(term.weight) for term in terms],
            w=self._balls(net.output.w),
            v=self._balls(net.output.v),
            c=self._flint.arb(float(net.output.c[0])),
            smooth=[(self._balls(term.prices), self._balls(term.offset)) for term in net.exponentials],
        )

    def _value(self, net: FrozenNet, vectors: _Vectors, point: Array) -> Any:
        """Return the ball of f at one point."""
        x, zero = self._balls(point), self._flint.arb(0)
        images = iter(_sums(self._images(x), vectors.offsets))
        weights = iter(vectors.weights)

        def values(term: Term) -> list[Any]:
            """Take the next rows of the images, and return h of each group of them."""
            groups = [[next(images) for _ in range(term.rows)] for _ in range(term.groups)]
            squares = [sum((entry * entry for entry in group), zero) for group in groups]
            return [square.nonnegative_part().sqrt() for square in squares] if term.ROOT else squares

        total = _dot(vectors.v, x, vectors.c)
        z: list[Any] = []
        for layer, image, bias in zip(net.layers, self._layers, vectors.biases, strict=True):
            a = _sums(image(x + z), bias)
            for term in layer.inner:
                weighted = zip(a, next(weights), values(term), strict=True)
                a = [entry + weight * value for entry, weight, value in weighted]
            each = zip(a, layer.taus, strict=True)
            z = [self._softplus(entry, tau) if tau else entry.max(zero) for entry, tau in each]
        total = _dot(vectors.w, z, total)
        for branch in net.terms:
            total += next(weights)[0] * sum(values(branch), zero)
        for exponential, image, (prices, offset) in zip(
            net.exponentials, self._exponentials, vectors.smooth, strict=True
        ):
            a, rows = _sums(image(x), offset), exponential.rows
            if exponential.KIND == "logistic":
                total = _dot(prices, [self._softplus(entry, ONE) for entry in a], total)
            else:
                groups = [self._log_sum_exp(a[i : i + rows]) for i in range(0, len(a), rows)]
                total += prices[0] * sum(groups, zero)
        return total

    def _log_sum_exp(self, a: list[Any]) -> Any:
        """Return the ball of log sum exp(a): it increases in each entry, so the ends of all of them give its ends."""
        if not all(entry.is_finite() for entry in a):
            return self._flint.arb("nan")
        ends = []
        for some in ([entry.lower() for entry in a], [entry.upper() for entry in a]):
            at = max(range(len(some)), key=lambda i: float(some[i]))  # any entry near the largest will do
            rest = [(entry - some[at]).exp() for i, entry in enumerate(some) if i != at]
            ends.append(some[at] + sum(rest, self._flint.arb(0)).log1p())
        return ends[0].union(ends[1])

    def _softplus(self, a: Any, smoothing: Array) -> Any:
        """Return the ball of tau log(1 + exp(a / tau)): the function increases, so the ends of a give its ends.

        exp of a wide ball would have a negative lower end, and at an end exp(-|t|) does not overflow.
        """
        if not a.is_finite():
            return a
        tau, ends = self._flint.arb(float(smoothing)), []
        for end in (a.lower(), a.upper()):
            t = end / tau
            ends.append(t + (-t).exp().log1p() if end > 0 else t.exp().log1p())
        return tau * ends[0].union(ends[1])

    def _map(self, matrix: Matrix | None) -> Any:
        """Return a function from a list of balls, the last of which the columns belong to, to the list of its image."""
        if matrix is None:
            return lambda z: []
        columns = matrix.shape[1]
        if isinstance(matrix, np.ndarray):
            arb_mat = self._flint.arb_mat
            dense = arb_mat([self._balls(row) for row in matrix])
            return lambda z: (dense * arb_mat([[entry] for entry in z[len(z) - columns :]])).entries()
        zero, data = self._flint.arb(0), self._balls(matrix.data)
        index, ends = matrix.indices.tolist(), matrix.indptr.tolist()

        def image(z: list[Any]) -> list[Any]:
            z = z[len(z) - columns :]
            return [sum((data[e] * z[index[e]] for e in range(first, last)), zero) for first, last in pairwise(ends)]

        return image

    def _balls(self, values: Any) -> list[Any]:
        arb = self._flint.arb
        return [arb(float(value)) for value in np.ravel(values)]


@dataclass
class _Vectors:
    """The vectors of a network at one context, as balls."""

    biases: list[list[Any]]
    offsets: list[Any]
    weights: list[list[Any]]  # of the terms inside layers, then of the branches
    w: list[Any]
    v: list[Any]
    c: Any
    smooth: list[tuple[list[Any], list[Any]]]  # prices and offsets of the terms of exponentials


def _terms(net: FrozenNet) -> list[Term]:
    """Return the terms inside layers, then the branches: the order of rows below one another."""
    return [*(term for layer in net.layers for term in layer.inner), *net.terms]


def _side_by_side(first: Matrix, second: Matrix) -> Matrix:
    """Return two matrices side by side, sparse where one is; the second alone if the first has no entries."""
    if not second.shape[1]:
        return first
    if not first.size:
        return second
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.hstack([first, second])
    return sparse.csr_array(sparse.hstack([sparse.csr_array(first), sparse.csr_array(second)]))


def _below(parts: list[Matrix]) -> Matrix | None:
    """Return matrices one below the other, sparse where one is."""
    if not parts:
        return None
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.vstack(parts)
    return sparse.csr_array(sparse.vstack([sparse.csr_array(part) for part in parts]))


def _sums(image: list[Any], offset: list[Any]) -> list[Any]:
    return [term + other for term, other in zip(image, offset, strict=True)] if image else offset


def _dot(weights: list[Any], values: list[Any], start: Any) -> Any:
    return sum((weight * value for weight, value in zip(weights, values, strict=True)), start)
