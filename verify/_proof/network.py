"""Brackets that hold in real arithmetic: lo <= f(x) <= hi for the stored float64 arrays, from float64 operations.

The upper end is the forward pass rounded up; the lower end is the Lagrangian

    sum_k lambda_k'(U_k x + b_k + rho_k h_k) + v'x + c + sum_m weight_m h_m - g(m) S - TINY

(with the entropies of softplus units, `verify._proof.softplus`)

at multipliers that are feasible in real arithmetic (`verify._proof.passes`), h of the terms rounded down. With
g(m) = 1.01 (m + 4) 2^-53, a sum of m products differs from its real value by at most g(m) times the sum of the absolute
values, in any order of summation (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from socicnn._arrays import Array
from socicnn._margins import TINY, dot_each, relative_margin
from socicnn.frozen._network import ConvexNet
from verify._proof.columns import Image, NetColumns, TermColumns, least
from verify._proof.passes import Upper, multipliers, upper
from verify._proof.softplus import entropy_below


@dataclass(frozen=True, eq=False)
class Bracket:
    """A proven enclosure of the value at each of N points: arrays of shape `(N,)`."""

    lo: Array  # -inf where nothing was proven
    hi: Array  # inf where nothing was proven
    scale: Array  # S, the sum of the absolute values of the objective's terms, propagated through the layers

    def slack(self, values: Array) -> Array:
        """Return how far values may move and stay inside: the distance to the nearer end, 0 outside or if unproven."""
        with np.errstate(invalid="ignore"):
            inside = np.minimum(values - self.lo, self.hi - values)
        return np.where(np.isfinite(inside), np.maximum(inside, 0.0), 0.0)


# a part of the Lagrangian, the absolute values of its terms, how often TINY may be lost, the products in its sums
Low: TypeAlias = tuple[Array, Array, Array | float, int]


class Prover:
    """Holds a network's arrays and brackets its value.

    Where W or w has a negative entry the bracket is that of the program, and the forward value may differ from it.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> prover = Prover(FrozenNet([Layer(None, [[0.1]], [0.2])], Output([3.0], [0.0])))
    >>> bracket = prover(np.array([[0.3]]))
    >>> bool(bracket.lo[0] <= 0.69 <= bracket.hi[0])
    True
    """

    def __init__(self, net: ConvexNet) -> None:
        self._net = NetColumns.of(net)
        terms = [*self._net.terms, *(term for layer in self._net.layers for term in layer.inner)]
        weights = [self._net.w, *(term.weight for term in terms), *(term.weight for term in self._net.exponentials)]
        self._convex = all(least(weight) >= 0 for weight in weights)

    def __call__(self, x: Array) -> Bracket:
        """Bracket the value at points of shape `(N, n)`; with stacked contexts, row i belongs to context i."""
        points = np.ascontiguousarray(x.T)
        with np.errstate(all="ignore"):
            forward = upper(self._net, points)
            lo = self._lower(points, forward)
        proven = np.isfinite(lo) & np.isfinite(forward.hi)
        return Bracket(np.where(proven, lo, -np.inf), np.where(proven, forward.hi, np.inf), forward.scale)

    def _lower(self, x: Array, forward: Upper) -> Array:
        """Return the Lagrangian at the repaired dual point, rounded down."""
        net, size, N = self._net, np.abs(x), x.shape[1]
        dual = multipliers(net, N, lambda k, box: self._multiplier(k, box, forward.active[k]))
        total, scale = net.dot(net.v, x) + net.c, net.dot(np.abs(net.v), size) + np.abs(net.c)
        small, count = np.ones(N), 2 * net.n + 2 * net.groups + 4
        parts = zip(net.layers, dual.lam, dual.boxes, forward.inner, strict=True)
        for layer, lam, box, images in reversed(list(parts)):
            a, S = layer.b + layer.U @ x, np.abs(layer.b) + layer.U_absolute @ size
            for term, image in zip(layer.inner, images, strict=True):
                low = term.weight * term.low(image)
                a, S, count = a + low, S + low, count + 1
            total, scale = total + dot_each(lam, a), scale + dot_each(lam, S)
            small, count = small + lam.sum(axis=0), count + len(layer.b)
            if layer.smooth:
                bend = dot_each(layer.smoothing * box, entropy_below(lam, box, np))
                total, scale, count = total + bend, scale + bend, count + len(layer.b) + 2
        for index, (term, image) in enumerate(zip(net.terms, forward.images, strict=True)):
            value, absolute, lost, products = self._branch(index, term, image)
            total, scale, small, count = total + value, scale + absolute, small + lost, count + products
        for exponential, image in zip(net.exponentials, forward.smooth, strict=True):
            values = exponential.weight * exponential.low(image)
            total, scale = total + values.sum(axis=0), scale + np.abs(values).sum(axis=0)
        lo = total - (relative_margin(count) * scale + TINY * small)
        return np.where(self._convex & dual.feasible & np.isfinite(lo), lo, -np.inf)

    def _multiplier(self, k: int, box: Array, active: Array) -> Array:
        """Return a guess of lambda_k, between 0 and its upper bound `box`: the closed form."""
        return np.where(active > 0, box * active, 0.0)

    def _branch(self, index: int, term: TermColumns, image: Image) -> Low:
        """Return the part of a branch: at the best omega or u, its value rounded down."""
        value = term.weight * term.low(image).sum(axis=0)
        return value, value, 0.0, 0
