"""The program whose optimum is proven, and the witness that proves it: plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray
from socicnn.conic._cones import Cones
from socicnn.conic._conic_data import ConicData
from socicnn.conic._rows import ProgramRows, Rows
from verify._optimum.convex import curvature
from verify._optimum.exponential import idle_rows


@dataclass(frozen=True, eq=False)
class QuadraticProgram:
    """min_v v'Pv / 2 + c'v + offset  s.t.  A v + s = b, s in K.

    Args:
        conic: everything but P.
        P: symmetric matrix of shape `(variables, variables)`.
    """

    conic: ConicData
    P: sparse.csr_array

    @cached_property
    def rows(self) -> Rows:
        """The constraints."""
        return ProgramRows(sparse.csr_array(self.conic.A), self.conic.b, self.conic.cones)

    @cached_property
    def curvature(self) -> Array | None:
        """The diagonal D with v'Pv >= v'Dv; None if P is not proven to be convex."""
        return curvature(self.P)

    @cached_property
    def ends(self) -> dict[tuple[bytes, bytes], Any]:
        """Ends that are proven already, by the arrays that prove them."""
        return {}

    def over(self, conic: ConicData) -> QuadraticProgram:
        """Return the same cost over other rows, with all that is known of the cost."""
        other = QuadraticProgram(conic, self.P)
        other.__dict__["curvature"] = self.curvature  # computed once
        return other

    def constant(self) -> QuadraticProgram:
        """Return the same constraints with the cost 0: a lower bound above 0 proves that they have no point."""
        nothing = sparse.csr_array(self.P.shape)
        return QuadraticProgram(replace(self.conic, c=np.zeros_like(self.conic.c), offset=0.0), nothing)

    def homogeneous(self) -> QuadraticProgram:
        """Return the program of directions: b = 0, P d = 0. A cost below 0 proves that there is no lower bound."""
        conic = self.conic
        flat = self.P[np.flatnonzero(np.diff(self.P.indptr))]
        rows, cones = _directions(self.rows)
        A = sparse.csc_array(sparse.vstack([flat, rows], format="csc"))
        cones = replace(cones, zero=cones.zero + flat.shape[0])
        nothing = sparse.csr_array(self.P.shape)
        return QuadraticProgram(ConicData(A, np.zeros(A.shape[0]), conic.c, 0.0, cones), nothing)


def _directions(rows: Rows) -> tuple[sparse.csr_array, Cones]:
    """Return the rows of the program with b = 0: an exponential cone whose y is then 0 is x <= 0 and s >= 0."""
    G, cones = rows.G, rows.cones
    flat = np.repeat(idle_rows(G, cones)[:, 1], 3)
    if not flat.any():
        return G, cones
    start = cones.exponential_start
    x, rest = start + np.flatnonzero(flat)[::3], start + np.flatnonzero(~flat)
    cut = cones.zero + cones.nonnegative
    parts = [G[:cut], -G[x], G[x + 2], G[cut:start], G[rest]]
    known = Cones(cones.zero, cones.nonnegative + 2 * len(x), cones.second_order, len(rest) // 3)
    return sparse.csr_array(sparse.vstack(parts, format="csr")), known


@dataclass(frozen=True, eq=False)
class OptimumWitness:
    """What proves a bracket. NaN where there is nothing.

    Args:
        v: a point next to a feasible one, shape `(variables,)`.
        tight: the inequalities that hold there with equality, shape `(rows,)`.
        u: the point of the tangent of the quadratic cost, shape `(variables,)`.
        y: multipliers next to feasible ones, shape `(rows,)`.
        empty: multipliers that prove that there is no point, shape `(rows,)`.
        ray: a direction along which the cost falls for ever, shape `(variables,)`.
        ray_tight: the inequalities that hold along it with equality, shape `(rows of the homogeneous program,)`.
    """

    v: Array
    tight: BoolArray
    u: Array
    y: Array
    empty: Array
    ray: Array
    ray_tight: BoolArray
