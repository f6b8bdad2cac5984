"""A box far from zero is searched around a point of its own, as float64 keeps little of b + U x where both are large.

With x = o + u and b' = b + U o the networks are functions of u over a box around zero. Each b' (and every other offset)
is the sum of its terms rounded once, by exact products and `math.fsum`; that is a change of one rounding in b', which
the margins of the proofs hold in reserve (`relative_margin` counts four roundings more than a sum needs). x - o is
exact: x lies within a factor of two of o (Sterbenz, "Floating-Point Computation", 1974).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision.sets import Box
from socicnn._arrays import Array, Matrix
from socicnn._ranges import Ranges
from socicnn.frozen import FrozenNet
from socicnn.frozen._network import BRANCHES
from socicnn.frozen._terms import Term
from verify._optimum.exact import two_products

FAR = 2.0**8  # half widths from zero
LARGEST = 2.0**500  # beyond it, exact products may overflow


def origin_of(feasible_set: object) -> Array | None:
    """Return the point to search a box around, shape `(n,)`; None where no coordinate is far from zero.

    It is zero where a coordinate is near zero, and elsewhere a multiple of a power of two next to the half width.
    """
    if not isinstance(feasible_set, Box):
        return None
    lower, upper = (end.numpy() for end in feasible_set.ends(torch.empty(0, dtype=torch.float64)))
    middle, half = lower / 2 + upper / 2, upper / 2 - lower / 2
    far = (np.abs(middle) > FAR * half) & (np.abs(middle) < LARGEST)
    if not far.any():
        return None
    step = np.exp2(np.frexp(np.where(half > 0, half, 1.0))[1] - 1.0)
    rounded = np.where(half > 0, np.round(middle / step) * step, middle)
    return np.where(far, rounded, 0.0)


def box_around(box: Box, origin: Array) -> Box:
    """Return the box of u = x - origin."""
    lower, upper = (end.numpy() for end in box.ends(torch.empty(0, dtype=torch.float64)))
    return Box(box.n, lower - origin, upper - origin)


def ranges_around(ranges: Ranges | None, origin: Array) -> Ranges | None:
    """Return the ranges of u; None for none."""
    if ranges is None:
        return None
    shift = origin.reshape(ranges.x_lower.shape)
    return replace(ranges, x_lower=ranges.x_lower - shift, x_upper=ranges.x_upper - shift)


def net_around(net: FrozenNet, origin: Array) -> FrozenNet | None:
    """Return the networks as functions of u = x - origin; None where a number is too large for exact products."""
    matrices = [layer.U for layer in net.layers] + [term.matrix for term in _terms(net)]
    largest = max((float(abs(matrix).max()) for matrix in matrices if matrix.size), default=0.0)
    if max(largest, float(np.abs(net.output.v).max(initial=0.0))) >= LARGEST:
        return None
    layers = []
    for layer in net.layers:
        inner = {name: _around(term, origin) for name, term in layer.named_inner()}
        layers.append(replace(layer, b=_sums(layer.U, origin, layer.b), **inner))
    pairs = zip(*np.broadcast_arrays(net.output.v, net.output.c[:, None]), strict=True)
    c = np.array([_sums(row[None], origin, constant[:1])[0] for row, constant in pairs])
    branches: dict[str, Any] = {name: [_around(term, origin) for term in getattr(net, name)] for name in BRANCHES}
    return replace(net, layers=layers, output=replace(net.output, c=c), **branches)


def _terms(net: FrozenNet) -> list[Term]:
    return [*net.terms, *net.exponentials, *(term for layer in net.layers for term in layer.inner)]


def _around(term: Any, origin: Array) -> Any:
    return replace(term, **{term.LETTERS[2]: _sums(term.matrix, origin, term.offset)})


def _sums(matrix: Matrix, origin: Array, offset: Array) -> Array:
    """Return offset + matrix origin, each entry rounded once; the offset has a row per context, or one."""
    rows, moved = sparse.csr_array(matrix), np.array(offset, dtype=np.float64)
    for i in range(rows.shape[0]):
        part = slice(rows.indptr[i], rows.indptr[i + 1])
        parts = _distilled(np.concatenate(two_products(rows.data[part], origin[rows.indices[part]])).tolist())
        column = [math.fsum((entry, *parts)) for entry in moved[..., i].reshape(-1)]
        moved[..., i] = np.reshape(column, moved.shape[:-1])
    return moved


def _distilled(parts: list[float]) -> tuple[float, ...]:
    """Return few numbers of the same exact sum, the largest first."""
    few: list[float] = []
    while rest := math.fsum([*parts, *(-number for number in few)]):
        few.append(rest)
    return tuple(few)


def snapped(u: Tensor, origin: Array | None) -> Tensor:
    """Return points u moved to where origin + u is a float64, which x has to be."""
    if origin is None:
        return u
    o = torch.as_tensor(origin, device=u.device)
    return (o + u) - o
