"""Proven bounds of decisions about networks with exponential cones: f(x) - gap <= min_X f in real arithmetic.

Such a network is searched as a module (`module_surrogate`); its arrays prove what was found. The upper end is the
forward pass rounded up. The lower end is the least value over X of the affine minorant of the multipliers at the point
y of the search's best tangent: those of softplus units have the slope p = 1 / (1 + exp(-a / tau)), those of kinks the
slope of the search's smoothing of width delta, log-sum-exp and logistic branches the tangent of their softmax at y. Any
slopes in [0, 1] and any softmax are valid, so that none of this is trusted.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from decision._minimise.bounds import net_below
from decision._minimise.stack import Dual
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array
from socicnn._margins import group_sums
from socicnn.frozen import FrozenNet
from socicnn.frozen._softplus import unit
from verify._proof.columns import NetColumns, TermColumns
from verify._proof.groups import spread
from verify._proof.passes import multipliers, upper
from verify._proof.softplus import slope


def proven_ends(
    net: FrozenNet, feasible_set: FeasibleSet, x: Tensor, y: Tensor, width: Tensor
) -> tuple[Tensor, Tensor]:
    """Return at least f(x), and at most min_X f, each of shape `(contexts,)`; not finite where nothing is proven.

    Args:
        net: the networks, one per row of x.
        feasible_set: the set X.
        x: decisions, shape `(contexts, n)`.
        y: points of the tangents, shape `(contexts, n)`.
        width: of the smoothing of kinks, shape `(contexts,)`.
    """
    columns = NetColumns.of(net)
    with np.errstate(all="ignore"):
        above = upper(columns, np.ascontiguousarray(x.numpy().T)).hi
        below = net_below(columns, len(x), feasible_set, _dual(columns, y.numpy().T, width.numpy()))[0]
    return torch.from_numpy(np.array(above)), below


def _dual(net: NetColumns, y: Array, width: Array) -> Dual:
    """Return the multipliers of the tangents at columns y."""
    z = np.zeros((0, y.shape[1]))
    slopes: list[Array] = []
    inside: list[Array] = []  # images of the quadratics inside layers
    for layer in net.layers:
        a = layer.b + layer.U @ y + layer.W @ z
        for term in layer.inner:
            p = _image(term, y)
            a = a + term.weight * group_sums(p**2, term.rows)
            inside.append(p)
        a = np.broadcast_to(a, (len(layer.b), y.shape[1]))
        root = np.sqrt(a**2 + 4 * width**2)
        z = 0.5 * (a + root)
        slopes.append(np.divide(z, root, out=np.zeros_like(z), where=root > 0))
        if layer.smooth:
            tau = np.asarray(layer.smoothing)
            slopes[-1] = np.where(tau > 0, slope(a, layer.smoothing, np), slopes[-1])
            z = np.where(tau > 0, unit(a, tau), z)
    lam = multipliers(net, y.shape[1], lambda k, box: box * slopes[k]).lam
    images = [_image(term, y) for term in net.terms]
    norms = [
        p / spread(term, np.sqrt(group_sums(p**2, term.rows) + width**2))
        for term, p in zip(net.terms, images, strict=True)
        if term.root
    ]
    squares = [p for term, p in zip(net.terms, images, strict=True) if not term.root]
    rows = lambda parts: tuple(torch.from_numpy(np.array(part.T)) for part in parts)  # noqa: E731 (local shorthand)
    shares = [term.shares(term.matrix @ y + term.offset) for term in net.exponentials]
    return Dual(rows(lam), rows(norms), rows([*squares, *inside, *shares]))


def _image(term: TermColumns, y: Array) -> Array:
    image: Array = term.matrix @ y + term.offset
    return image
