"""Brackets that hold in real arithmetic: lo <= f(x) <= hi for the stored float64 arrays, from float64 operations.

The upper end is the pass of `verify._proof.upper`; the lower end evaluates a dual point that `verify._proof.repaired`
makes feasible in real arithmetic, whatever guess it came from. With eps = 2^-53 and
g(m) = 1.01 (m + 4) eps, a sum of m products differs from its real value by at most g(m) times the sum of the absolute
values, in any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from socicnn._arrays import Array
from socicnn._margins import TINY, dot_each, relative_margin
from socicnn.frozen import FrozenNet
from verify._proof.columns import NetColumns, least
from verify._proof.repaired import multipliers
from verify._proof.upper import Upper, upper


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
    """A guess of the dual point; anything is allowed; None takes the closed form.

    Args:
        lambdas: multiplier of each layer, shape `(N, h_k)`.
        omegas: of each quadratic branch, shape `(N, rows)`; the optimum is 2 (A x + e).
        us: of each norm branch, shape `(N, rows)`; the optimum is (C x + d) / ||C x + d||, group by group.
    """

    lambdas: Sequence[Array | None] = ()
    omegas: Sequence[Array | None] = ()
    us: Sequence[Array | None] = ()


@final
class Prover:
    """Holds a network's arrays and brackets its value.

    Args:
        net: the network; anything with the same parts does, negative weights included. Where W or w has a
            negative entry the bracket is that of the program, and the forward value may differ from it.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> prover = Prover(FrozenNet([Layer(None, [[0.1]], [0.2])], Output([3.0], [0.0])))
    >>> bracket = prover(np.array([[0.3]]))
    >>> bool(bracket.lo[0] <= 0.69 <= bracket.hi[0])
    True
    """

    def __init__(self, net: FrozenNet) -> None:
        self._net = NetColumns.of(net)
        terms = [*self._net.terms, *(term for layer in self._net.layers for term in layer.inner)]
        self._convex = least(self._net.w) >= 0 and all(least(term.weight) >= 0 for term in terms)

    def __call__(self, x: Array, guess: Guess | None = None) -> Bracket:
        """Bracket the value at each point.

        Args:
            x: points, shape `(N, n)`; with stacked contexts, row i belongs to context i.
            guess: dual point to repair; the closed form if omitted.
        """
        points = np.ascontiguousarray(x.T)
        with np.errstate(all="ignore"):
            forward = upper(self._net, points)
            lo = self._lower(points, forward, guess or Guess())
        proven = np.isfinite(lo) & np.isfinite(forward.hi)
        return Bracket(np.where(proven, lo, -np.inf), np.where(proven, forward.hi, np.inf), forward.scale)

    def scale(self, x: Array) -> Array:
        """Return S alone, shape `(N,)`."""
        with np.errstate(all="ignore"):
            scale: Array = upper(self._net, np.ascontiguousarray(x.T)).scale
        return scale

    def _lower(self, x: Array, forward: Upper, guess: Guess) -> Array:
        """Return the Lagrangian at the repaired dual point, rounded down."""
        net, size, N = self._net, np.abs(x), x.shape[1]

        def closed_form(k: int, box: Array) -> Array:
            own = _given(guess.lambdas, k)
            return np.where(forward.active[k], box, 0.0) if own is None else own

        dual = multipliers(net, N, closed_form)
        total, scale = net.dot(net.v, x) + net.c, net.dot(np.abs(net.v), size) + np.abs(net.c)
        small, count = np.ones(N), 2 * net.n + 2 * net.groups + 4
        for layer, lam, images in reversed(list(zip(net.layers, dual.lam, forward.inner, strict=True))):
            a, S = layer.b, np.abs(layer.b)
            if layer.U is not None:
                a, S = a + layer.U @ x, S + layer.U_absolute @ size
            for term, image in zip(layer.inner, images, strict=True):
                low = term.weight * term.low(image)
                a, S, count = a + low, S + low, count + 1
            total, scale = total + dot_each(lam, a), scale + dot_each(lam, S)
            small, count = small + lam.sum(axis=0), count + len(layer.b)
        roots = [sum(term.root for term in net.terms[:index]) for index in range(len(net.terms))]
        for index, (term, image) in enumerate(zip(net.terms, forward.images, strict=True)):
            own = _given(guess.us, roots[index]) if term.root else _given(guess.omegas, index - roots[index])
            if own is None:
                value = term.weight * term.low(image).sum(axis=0)
                total, scale = total + value, scale + value
                continue
            count += len(image.y) + 4
            if term.root:
                u = term.in_ball(own)
                total = total + term.weight * (u * image.y).sum(axis=0)
                scale, small = scale + term.weight * (np.abs(u) * image.size).sum(axis=0), small + term.weight
            else:
                total = total + term.weight * (own * (image.y - own / 4)).sum(axis=0)
                scale = scale + term.weight * (np.abs(own) * (image.size + np.abs(own) / 4)).sum(axis=0)
                small = small + term.weight * (1 + np.abs(own).sum(axis=0))
        lo = total - (relative_margin(count) * scale + TINY * small)
        return np.where(self._convex & dual.feasible & np.isfinite(lo), lo, -np.inf)


def _given(guesses: Sequence[Array | None], index: int) -> Array | None:
    """Return a guess features first, or None; what is not a number becomes 0, which is as good a guess as any."""
    if index >= len(guesses) or (guess := guesses[index]) is None:
        return None
    return np.nan_to_num(np.asarray(guess, dtype=np.float64).T, nan=0.0, posinf=1e300, neginf=-1e300)
