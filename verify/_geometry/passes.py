"""First and second order of a network at a point, from its arrays alone: no autograd, no solver.

With a_k = W_k z_{k-1} + U_k x + b_k, the derivative in direction d is one forward pass of directions (quadratics
inside a layer, rho ||p||^2 with p = F x + g unit by unit, add 2 rho p'F d to da, norms gamma times what a branch adds),

    da_k = W_k dz_{k-1} + U_k d,     dz_k = da_k where a_k > 0,  max(da_k, 0) where a_k = 0,  0 where a_k < 0
    f'(x; d) = w'dz_L + v'd + sum_m 2 beta_m p_m'A_m d + sum_r gamma_r (u_r'C_r d, or ||C_r d|| where C_r x + d_r = 0)

and it is the support function of the subdifferential, sup of g'd over g in df(x), since f is convex. The maximiser is
one backward pass with the units at a = 0 switched by the sign of da. A value counts as zero where rounding could have
made it: |a| <= g(m) sum |terms|, with the margin g of `socicnn._margins`.

Softplus units have no kink: dz = p da, p = 1 / (1 + exp(-a / tau)), and they add lambda p (1 - p) / tau da da' to the
Hessian, lambda the multiplier of z. Terms of exponentials have the gradient M'(w p), p the softmax of a group of rows
or the slope of log(1 + exp), and the Hessian M'(diag(w p) - w p p')M, group by group, or M'diag(w p (1 - p))M.
"""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np

from socicnn._arrays import Array, BoolArray, lengths
from socicnn._margins import column, relative_margin
from socicnn.frozen import FrozenNet
from socicnn.frozen._exponentials import ONE, ExpTerm, shares
from socicnn.frozen._softplus import positive
from socicnn.frozen._softplus import slope as softplus_slope
from socicnn.frozen._softplus import unit as softplus
from socicnn.frozen._terms import Term


class _Tangent(NamedTuple):
    """What one forward pass of directions gives."""

    value: Array  # f'(x; d), shape `(N, K)`
    switched: list[BoolArray]  # which units at a kink it switches on
    tilted: list[Array]  # u of the norms at zero: those inside layers, then the branches
    rises: list[Array]  # da of each layer, shape `(h, N, K)`


class _Root(NamedTuple):
    """Norms of groups of rows at each point."""

    unit: Array  # u, zero where the norm is zero, shape `(rows, N)`
    length: Array  # shape `(groups, N)`
    flat: BoolArray  # which are zero

    @classmethod
    def of(cls, p: Array, size: Array, group: int, n: int) -> _Root:
        """Return the norms of p, whose entries are sums of n + 1 terms of these sizes."""
        length, scale = _lengths(p, group), _lengths(np.broadcast_to(size, p.shape), group)
        flat = length <= relative_margin(n + 1) * scale
        with np.errstate(all="ignore"):
            unit = p / np.repeat(length, group, axis=0)
        return cls(np.where(np.repeat(flat, group, axis=0), 0.0, unit), length, flat)

    def along(self, image: Array, group: int) -> tuple[Array, Array]:
        """Return the derivatives along images M d of shape `(rows, N, K)`, and the unit vectors of those at zero."""
        length = _lengths(image, group)
        every = np.repeat(length, group, axis=0)
        with np.errstate(all="ignore"):
            direction = np.where(every > 0, image / every, 0)
        rise = _summed(self.unit[:, :, None] * image, group) + self.flat[:, :, None] * length
        return rise, np.where(np.repeat(self.flat, group, axis=0)[:, :, None], direction, 0.0)

    def turned(self, image: Array, group: int) -> Array:
        """Return (I - u u') M d / ||p||; 0 of norms at zero."""
        along = _summed(self.unit[:, :, None] * image, group)
        across = image - self.unit[:, :, None] * np.repeat(along, group, axis=0)
        with np.errstate(all="ignore"):
            curvature = np.where(self.flat, 0.0, 1.0 / self.length)
        turned: Array = np.repeat(curvature, group, axis=0)[:, :, None] * across
        return turned


class _Inner(NamedTuple):
    """A term inside a layer: its p of shape `(h k, N)`, and its norms if it is a root."""

    term: Term
    p: Array
    root: _Root | None


