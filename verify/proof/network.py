"""Brackets that hold in real arithmetic: lo <= f(x) <= hi for the stored float64 arrays, from float64 operations.

The upper end bounds the rounding of the forward pass layer by layer; the lower end evaluates a dual point that is
repaired until it is feasible in real arithmetic, whatever guess it came from. With eps = 2^-53 and
g(m) = 1.01 (m + 4) eps, a sum of m products differs from its real value by at most g(m) times the sum of the absolute
values, in any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from socicnn.arrays import Array
from socicnn.frozen import FrozenNet, Squares
from socicnn.margins import EPS, TINY, column, dot, dot_each, group_sums, relative_margin


@dataclass(frozen=True, eq=False)
class Bracket:
    """A proven enclosure of the value at each of N points.

    Args:
        lo: lower ends, shape `(N,)`; -inf where nothing was proven.
        hi: upper ends, shape `(N,)`; inf where nothing was proven.
        scale: S, the sum of the absolute values of the objective's terms, propagated through the layers.
    """

    lo: Array
    hi: Array
    scale: Array

    def slack(self, values: Array) -> Array:
        """Return how far values may move and stay inside: the distance to the nearer end, 0 outside or if unproven."""
        with np.errstate(invalid="ignore"):
            inside = np.minimum(values - self.lo, self.hi - values)
        return np.where(np.isfinite(inside), np.maximum(inside, 0.0), 0.0)


@dataclass(frozen=True, eq=False)
class Guess:
    """A guess of the dual point; anything is allowed, None takes the closed form.

    Args:
        lambdas: multiplier of each layer, shape `(N, h_k)`.
        omegas: of each quadratic branch, shape `(N, rows)`; the optimum is 2 (A x + e).
        us: of each norm branch, shape `(N, rows)`; the optimum is (C x + d) / ||C x + d||, group by group.
    """

    lambdas: Sequence[Array | None] = ()
    omegas: Sequence[Array | None] = ()
    us: Sequence[Array | None] = ()


@dataclass
class _Forward:
    """The upper pass: what the lower pass uses again."""

    hi: Array
    scale: Array
    active: list[Any]
    images: list[tuple[Array, Array, Array]]  # y, S_y and del of each branch
    inner: list[Array | None]  # lower ends of the quadratics inside each layer


@final
class Prover:
    """Holds a network's arrays and brackets its value.

    Args:
        net: the network; anything with the same attributes does, negative weights included. Where W or w has a
            negative entry the bracket is that of the program, and the forward value may differ from it.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> prover = Prover(FrozenNet([Layer(None, [[0.1]], [0.2])], Output([3.0], [0.0])))
    >>> bracket = prover(np.array([[0.3]]))
    >>> bool(bracket.lo[0] <= 0.69 <= bracket.hi[0])
    True
    """

    def __init__(self, net: FrozenNet) -> None:
        self._layers = [(layer.W, layer.U, column(layer.b)) for layer in net.layers]
        self._size = [(_absolute(layer.W), _absolute(layer.U)) for layer in net.layers]
        self._inside = [_Inside(layer.squares) if layer.squares is not None else None for layer in net.layers]
        self._w, self._v, self._c = column(net.output.w), column(net.output.v), np.atleast_1d(net.output.c)
        self._n = net.output.v.shape[-1]
        squares = [(np.atleast_1d(quad.beta), quad.A, column(quad.e), quad.A.shape[0]) for quad in net.quadratics]
        norms = [(np.atleast_1d(r.gamma), r.C, column(r.d), r.group or r.C.shape[0]) for r in net.norms]
        self._quadratics = len(squares)
        self._branches = squares + norms
        self._branch_sizes = [_absolute(matrix) for _, matrix, _, _ in self._branches]
        self._terms = sum(matrix.shape[0] // group for _, matrix, _, group in self._branches)  # M + R, groups apart
        self._nonnegative = all(_least(W) >= 0 for W, _, _ in self._layers) and _least(self._w) >= 0
        self._convex = all(_least(weight) >= 0 for weight, _, _, _ in self._branches)
        self._convex &= all(_least(inside.rho) >= 0 for inside in self._inside if inside is not None)

    def __call__(self, x: Array, guess: Guess | None = None) -> Bracket:
        """Bracket the value at each point.

        Args:
            x: points, shape `(N, n)`; with stacked contexts, row i belongs to context i.
            guess: dual point to repair; the closed form where None.
        """
        points = np.ascontiguousarray(x.T)
        with np.errstate(all="ignore"):
            forward = self._upper(points)
            lo = self._lower(points, forward, guess or Guess())
        proven = np.isfinite(lo) & np.isfinite(forward.hi)
        return Bracket(np.where(proven, lo, -np.inf), np.where(proven, forward.hi, np.inf), forward.scale)

    def scale(self, x: Array) -> Array:
        """Return S alone, shape `(N,)`."""
        with np.errstate(all="ignore"):
            return self._upper(np.ascontiguousarray(x.T)).scale

    def _upper(self, x: Array) -> _Forward:
        size = np.abs(x)
        z: Array | None = None
        active: list[Any] = []
        inner: list[Array | None] = []
        for (W, U, b), (aW, aU), inside in zip(self._layers, self._size, self._inside, strict=True):
            p, S, terms = b, np.abs(b), self._n + 1
            if inside is not None:
                low, high = inside.enclose(x, size, self._n)
                p, S, terms = p + inside.rho * high, S + inside.rho * high, terms + 1
                inner.append(low)
            else:
                inner.append(None)
            if U is not None:
                p, S = p + U @ x, S + aU @ size
            if W is not None and z is not None:
                p, S, terms = p + W @ z, S + aW @ z, terms + W.shape[1]
            z = np.maximum(p + (relative_margin(terms) * S + TINY), 0.0)
            z = np.broadcast_to(z, (len(z), x.shape[1]))
            active.append(z > 0)
        total = dot(self._v, x) + self._c
        scale = dot(np.abs(self._v), size) + np.abs(self._c)
        if z is not None:
            total, scale = total + dot(self._w, z), scale + dot(np.abs(self._w), z)
        images = []
        for index, ((weight, matrix, offset, group), aM) in enumerate(
            zip(self._branches, self._branch_sizes, strict=True)
        ):
            y, S = matrix @ x + offset, aM @ size + np.abs(offset)
            margin = relative_margin(self._n + 1) * S + TINY
            images.append((y, S, margin))
            square = group_sums((np.abs(y) + margin) ** 2, group) * (1 + relative_margin(group + 2)) + TINY
            value = square if index < self._quadratics else np.sqrt(square) * (1 + 4 * EPS)
            term = weight * value.sum(axis=0)
            total, scale = total + term, scale + np.abs(term)
        width = len(self._w)
        hi = total + (relative_margin(width + self._n + 1 + self._terms) * scale + TINY)
        return _Forward(np.broadcast_to(hi, x.shape[1:]), scale, active, images, inner)

    def _lower(self, x: Array, forward: _Forward, guess: Guess) -> Array:
        size = np.abs(x)
        total, scale = dot(self._v, x) + self._c, dot(np.abs(self._v), size) + np.abs(self._c)
        small, count = np.ones(x.shape[1]), 2 * self._n + 2 * self._terms + 4
        feasible = np.full(x.shape[1], self._convex and _least(self._w) >= 0)
        bound = np.broadcast_to(self._w, (len(self._w), x.shape[1]))
        for index in reversed(range(len(self._layers))):
            (W, U, b), (aW, aU) = self._layers[index], self._size[index]
            given = _given(guess.lambdas, index)
            multiplier = np.where(forward.active[index], bound, 0.0) if given is None else given
            multiplier = np.minimum(np.maximum(multiplier, 0.0), bound)
            image, sizes = b, np.abs(b)
            if U is not None:
                image, sizes = image + U @ x, sizes + aU @ size
            inside, low = self._inside[index], forward.inner[index]
            if inside is not None and low is not None:
                image, sizes = image + inside.rho * low, sizes + inside.rho * low
                count += 1
            total = total + dot_each(multiplier, image)
            scale = scale + dot_each(multiplier, sizes)
            small = small + multiplier.sum(axis=0)
            count += len(b)
            if W is not None:
                raw = W.T @ multiplier
                bound = raw - (relative_margin(W.shape[0]) * (aW.T @ multiplier) + TINY)
                if not self._nonnegative:  # a negative weight: 0 <= lambda <= W'lambda may be empty
                    feasible &= (bound >= 0).all(axis=0)
                bound = np.maximum(bound, 0.0)
        for index, ((weight, _, _, group), (y, S, margin)) in enumerate(
            zip(self._branches, forward.images, strict=True)
        ):
            quadratic = index < self._quadratics
            given = _given(guess.omegas, index) if quadratic else _given(guess.us, index - self._quadratics)
            if given is None:
                least = (
                    group_sums(np.maximum(np.abs(y) - margin, 0.0) ** 2, group) * (1 - relative_margin(group + 2))
                    - TINY
                )
                least = np.maximum(least, 0.0)
                value = least if quadratic else np.sqrt(least) * (1 - 4 * EPS)
                term = weight * value.sum(axis=0)
                total, scale = total + term, scale + term
            elif quadratic:
                total = total + weight * (given * (y - given / 4)).sum(axis=0)
                scale = scale + weight * (np.abs(given) * (S + np.abs(given) / 4)).sum(axis=0)
                small = small + weight * (1 + np.abs(given).sum(axis=0))
                count += len(y) + 4
            else:
                length = np.sqrt(group_sums(given**2, group) + TINY)
                u = given * np.repeat((1 - relative_margin(group + 8)) / np.maximum(1.0, length), group, axis=0)
                total = total + weight * (u * y).sum(axis=0)
                scale = scale + weight * (np.abs(u) * S).sum(axis=0)
                small = small + weight
                count += len(y) + 4
        lo = total - (relative_margin(count) * scale + TINY * small)
        return np.where(feasible & np.isfinite(lo), lo, -np.inf)


class _Inside:
    """The quadratics inside a layer, units first."""

    def __init__(self, squares: Squares) -> None:
        self.rho, self.rows = squares.rho[:, None], squares.rows
        self._F, self._size, self._g = squares.F, _absolute(squares.F), column(squares.g)

    def enclose(self, x: Array, size: Array, n: int) -> tuple[Array, Array]:
        """Return both ends of ||F_i x + g_i||^2, shape `(h, N)`, as for a quadratic branch."""
        y = self._F @ x + self._g
        margin = relative_margin(n + 1) * (self._size @ size + np.abs(self._g)) + TINY
        low = (
            group_sums(np.maximum(np.abs(y) - margin, 0.0) ** 2, self.rows) * (1 - relative_margin(self.rows + 2))
            - TINY
        )
        high = group_sums((np.abs(y) + margin) ** 2, self.rows) * (1 + relative_margin(self.rows + 2)) + TINY
        return np.maximum(low, 0.0), high


def _absolute(matrix: Any) -> Any:
    return None if matrix is None else abs(matrix)


def _least(array: Any) -> float:
    """Return the least entry, 0 where there is none."""
    if array is None or not array.size:
        return 0.0
    return float(array.min())


def _given(guesses: Sequence[Array | None], index: int) -> Array | None:
    """Return a guess features first, or None; what is not a number becomes 0, which is as good a guess as any."""
    if index >= len(guesses) or (guess := guesses[index]) is None:
        return None
    return np.nan_to_num(np.asarray(guess, dtype=np.float64).T, nan=0.0, posinf=1e300, neginf=-1e300)
