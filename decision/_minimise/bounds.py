"""Proven bounds of a decision: f(x) - gap <= min_X f in real arithmetic, by the passes of the verifier's own proof.

The upper end is `verify._proof.passes` at x. The lower end is min over X of the affine minorant of a dual point
(`verify._proof.minorant`), made feasible by `verify._proof.passes` first, less what rounding can have added to it.
Assumed: the arithmetic is IEEE float64, and `minimise_linear` returns a vertex that is exact to a few units in the last
place.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from decision._minimise.branch import Branch
from decision._minimise.extents import coordinate_ends
from decision._minimise.flat import QUIET, Flat
from decision._minimise.linear_map import Map, nothing
from decision._minimise.stack import Dual, Stack, StackLayer
from decision.sets._base import FeasibleSet
from socicnn._margins import EPS, TINY, relative_margin
from verify._proof.columns import LayerColumns, NetColumns, TermColumns, Values
from verify._proof.minorant import Minorant as Minorant
from verify._proof.minorant import in_ball
from verify._proof.minorant import minorant as minorant_of
from verify._proof.passes import multipliers, upper


def columns(stack: Stack) -> NetColumns:
    """Return a stack as what the passes of a proof read: one column per context."""
    layers = [_layer(layer, stack.in_features) for layer in stack.layers]
    terms = [_term(branch, branch.weight.T) for branch in (*stack.quadratics, *stack.norms)]
    exponentials = [branch.columns() for branch in stack.exponentials]
    return NetColumns(layers, stack.w.T, stack.v.T, stack.c, terms, torch, exponentials)


def _layer(layer: StackLayer, n: int) -> LayerColumns:
    h, device = layer.b.shape[1], layer.b.device
    W, U = layer.W or nothing(h, 0, device), layer.U or nothing(h, n, device)
    inner = [_term(branch, branch.weight.T) for branch in layer.inner]
    tau = layer.smoothing[:, None] if isinstance(layer.smoothing, Tensor) else layer.smoothing
    return LayerColumns(W, None, U, U.absolute(), layer.b.T, inner, tau)  # W >= 0


def _term(branch: Branch, weight: Tensor) -> TermColumns:
    matrix: Map = branch.matrix
    return TermColumns(weight, matrix, matrix.absolute(), branch.offset.T, branch.group, branch.root, torch)


def flat_columns(flat: Flat) -> NetColumns:
    """Return few networks as what the passes of a proof read, in NumPy, whose operations have less overhead."""
    arrays, offset, price = flat.rows.arrays, flat.offset.T, flat.price.T
    M, absolute, units = arrays.M, arrays.absolute, arrays.units
    W = np.zeros((units, 0))
    tau: Values = arrays.tau[:, None] if arrays.tau.any() else 0.0
    layer = LayerColumns(W, None, M[:units], absolute[:units], offset[:units], smoothing=tau)
    layers = [layer] * flat.rows.layers
    terms = [
        TermColumns(price[groups], M[span], absolute[span], offset[span], size, span.start < arrays.bent, np)
        for span, groups, size in flat.rows.branches
    ]
    quadratics, norms = (([term for term in terms if term.root is root]) for root in (False, True))
    return NetColumns(layers, price[:units], flat.v.T, np.zeros(len(flat)), [*quadratics, *norms], np)


def _own(net: NetColumns, tensor: Tensor) -> Values:
    """Return a tensor of one row per context as columns of the kind that a network has."""
    return tensor.T.numpy() if net.xp is np else tensor.T


def _tensor(values: Values) -> Tensor:
    """Return values of either kind as a tensor."""
    return torch.from_numpy(np.array(values)) if isinstance(values, np.ndarray) else values


def _feasible(net: NetColumns, count: int, dual: Dual) -> tuple[list[Values], list[Values], list[Values]]:
    """Return lambda and u, as columns, cut into their boxes and balls in real arithmetic, top layer down, and boxes."""
    feasible = multipliers(net, count, lambda k, box: _own(net, dual.lam[k]))
    inside = (term for layer in net.layers for term in layer.inner)
    norms = [term for term in (*net.terms, *inside) if term.root]
    u = [in_ball(term, _own(net, guess)) for term, guess in zip(norms, dual.u, strict=True)]
    return feasible.lam, u, feasible.boxes


def repaired(stack: Stack, dual: Dual) -> Dual:
    """Return multipliers that are dual feasible in real arithmetic: cut into their boxes, top layer down."""
    lam, u, _ = _feasible(columns(stack), len(stack), dual)
    return Dual(tuple(tensor.T for tensor in lam), tuple(tensor.T for tensor in u), dual.p)


def minorant(stack: Stack, dual: Dual) -> Minorant:
    """Return the affine minorant of a dual point that is feasible; its slopes have shape `(contexts, n)`."""
    net = columns(stack)
    boxes = _feasible(net, len(stack), dual)[2] if stack.smooth else None
    lam, u, p = ([tensor.T for tensor in group] for group in (dual.lam, dual.u, dual.p))
    line = minorant_of(net, lam, u, p, boxes)
    return Minorant(line.slope.T, line.offset, line.slope_size.T, line.offset_size, line.terms)


def boxes_of(stack: Stack, dual: Dual) -> list[Tensor]:
    """Return the upper bounds of the multipliers of each layer, rounded down, shape `(contexts, h_k)`."""
    return [box.T for box in _feasible(columns(stack), len(stack), dual)[2]]


def extent(feasible_set: FeasibleSet, device: torch.device) -> Tensor:
    """Return max over X of |x_j| for each coordinate, shape `(n,)`."""
    lower, upper = coordinate_ends(feasible_set)
    return torch.maximum(lower.abs(), upper.abs()).to(device)


def lower_bound(stack: Stack, feasible_set: FeasibleSet, dual: Dual) -> Tensor:
    """Return a proven lower bound of min_X f for each context, shape `(contexts,)`.

    Args:
        stack: the networks.
        feasible_set: the set X.
        dual: a guess of a dual point; it is repaired first. Where it is not finite the bound is -infinity.
    """
    return proven_below(stack, feasible_set, dual)[0]


def proven_below(stack: Stack, feasible_set: FeasibleSet, dual: Dual) -> tuple[Tensor, Tensor]:
    """Return the lower bound of `lower_bound`, and the sum of the absolute values of its terms."""
    return net_below(columns(stack), len(stack), feasible_set, dual)


def upper_bound(stack: Stack, x: Tensor) -> Tensor:
    """Return a proven upper bound of f(x) for each context: its value and what rounding can have taken off it."""
    hi: Tensor = upper(columns(stack), x.T).hi
    return hi


@QUIET
def flat_bounds(flat: Flat, feasible_set: FeasibleSet, x: Tensor, dual: Dual) -> tuple[Tensor, Tensor, Tensor]:
    """Return `upper_bound` at x, and both results of `proven_below`, of few networks."""
    net = flat_columns(flat)
    return _tensor(upper(net, _own(net, x)).hi), *net_below(net, len(flat), feasible_set, dual)


def net_below(net: NetColumns, count: int, feasible_set: FeasibleSet, dual: Dual) -> tuple[Tensor, Tensor]:
    """Return the lower bounds of networks as columns, and the sum of the absolute values of their terms."""
    lam, u, boxes = _feasible(net, count, dual)
    line = minorant_of(net, lam, u, [_own(net, p) for p in dual.p], boxes)
    slope = _tensor(line.slope.T)
    vertex, reach = feasible_set.minimise_linear(slope), extent(feasible_set, slope.device)[None]
    products = line.slope * _own(net, vertex)
    bound = products.sum(0) + line.offset
    size = (line.slope_size * (_own(net, reach) * (1.0 + 8 * EPS))).sum(0) + line.offset_size
    bound = bound - (relative_margin(2 * line.terms) * size + TINY * (1.0 + size))
    bound = net.xp.where(net.xp.isfinite(bound), bound, -np.inf)
    return _tensor(bound), _tensor(abs(products).sum(0) + line.offset_size)
