"""A program some of whose variables are whole numbers, and the tree of cases that proves its optimum.

A node splits a variable v_j at a whole number k: v_j <= k, or v_j >= k + 1. Every whole number is in one of both, so
the least of the lower ends of the leaves is a lower end of the program. Source: Land and Doig, Econometrica 28 (1960).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray, IntArray
from socicnn.conic._conic_data import ConicData
from socicnn.conic._rows import Rows
from verify._optimum.lower import lower_end
from verify._optimum.program import QuadraticProgram
from verify._optimum.upper import UpperEnd, sure_end

LEAF, EMPTY = -1, -2  # in place of the variable that a node splits
LARGEST = 2.0**53  # whole numbers up to it are floats


@dataclass(frozen=True, eq=False)
class MixedProgram:
    """A program, some of whose variables are whole numbers.

    Args:
        relaxed: the program without that demand.
        integers: the variables that are whole numbers, shape `(integers,)`.
        lower: their lower bounds, whole or -infinity, shape `(integers,)`.
        upper: their upper bounds, whole or +infinity, shape `(integers,)`.
    """

    relaxed: QuadraticProgram
    integers: IntArray
    lower: Array
    upper: Array

    @property
    def conic(self) -> ConicData:
        """Everything of the relaxation but P."""
        return self.relaxed.conic

    @property
    def P(self) -> sparse.csr_array:
        """The matrix of the quadratic terms."""
        return self.relaxed.P

    def within(self, lower: Array, upper: Array) -> QuadraticProgram:
        """Return the relaxation with bounds of the integers as further rows; equal bounds are one equality."""
        rows = bounded(self.relaxed.rows, self.integers, lower, upper)
        return self.relaxed.over(replace(self.conic, A=sparse.csc_array(rows.G), b=rows.h, cones=rows.cones))


def bounded(rows: Rows, columns: IntArray, lower: Array, upper: Array) -> Rows:
    """Return rows with bounds of these columns, which follow the equalities; equal bounds are one equality."""
    fixed = lower == upper
    below, above = np.isfinite(lower) & ~fixed, np.isfinite(upper) & ~fixed
    parts = [columns[part] for part in (fixed, below, above)]
    signs = np.concatenate([np.full(len(part), s) for part, s in zip(parts, (1.0, -1.0, 1.0), strict=True)])
    at, (zero, k) = np.concatenate(parts), (rows.cones.zero, len(parts[0]))
    own = sparse.csr_array((signs, (np.arange(len(at)), at)), shape=(len(at), rows.G.shape[1]))
    G = sparse.csr_array(sparse.vstack([rows.G[:zero], own, rows.G[zero:]], format="csr"))
    h = np.concatenate([rows.h[:zero], lower[fixed], -lower[below], upper[above], rows.h[zero:]])
    cones = replace(rows.cones, zero=zero + k, nonnegative=rows.cones.nonnegative + len(at) - k)
    return replace(rows, G=G, h=h, cones=cones)


@dataclass(frozen=True, eq=False)
class TreeWitness:
    """What proves a bracket: a tree, node by node, each before its left and then its right branch.

    Args:
        split: which of the integers each node splits, LEAF, or EMPTY for a leaf without points; shape `(nodes,)`.
        at: the whole number k at which, shape `(nodes,)`.
        y: multipliers of the leaves, one after the other.
        u: points of the tangents of the leaves, one after the other; nothing if the cost is linear.
        v: a point next to a feasible one, NaN if none is known, shape `(variables,)`.
        tight: the inequalities that hold there with equality, integers fixed, shape `(rows,)`.
    """

    split: IntArray
    at: Array
    y: Array
    u: Array
    v: Array
    tight: BoolArray

    @property
    def leaves(self) -> int:
        """The number of leaves."""
        return int((self.split < 0).sum())


class TreeError(Exception):
    """A tree that does not fit the program."""


def tree_below(mixed: MixedProgram, witness: TreeWitness) -> float:
    """Return the lower end that the tree proves; +infinity proves that there is no point.

    Raises:
        TreeError: nodes or multipliers are missing or left over, or a split is not at a whole number.
    """
    least, stack, y_at, u_at = np.inf, [(mixed.lower, mixed.upper)], 0, 0
    linear = mixed.P.nnz == 0
    n = mixed.conic.A.shape[1]
    for j, at in zip(witness.split.tolist(), witness.at.tolist(), strict=True):
        if not stack:
            raise TreeError("the tree has nodes that belong to no branch")
        lower, upper = stack.pop()
        if j >= 0:
            if j >= len(lower) or not (abs(at) < LARGEST and at == np.floor(at)):
                raise TreeError("a node must split an integer at a whole number")
            left, right = upper.copy(), lower.copy()
            left[j], right[j] = min(upper[j], at), max(lower[j], at + 1.0)
            stack += [(right, upper), (lower, left)]
            continue
        if (lower > upper).any():  # no whole number is left
            continue
        program = mixed.within(lower, upper)
        rows, width = program.conic.cones.rows, 0 if linear else n
        y, u = witness.y[y_at : y_at + rows], witness.u[u_at : u_at + width]
        if len(y) != rows or len(u) != width:
            raise TreeError("the tree lacks multipliers")
        y_at, u_at = y_at + rows, u_at + width
        least = min(least, leaf_below(program, np.zeros(n) if linear else u, y, empty=j == EMPTY))
    if stack or y_at != len(witness.y) or u_at != len(witness.u):
        raise TreeError("the tree lacks nodes, or has multipliers that belong to no leaf")
    return least


def leaf_below(program: QuadraticProgram, u: Array, y: Array, *, empty: bool) -> float:
    """Return the lower end of a leaf: +infinity if the multipliers prove that it has no point."""
    if not empty:
        return lower_end(program, u, y)
    return np.inf if lower_end(program.constant(), np.zeros(len(u)), y) > 0.0 else -np.inf


def tree_above(mixed: MixedProgram, v: Array, tight: BoolArray) -> UpperEnd:
    """Return the upper end of a point whose integers are whole."""
    if not np.isfinite(v).all():
        return UpperEnd(np.inf, reason="no point is known")
    k = np.round(v[mixed.integers])
    if not ((mixed.lower <= k) & (k <= mixed.upper) & (np.abs(k) < LARGEST)).all():
        return UpperEnd(np.inf, reason="its integers are out of bounds")
    program = mixed.within(k, k)
    if len(tight) != program.conic.cones.rows:
        return UpperEnd(np.inf, reason="its tight rows do not fit")
    return sure_end(program, v, tight)
