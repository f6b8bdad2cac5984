"""The closed-form witness of a network's value: its forward pass is a primal point, its backward pass a dual point.

primal: z_k = relu(a_k),   t = ||p||^2 / k,   s = ||p||
dual:   lambda_k = bound_k if a_k > 0 else 0,   kappa_k = bound_k - lambda_k,   bound_k = W_{k+1}'lambda_{k+1}, or w
        (beta (k + t), beta (k - t), -2 beta p) of a square,   (gamma, -gamma p / ||p||) of a norm

A softplus unit with smoothing tau, t = a / tau, p = 1 / (1 + exp(-t)) and q = 1 / (1 + exp(t)):

primal: z = tau log(1 + exp(t)),   u = (tau p, tau q),   as exp((a - z) / tau) = p and exp(-z / tau) = q
dual:   lambda = bound on the row u_1 + u_2 <= tau,   kappa = 0 on z >= 0,   (-lambda p, -lambda p (1 - log p), lambda)
        and the same with q;   what goes on to the layer below is lambda p

A log-sum-exp with weight alpha: t its value, u = p its softmax, alpha on the row sum u <= 1, and for each of its cones
(-alpha p, -alpha p (1 - log p), alpha); log(1 + exp(a)) with weight omega is a softplus unit with lambda = omega.

It is feasible up to rounding, as that of ReLU units is: `verify` proves its bounds by other numbers.

Everything is written features first, in place: one column per point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from socicnn._arrays import Array, Matrix, lengths
from socicnn._margins import TINY
from socicnn.frozen import FrozenNet, Layer, Norm, Quadratic
from socicnn.frozen._exponentials import ONE, ExpTerm, Logistic, Shares, shares
from socicnn.frozen._softplus import Masses, masses
from socicnn.frozen._terms import Term

LARGEST = 500  # exponent of the largest scale k, and minus that of the smallest


@dataclass(frozen=True, eq=False)
class Witness:
    """A primal and a dual point of the program at each x, and the scales k of the quadratics that they belong to.

    Args:
        v: primal points, shape `(count, variables)`.
        y: dual points, shape `(count, m)`.
        k: scales, shape `(count, quadratics)`.
    """

    v: Array
    y: Array
    k: Array


def closed_form(
    net: FrozenNet,
    quadratics: Sequence[Quadratic],
    norms: Sequence[Norm],
    exponentials: Sequence[ExpTerm],
    shape: tuple[int, int],
    x: Array,
    activations: Sequence[Array] | None = None,
) -> Witness:
    """Return the witness at points x of shape `(count, n)`: one forward and one backward pass, no solver.

    At a kink (a = 0, or a norm at zero) lambda = 0 and u = 0 are chosen; every valid choice would do.

    Args:
        net: the network; with stacked contexts, row i of x belongs to context i.
        quadratics: its quadratic branches that the program has.
        norms: the same of its norms.
        exponentials: the same of its terms of exponentials.
        shape: rows m and variables of the program.
        x: the points.
        activations: those of a forward pass at x, as `ConvexNet.values` gives them; computed if omitted.
    """
    fill = _Filling(np.ascontiguousarray(x.T), shape)
    inside: list[list[_Inside]] = []  # terms inside each layer
    active: list[Array] = []
    soft: list[Masses] = []
    z = np.zeros((0, fill.count))
    for number, layer in enumerate(net.layers):
        inside.append([])
        for term in layer.inner:  # before z, so that every variable depends on earlier ones only
            inside[-1].append(fill.inside(term))
        a = fill.preactivation(layer, z, inside[-1]) if activations is None else fill.given(activations[number])
        if layer.smooth:
            own: Any = np.flatnonzero(layer.taus) if layer.smoothing.ndim else slice(None)
            tau = layer.smoothing[own][:, None] if layer.smoothing.ndim else layer.smoothing
            soft.append(masses(a[own], tau))
            if layer.smoothing.ndim:
                np.maximum(a, 0.0, out=a)
            a[own] = soft[-1].z
            fill.masses(soft[-1], tau)
        elif activations is None:
            np.maximum(a, 0.0, out=a)
        z = a
        active.append(z)
    widths = [len(mask) for mask in active]
    fill.row = 2 * sum(widths)
    multipliers, bounds = _backward(net, active, soft, fill)
    curved = [fill.shares(term) for term in exponentials]
    for terms, multiplier in zip(inside, multipliers, strict=True):
        for weight, p, _, k in terms:  # beta is rho lambda
            if k is None:
                fill.norm(weight * multiplier, p)
            else:
                fill.rotated(weight * multiplier, p, k)
    for quad in quadratics:
        p = fill.image(quad.A, quad.e)[None]
        fill.rotated(quad.beta[None], p, fill.scales(p))
    for norm in norms:
        p = fill.image(norm.C, norm.d).reshape(-1, norm.group, fill.count)
        fill.lengths(p)
        fill.norm(norm.gamma[None], p)
    for unit, bound in (*zip(soft, bounds, strict=True), *curved):
        fill.exponentials(unit, bound)
    return fill.witness()


def _backward(
    net: FrozenNet, active: list[Array], soft: list[Masses], fill: _Filling
) -> tuple[list[Array], list[Array]]:
    """Write lambda and kappa of each layer, last layer first.

    Returns:
        The multipliers of the pre-activations, and lambda of each softplus layer.
    """
    left = list(soft)
    bound = net.output.w.T
    multipliers: list[Array] = []
    bounds: list[Array] = []
    row = fill.row
    for layer, z in zip(reversed(net.layers), reversed(active), strict=True):
        h = len(z)
        row -= 2 * h
        multiplier, rest = fill.y[row : row + h], fill.y[row + h : row + 2 * h]
        if layer.smoothing.ndim:
            multiplier, own = _mixed(layer, z, np.broadcast_to(bound, z.shape), left.pop().p, multiplier, rest)
            bounds.insert(0, own)
        elif layer.smooth:
            multiplier[:], rest[:] = bound, 0.0
            bounds.insert(0, multiplier)
            multiplier = _mass(multiplier, left.pop().p)
        else:
            np.greater(z, 0.0, out=multiplier)
            multiplier *= bound
            np.subtract(bound, multiplier, out=rest)
        bound = layer.W.T @ multiplier
        multipliers.insert(0, multiplier)
    return multipliers, bounds


def _mixed(layer: Layer, z: Array, bound: Array, p: Array, rows: Array, rest: Array) -> tuple[Array, Array]:
    """Write the rows relu_k and sum_k of a layer of ReLU and softplus units, and kappa.

    Returns:
        The multipliers of the pre-activations, and lambda of the softplus units.
    """
    soft = layer.taus > 0
    hard = len(soft) - len(p)
    rows[:hard] = bound[~soft] * (z[~soft] > 0)
    rows[hard:] = bound[soft]
    rest[:] = 0.0
    rest[~soft] = bound[~soft] - rows[:hard]
    multiplier = np.empty_like(rest)
    multiplier[~soft], multiplier[soft] = rows[:hard], _mass(rows[hard:], p)
    return multiplier, rows[hard:]


def _mass(lam: Array, p: Array) -> Array:
    """Return lambda p, 0 where it underflows."""
    with np.errstate(under="ignore"):
        product = lam * p
    return product if product.min(initial=1.0) >= TINY else np.where(product < TINY, 0.0, product)


class _Inside(NamedTuple):
    """A term inside a layer: weight, p, h(p), and the scales k of a quadratic."""

    weight: Array
    p: Array
    h: Array
    k: Array | None


class _Filling:
    """A witness that is being written, block after block."""

    def __init__(self, x: Array, shape: tuple[int, int]) -> None:
        m, variables = shape
        self.x, self.count = x, x.shape[1]
        self.y = np.empty((m, self.count))
        self.row = 0
        self._v = np.empty((variables, self.count))
        self._k: list[Array] = []
        self._column = 0

    def primal(self, size: int) -> Array:
        """Return the next `size` variables, to be written."""
        self._column += size
        return self._v[self._column - size : self._column]

    def given(self, z: Array) -> Array:
        """Write values of units, of shape `(count, h)`, in place of the next variables, and return them."""
        rows = self.primal(z.shape[1])
        rows[:] = z.T
        return rows

    def preactivation(self, layer: Layer, z: Array, inside: list[_Inside]) -> Array:
        """Write the pre-activations of a layer in place of the next variables, and return them."""
        a = self.primal(layer.width)
        a[:] = layer.b.T
        for matrix, values in ((layer.U, self.x), (layer.W, z)):
            if matrix.size:
                a += matrix @ values
        for weight, _, h, _ in inside:
            a += weight * h
        return a

    def image(self, matrix: Matrix, offset: Array) -> Array:
        """Return matrix x + offset, shape `(rows, count)`."""
        p: Array = matrix @ self.x
        p += offset.T
        return p

    def scales(self, p: Array) -> Array:
        """Write t = ||p||^2 / k for p of shape `(units, rows, count)`; return k, the power of two next to ||p||."""
        length = lengths(p, 1)
        exponent = np.round(np.log2(length, out=np.zeros_like(length), where=length > 0))
        k = np.exp2(np.minimum(np.maximum(exponent, -LARGEST), LARGEST))
        np.divide((p**2).sum(axis=1), k, out=self.primal(len(p)))
        self._k.append(k)
        return k

    def _cones(self, p: Array, heads: int) -> Array:
        """Return the multipliers of the next cones, of `heads` rows before those of p."""
        units, rows, count = p.shape
        size = units * (rows + heads)
        self.row += size
        return self.y[self.row - size : self.row].reshape(units, rows + heads, count)

    def rotated(self, beta: Array, p: Array, k: Array) -> None:
        """Write the multipliers of the cones of beta_i ||p_i||^2 at scales k_i; beta has one row, or one per i."""
        cones, square = self._cones(p, 2), (p**2).sum(axis=1) / k
        cones[:, 0], cones[:, 1] = beta * (k + square), beta * (k - square)
        np.multiply(p, -2.0 * beta[:, None], out=cones[:, 2:])

    def masses(self, unit: Masses, tau: Array) -> None:
        """Write u = (tau p, tau q) of softplus units."""
        for share in (unit.p, unit.q):
            np.multiply(share, tau, out=self.primal(len(share)))

    def shares(self, term: ExpTerm) -> tuple[Masses | Shares, Array]:
        """Write t and u of a term, and the multipliers of its rows sum u <= 1; return its shares and these."""
        a = self.image(term.matrix, term.offset)
        if isinstance(term, Logistic):
            unit = masses(a, ONE)
            self.primal(len(a))[:] = unit.z
            self.masses(unit, ONE)
            share: Masses | Shares = unit
        else:
            share = shares(a.reshape(term.groups, term.rows, self.count))
            self.primal(term.groups)[:] = share.t
            self.primal(len(a))[:] = share.p.reshape(len(a), -1)
        self.row += term.groups
        price = np.broadcast_to(term.prices.T, (term.groups, self.count))
        self.y[self.row - term.groups : self.row] = price
        return share, price

    def exponentials(self, shares: Masses | Shares, lam: Array) -> None:
        """Write the multipliers (-lambda p, -lambda p (1 - log p), lambda) of cones; of softplus units alike with q."""
        if isinstance(shares, Masses):
            pairs = [(shares.p, shares.depth_p), (shares.q, shares.depth_q)]
        else:
            p = shares.p.reshape(-1, self.count)
            pairs, lam = [(p, shares.depth.reshape(p.shape))], np.repeat(lam, len(p) // len(lam), axis=0)
        for share, depth in pairs:
            cones, mass = self._cones(share[:, None], 2), _mass(lam, share)
            np.negative(mass, out=cones[:, 0])
            finite = depth if mass.min(initial=1.0) > 0 else np.where(mass > 0, depth, 0.0)
            np.multiply(cones[:, 0], finite, out=cones[:, 1])
            cones[:, 2] = lam

    def inside(self, term: Term) -> _Inside:
        """Write t, or s, of a term inside a layer."""
        p = self.image(term.matrix, term.offset).reshape(term.groups, -1, self.count)
        weight = term.weight[:, None]
        if term.ROOT:
            return _Inside(weight, p, self.lengths(p), None)
        return _Inside(weight, p, (p**2).sum(axis=1), self.scales(p))

    def lengths(self, p: Array) -> Array:
        """Write s = ||p|| of each group, and return it."""
        length = lengths(p, 1)
        self.primal(len(p))[:] = length
        return length

    def norm(self, gamma: Array, p: Array) -> None:
        """Write the multipliers of gamma_i ||p_i|| of each group i; gamma has one row, or one per i."""
        length = lengths(p, 1)
        cones = self._cones(p, 1)
        cones[:, 0] = gamma
        np.multiply(_units(p, length), -gamma[:, None], out=cones[:, 1:])

    def witness(self) -> Witness:
        """Return what was written, one row per point: views, whose transposes are contiguous."""
        k = np.concatenate(self._k) if self._k else np.ones((0, self.count))
        return Witness(self._v.T, self.y.T, k.T)


def _units(p: Array, length: Array) -> Array:
    """Return p / length, zero where the length is; numbers next to underflow are scaled up first."""
    tiny = (length > 0) & (length < 2.0**-900)
    if tiny.any():
        p = np.where(tiny[:, None], p * 2.0**900, p)
        length = np.where(tiny, lengths(p, 1), length)
    return p / np.where(length > 0, length, 1.0)[:, None]
