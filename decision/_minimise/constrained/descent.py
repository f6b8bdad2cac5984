"""A direction of a set along which f falls without end, proven in exact arithmetic.

Along x + t d the quadratics stay as they are if A d = 0; the rest of f has the slope f'(d), f with its offsets left
out, in the limit. The d of least slope among those with |d_j| <= 1 that the set allows is the answer of a program. Its
multiple nearest to whole numbers is checked: the rows in fractions, the slope by the bound that proofs use.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from scipy import sparse

from decision._minimise.answers import Goal
from decision._minimise.bounds import upper_bound
from decision._minimise.exact import FreePrograms
from decision._minimise.stack import Stack
from socicnn._arrays import IntArray
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.conic.solvers import Solver
from socicnn.frozen import FrozenNet

MULTIPLES = (1, 2, 3, 4, 6, 10, 12, 60, 1000, 2**20)  # of d, whose entries are then rounded
WHOLE = 2**53  # larger integers, of a solver that lies, are not all floats
LEAST = 1e-9  # slope, relative to the slopes of f, below which nothing is claimed


def falls_without_end(net: FrozenNet, rows: Rows, solver: Solver, goal: Goal) -> bool:
    """Return whether such a direction is proven; False says nothing.

    Args:
        net: one network.
        rows: the set, on [x | further variables].
        solver: the solver.
        goal: its deadline is kept.
    """
    stack = Stack.of(net)
    if stack.exponentials or any(layer.inner for layer in stack.layers):
        return False
    n, width = net.in_features, rows.G.shape[1]
    still = [sparse.csr_array(term.A) for term in net.quadratics if float(np.max(term.beta)) > 0]
    A = sparse.csr_array(sparse.vstack(still)) if still else sparse.csr_array((0, n))
    A = sparse.csr_array(sparse.hstack([A, sparse.csr_array((A.shape[0], width - n))]))
    slope = _without_offsets(net)
    solution = FreePrograms(slope, _directions(rows, A), solver).solve(0, goal)
    d = solution.v[:width]
    if not np.isfinite(d).all() or not solution.value < -LEAST * float(np.abs(net.output.v).max(initial=1e-300)):
        return False
    return any(_proven(slope, rows, A, np.round(d * k).astype(np.int64)) for k in MULTIPLES)


def _without_offsets(net: FrozenNet) -> FrozenNet:
    """Return the slope of f along directions in which its quadratics stay as they are."""
    return FrozenNet(
        [layer.changed(b=np.zeros_like(layer.b), smoothing=0.0) for layer in net.layers],  # softplus is relu far out
        replace(net.output, c=0.0 * net.output.c),
        [],
        [replace(norm, d=np.zeros_like(norm.d)) for norm in net.norms],
    )


def _directions(rows: Rows, A: sparse.csr_array) -> Rows:
    """Return the directions with |d_j| <= 1 that the set and the quadratics allow."""
    cones, width = rows.cones, rows.G.shape[1]
    eye = sparse.csr_array(sparse.eye_array(width))
    cut = cones.zero
    G = sparse.vstack([rows.G[:cut], A, eye, -eye, rows.G[cut:]], format="csr")
    h = np.zeros(G.shape[0])
    h[cut + A.shape[0] : cut + A.shape[0] + 2 * width] = 1.0
    made = Cones(cut + A.shape[0], cones.nonnegative + 2 * width, cones.second_order)
    return Rows(sparse.csr_array(G), h, made)


def _proven(slope: FrozenNet, rows: Rows, A: sparse.csr_array, d: IntArray) -> bool:
    """Return whether whole numbers d are such a direction, in real arithmetic."""
    if not d.any() or d.max() > WHOLE or d.min() < -WHOLE:
        return False
    if any(_products(A, d)) or not _allowed(_products(rows.G, d), rows.cones):
        return False
    x = torch.tensor(d[: slope.in_features], dtype=torch.float64)[None]
    return float(upper_bound(Stack.of(slope), x)[0]) < 0.0


def _products(G: sparse.csr_array, d: IntArray) -> list[Fraction]:
    """Return G d exactly."""
    products = []
    for i in range(G.shape[0]):
        places = slice(G.indptr[i], G.indptr[i + 1])
        pairs = zip(map(Fraction, G.data[places].tolist()), d[G.indices[places]].tolist(), strict=True)
        products.append(sum((entry * whole for entry, whole in pairs), Fraction(0)))
    return products


def _allowed(products: list[Fraction], cones: Cones) -> bool:
    """Return whether -G d is in K."""
    cut, end = cones.zero, cones.zero + cones.nonnegative
    if any(products[:cut]) or any(product > 0 for product in products[cut:end]):
        return False
    for head, size in zip(cones.heads, cones.second_order, strict=True):
        first, *rest = products[int(head) : int(head) + size]
        if first > 0 or sum((part * part for part in rest), Fraction(0)) > first * first:
            return False
    return True