@final
class Geometry:
    """The pieces of a network that are active at each of N points.

    Args:
        net: the network.
        x: points, shape `(N, n)`; with stacked contexts, row i belongs to context i.
    """

    def __init__(self, net: FrozenNet, x: Array) -> None:
        self._net = net
        points = np.ascontiguousarray(x.T)
        size, n = np.abs(points), len(points)
        self._count = points.shape[1]
        self._n = n
        self.slopes: list[Array] = []  # of the units of each layer, 0 at a kink, shape (h, N)
        self.zero: list[BoolArray] = []  # units at a kink, a = 0
        self._bends: list[Array | None] = []  # second derivatives of softplus units
        self._inside: list[list[_Inner]] = []  # terms inside each layer
        self.flat: list[BoolArray] = []  # norms that are zero, those inside layers first, shape (groups, N)
        z = z_size = np.zeros((0, self._count))
        for layer in net.layers:
            a, S, terms = layer.b.T, np.abs(layer.b.T), n + 1
            self._inside.append([])
            for term in layer.inner:
                weight, offset = term.weight[:, None], term.offset.T
                p, p_size = term.matrix @ points + offset, abs(term.matrix) @ size + np.abs(offset)
                root = _Root.of(p, p_size, term.rows, n) if term.ROOT else None
                sizes = _summed(p_size**2, term.rows)
                a = a + weight * (_summed(p**2, term.rows) if root is None else root.length)
                S, terms = S + weight * (sizes if root is None else np.sqrt(sizes)), terms + 2 * n + term.rows + 4
                self._inside[-1].append(_Inner(term, p, root))
                self.flat += [] if root is None else [root.flat]
            a, S = a + layer.U @ points, S + abs(layer.U) @ size
            a, S, terms = a + layer.W @ z, S + layer.W @ z_size, terms + layer.W.shape[1]
            z_size = S * (1 + relative_margin(terms))  # sums of absolute values, propagated
            zero = np.broadcast_to(np.abs(a) <= relative_margin(terms) * S, (len(a), self._count))
            if layer.smooth:
                tau, a = column(layer.smoothing), np.broadcast_to(a, (len(a), self._count))
                zero = zero & (tau == 0)
                z, z_size = np.where(zero, 0.0, softplus(a, tau)), z_size + tau
                rising: Array = np.where(zero, 0.0, softplus_slope(a, tau))
                bends = np.where(tau > 0, rising * softplus_slope(-a, tau) / positive(tau), 0.0)
                self._add(rising, zero, bends)
                continue
            z = np.where(zero, 0.0, np.maximum(a, 0.0))
            self._add((z > 0).astype(np.float64), zero, None)
        self._images = [quad.A @ points + quad.e.T for quad in net.quadratics]
        self._roots: list[_Root] = []  # of the norm branches
        for norm in net.norms:
            S = abs(norm.C) @ size + np.abs(norm.d.T)
            self._roots.append(_Root.of(norm.C @ points + norm.d.T, S, norm.group, n))
            self.flat.append(self._roots[-1].flat)
        self._smooth = [(term, *_shares(term, points)) for term in net.exponentials]

    def _add(self, slopes: Array, zero: BoolArray, bends: Array | None) -> None:
        """Enter what is known of the units of the next layer."""
        self.slopes.append(slopes)
        self.zero.append(zero)
        self._bends.append(bends)

    @property
    def kinks(self) -> Array:
        """Number of units at a = 0 and of norms at zero, whether or not they reach the value, shape `(N,)`."""
        return sum((part.sum(axis=0) for part in (*self.zero, *self.flat)), np.zeros(self._count, dtype=int))

    def directional(self, d: Array) -> Array:
        """Return f'(x; d), shape `(N, K)`.

        Args:
            d: directions, shape `(N, K, n)`.
        """
        return self._tangent(d).value

    def support(self, d: Array) -> tuple[Array, Array]:
        """Return the support function of the subdifferential, `(N, K)`, and a maximiser g, `(N, K, n)`."""
        tangent = self._tangent(d)
        return tangent.value, self._pulled_back(tangent.switched, tangent.tilted, d.shape[1])

    def gradients(self, switched: list[BoolArray]) -> Array:
        """Return the subgradients of given patterns of the units at zero, shape `(N, K, n)`.

        Args:
            switched: of each layer, which units at a = 0 count as active, shape `(h, N, K)`.
        """
        K = switched[0].shape[2] if switched else 1
        return self._pulled_back(switched, None, K)

    def _tangent(self, d: Array) -> _Tangent:
        """Return the derivatives along directions of shape `(N, K, n)`."""
        N, K, _ = d.shape
        flat = np.ascontiguousarray(d.transpose(2, 0, 1)).reshape(self._n, N * K)
        full = lambda matrix, values: (matrix @ values).reshape(-1, N, K)  # noqa: E731 (local shorthand)
        output = self._net.output
        total = np.einsum("in,ink->nk", np.broadcast_to(output.v.T, (self._n, N)), flat.reshape(-1, N, K))
        dz = np.zeros((0, N, K))
        switched, rises, tilted = list[BoolArray](), list[Array](), list[Array]()
        for layer, slopes, zero, inside in zip(self._net.layers, self.slopes, self.zero, self._inside, strict=True):
            da = np.zeros((layer.b.shape[-1], N, K))
            for term, p, root in inside:
                image, weight = full(term.matrix, flat), term.weight[:, None, None]
                if root is None:
                    da = da + 2 * weight * _summed(p[:, :, None] * image, term.rows)
                else:
                    rise, tilt = root.along(image, term.rows)
                    da = da + weight * rise
                    tilted.append(tilt)
            da = da + full(layer.U, flat) + full(layer.W, dz.reshape(len(dz), N * K))
            on = zero[:, :, None] & (da > 0)
            dz = np.where(on, da, slopes[:, :, None] * da)
            switched.append(on)
            rises.append(da)
        total = total + np.einsum("in,ink->nk", np.broadcast_to(output.w.T, (len(dz), N)), dz)
        for quad, p in zip(self._net.quadratics, self._images, strict=True):
            total = total + 2 * quad.beta[:, None] * np.einsum("in,ink->nk", p, full(quad.A, flat))
        for term, p, _ in self._smooth:
            total = total + np.einsum("in,ink->nk", p, full(term.matrix, flat))
        for norm, root in zip(self._net.norms, self._roots, strict=True):
            rise, tilt = root.along(full(norm.C, flat), norm.group)
            total = total + norm.gamma[:, None] * rise.sum(axis=0)
            tilted.append(tilt)
        return _Tangent(total, switched, tilted, rises)

    def _pulled_back(self, switched: list[BoolArray], tilted: list[Array] | None, K: int) -> Array:
        """Return the subgradient of a choice at every kink, u = 0 of norms if omitted: one backward pass."""
        N, net = self._count, self._net
        tilts = list(tilted or ())
        slope = np.repeat(np.broadcast_to(net.output.v.T, (self._n, N))[:, :, None], K, axis=2)
        back = lambda matrix, values: (matrix.T @ values.reshape(len(values), N * K)).reshape(-1, N, K)  # noqa: E731
        bound = np.broadcast_to(net.output.w.T[:, :, None], (net.output.w.shape[-1], N, K))
        for norm, whole in zip(reversed(net.norms), reversed(self._roots), strict=True):
            unit = whole.unit[:, :, None] + (tilts.pop() if tilts else np.zeros((1, N, K)))
            slope = slope + norm.gamma[:, None] * back(norm.C, unit)
        parts = zip(net.layers, self.slopes, switched, self._inside, strict=True)
        for layer, slopes, on, inside in reversed(list(parts)):
            multiplier = np.where(on, bound, slopes[:, :, None] * bound)
            for term, p, root in reversed(inside):
                weight = np.repeat(term.weight[:, None, None] * multiplier, term.rows, axis=0)
                at = 2 * p[:, :, None] if root is None else root.unit[:, :, None]
                if root is not None and tilts:
                    at = at + tilts.pop()
                slope = slope + back(term.matrix, weight * at)
            slope = slope + back(layer.U, multiplier)
            bound = back(layer.W, multiplier)
        for quad, p in zip(net.quadratics, self._images, strict=True):
            slope = slope + 2 * quad.beta[:, None] * (quad.A.T @ p)[:, :, None]
        for exponential, p, _ in self._smooth:
            slope = slope + (exponential.matrix.T @ p)[:, :, None]
        return np.ascontiguousarray(slope.transpose(1, 2, 0))

    def hessian_product(self, d: Array) -> Array:
        """Return H d of the active piece, `(N, K, n)`: of quadratics, norms and softplus units; ReLU units are linear.

        Terms inside layers count with 2 rho lambda, or gamma lambda, of their unit. With softplus units the backward
        pass is differentiated along d: d mu = p d lambda + lambda p q / tau da, d lambda below being W' d mu. And

        H = sum_m 2 beta_m A_m'A_m + sum_r gamma_r C_r'(I - u u')C_r / ||C_r x + d_r||; a norm at zero is left out.
        """
        N, K, _ = d.shape
        flat = np.ascontiguousarray(d.transpose(2, 0, 1)).reshape(self._n, N * K)
        total = np.zeros((self._n, N, K))
        back = lambda matrix, values: (matrix.T @ values.reshape(len(values), N * K)).reshape(-1, N, K)  # noqa: E731
        bound = np.broadcast_to(self._net.output.w.T, (self._net.output.w.shape[-1], N))
        smooth = any(bend is not None for bend in self._bends)
        rises = self._tangent(d).rises if smooth else [None] * len(self.slopes)
        change: Array | None = None  # of the bound along d
        parts = zip(self._net.layers, self.slopes, self._bends, rises, self._inside, strict=True)
        for layer, slopes, bend, rise, inside in reversed(list(parts)):
            multiplier = slopes * bound
            changed = None if change is None else slopes[:, :, None] * change
            if bend is not None and rise is not None:
                changed = (0.0 if changed is None else changed) + (bend * bound)[:, :, None] * rise
            for term, p, root in inside:
                weight = np.repeat(term.weight[:, None] * multiplier, term.rows, axis=0)
                image = (term.matrix @ flat).reshape(-1, N, K)
                turned = 2 * image if root is None else root.turned(image, term.rows)
                total += back(term.matrix, weight[:, :, None] * turned)
                if changed is not None:
                    weight = np.repeat(term.weight[:, None, None] * changed, term.rows, axis=0)
                    total += back(term.matrix, weight * (2 * p if root is None else root.unit)[:, :, None])
            if changed is not None:
                total += back(layer.U, changed)
            bound = layer.W.T @ multiplier
            change = None if changed is None else back(layer.W, changed)
        for quad in self._net.quadratics:
            total += 2 * quad.beta[:, None] * back(quad.A, quad.A @ flat)
        for norm, root in zip(self._net.norms, self._roots, strict=True):
            image = (norm.C @ flat).reshape(-1, N, K)
            total += norm.gamma[:, None] * back(norm.C, root.turned(image, norm.group))
        for exponential, p, share in self._smooth:
            image = (exponential.matrix @ flat).reshape(-1, N, K)
            if exponential.KIND == "logistic":
                bent = (p * share)[:, :, None] * image
            else:  # share is the softmax of the group, p weighted
                mean = _summed(share[:, :, None] * image, exponential.rows)
                bent = p[:, :, None] * (image - np.repeat(mean, exponential.rows, axis=0))
            total += back(exponential.matrix, bent)
        return np.ascontiguousarray(total.transpose(1, 2, 0))


def _shares(term: ExpTerm, points: Array) -> tuple[Array, Array]:
    """Return w p of each row, and p; of log(1 + exp) 1 - p instead of p."""
    a = np.broadcast_to(term.matrix @ points + term.offset.T, (term.matrix.shape[0], points.shape[1]))
    if term.KIND == "logistic":
        return term.prices.T * softplus_slope(a, ONE), softplus_slope(-a, ONE)
    p = shares(a.reshape(term.groups, term.rows, -1)).p.reshape(a.shape)
    return term.prices.T * p, p


def _lengths(values: Array, group: int) -> Array:
    """Return the 2-norms of consecutive groups of rows."""
    return lengths(values.reshape(-1, group, *values.shape[1:]), 1)


def _summed(values: Array, rows: int) -> Array:
    """Return the sums over each unit's run of rows, the first axis."""
    return values.reshape(-1, rows, *values.shape[1:]).sum(axis=1)
