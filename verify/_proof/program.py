"""Brackets of a program's value, from its exported arrays alone: no network, no witness.

A monotone epigraph program is solved by substitution: each variable takes the least value that its rows allow, given
the variables before it; a softplus unit is a pair of exponential cones, a log-sum-exp a group of them (`bends`).
Enclosing that pass gives proven ends in real arithmetic, with the margins of `proof.network`, and tells programs apart
that have no feasible point or are unbounded. Where an inequality is not monotone (a negative weight on another
variable) the pass still gives a feasible point, so an upper end, and nothing below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray, IntArray
from socicnn._margins import EPS, TINY, relative_margin
from socicnn.conic._data import ValueData
from verify._proof.bends import bends, log_sum_exps
from verify._proof.cones import Lengths, LiftedSquares
from verify._proof.network import Bracket
from verify._proof.softplus import rounded_down, rounded_up


@dataclass(frozen=True, eq=False)
class _Level:
    """Variables that depend on earlier ones only, with the inequalities that bound them from below.

    Args:
        rows: the inequalities, those of one variable side by side.
        owner: the variable that each bounds.
        weight: alpha > 0 of -alpha v_owner.
        others: the remaining entries, P, of shape `(rows, variables)`.
        sizes: their absolute values.
        starts: where the inequalities of each variable begin.
        tau: the smoothing of softplus units v >= tau log(1 + exp(p / tau)), p = P v + b + B x, whose cones have their
            heads in `rows`, one per variable; None for inequalities.
        summed: whether v >= log sum exp(p) over the rows of each variable, whose cones have their heads in `rows`.
    """

    rows: IntArray
    owner: IntArray
    weight: Array
    others: sparse.csr_array
    sizes: sparse.csr_array
    starts: IntArray
    tau: Array | None = None
    summed: bool = False


@final
class ProgramProver:
    """Holds a program's arrays and brackets its value.

    A value of +inf stands for a program without a feasible point, -inf for one that is unbounded below; a bracket of
    (-inf, inf) is undecided.

    Args:
        program: the exported arrays.
    """

    def __init__(self, program: ValueData) -> None:
        self._program = program
        cones = program.cones
        self._first = cones.zero
        A = sparse.csr_array(program.A, copy=True)
        A.sum_duplicates()  # several entries of one place stand for their sum
        A.eliminate_zeros()
        A.sort_indices()
        self._A, self._B = A, sparse.csr_array(program.B, copy=True)
        self._B.sum_duplicates()
        self._absolute_B = abs(self._B)
        self._terms = int((np.diff(A.indptr) + np.diff(self._B.indptr)).max(initial=0)) + 1
        vectors = (program.A.data, program.B.data, program.b, program.q, program.d, program.r)
        self.readable = cones.zero == 0 and all(bool(np.isfinite(array).all()) for array in vectors)
        self._levels: list[_Level] = []
        self.monotone = True
        self._above: IntArray = np.zeros(0, dtype=np.int64)  # inequalities that bound nothing from below
        self._mass: IntArray = np.zeros(0, dtype=np.int64)  # u of the exponential cones
        if self.readable:
            self.readable, smooth, bend, sums, self._mass = bends(program, A, self._B)
            rows = np.setdiff1d(np.arange(cones.nonnegative), sums)
            self._read_inequalities(rows, smooth, bend)
            self._owned[self._mass] = True
            self._read_cones()

    def _read_inequalities(self, linear: IntArray, smooth: IntArray, tau: Array) -> None:
        """Sort the inequalities into levels: the last variable of each is its own, where its entry is negative.

        Args:
            linear: the inequalities.
            smooth: heads of the cones (p - t, tau, u), which stand for t >= p here.
            tau: how each bends, as `Bends` says.
        """
        places = np.concatenate([linear, smooth])
        A = sparse.csr_array(sparse.vstack([self._A[linear], -self._A[smooth]], format="csr"))
        count, softness = len(places), np.concatenate([np.zeros(len(linear)), tau])
        entries = np.diff(A.indptr)
        last = np.full(count, -1)
        last[entries > 0] = A.indices[A.indptr[1:][entries > 0] - 1]
        weight = np.zeros(count)
        weight[entries > 0] = -A.data[A.indptr[1:][entries > 0] - 1]
        bounding = weight > 0
        self._above = places[~bounding]
        row = np.repeat(np.arange(count), entries)
        rest = bounding[row] & (A.indices != last[row])
        self.monotone &= bool((A.data[rest] > 0).all()) and bool((A.data[~bounding[row]] > 0).all())
        P = sparse.csr_array((A.data[rest], (row[rest], A.indices[rest])), shape=A.shape)
        level = np.zeros(A.shape[1], dtype=np.int64)
        reach = sparse.csr_array((np.ones(P.nnz), P.indices, P.indptr), shape=P.shape)
        for _ in range(A.shape[1]):  # one round per layer
            deepest = np.zeros(count, dtype=np.int64)
            if reach.nnz:
                np.maximum.at(deepest, np.repeat(np.arange(count), np.diff(reach.indptr)), level[reach.indices] + 1)
            new = level.copy()
            np.maximum.at(new, last[bounding], deepest[bounding])
            if (new == level).all():
                break
            level = new
        self._owned = np.zeros(A.shape[1], dtype=bool)
        self._owned[last[bounding]] = True
        for depth in np.unique(level[last[bounding]]):
            for bend in (0.0, 1.0, -1.0):
                rows = np.flatnonzero(bounding & (level[last] == depth) & (np.sign(softness) == bend))
                if not len(rows):
                    continue
                rows = rows[np.argsort(last[rows], kind="stable")]
                owner, others = last[rows], sparse.csr_array(P[rows])
                starts = np.flatnonzero(np.diff(owner, prepend=-1))
                smoothing = softness[rows] if bend > 0 else None
                parts = weight[rows], others, abs(others), starts, smoothing
                self._levels.append(_Level(places[rows], owner, *parts, bend < 0))
                self.readable &= bend <= 0 or len(starts) == len(rows)

    def _read_cones(self) -> None:
        """Find the variable of each second-order cone; past its head, and a lift's second row, it holds x alone."""
        program, A = self._program, self._A
        heads = np.asarray(program.cones.heads, dtype=np.int64)
        sizes = np.asarray(program.cones.second_order, dtype=np.int64)
        lifted = np.isin(heads, program.lifts.heads)
        entries = np.diff(A.indptr)
        free = np.arange(len(entries)) >= program.cones.nonnegative
        free[program.cones.exponential_start :] = False
        free[heads] = free[heads[lifted] + 1] = False
        self.readable &= bool((entries[free] == 0).all()) and bool((entries[heads] == 1).all())
        self.readable &= bool((entries[heads[lifted] + 1] == 1).all()) and bool((sizes[lifted] > 2).all())
        if not self.readable:
            return
        single = lambda rows: (A.indices[A.indptr[rows]], -A.data[A.indptr[rows]])  # noqa: E731 (column, alpha)
        self._norms = Lengths(heads[~lifted], sizes[~lifted], *single(heads[~lifted]))
        heads = heads[lifted]
        (t, weight), (second, alpha2), inputs = single(heads), single(heads + 1), np.diff(self._B.indptr)
        exact = (inputs[heads] == 0) & (inputs[heads + 1] == 0)
        b = np.atleast_2d(program.b)
        usual = exact & (b[:, heads] == 0.5).all(axis=0) & (b[:, heads + 1] == -0.5).all(axis=0)
        self._lifted = LiftedSquares(heads, sizes[lifted], t, weight, alpha2, exact, usual)
        own = np.concatenate([self._norms.s, t])
        self.readable &= bool((second == t).all()) and len(np.unique(own)) == len(own)
        self.readable &= not self._owned[own].any() and bool((self._norms.weight != 0).all())
        self._owned[own] = True
        self.readable &= bool(self._owned.all())

    def __call__(self, x: Array) -> Bracket:
        """Bracket the value at each point.

        Args:
            x: points, shape `(N, n)`; with stacked contexts, row i belongs to context i.
        """
        N = len(x)
        if not self.readable:
            return Bracket(np.full(N, -np.inf), np.full(N, np.inf), np.full(N, np.nan))
        with np.errstate(all="ignore"):
            return self._bracket(np.ascontiguousarray(x.T))

    def _bracket(self, x: Array) -> Bracket:
        program, N = self._program, x.shape[1]
        vectors = program.b, program.q, program.d
        b, q, d = (np.broadcast_to(np.atleast_2d(vector).T, (vector.shape[-1], N)) for vector in vectors)
        r = np.atleast_1d(program.r)
        right = b + self._B @ x  # b + B x, and how far rounding can be off
        margin = relative_margin(self._terms) * (np.abs(b) + self._absolute_B @ np.abs(x)) + TINY
        low, high = np.full((len(q), N), -np.inf), np.full((len(q), N), -np.inf)
        low[self._mass], high[self._mass] = 0.0, 0.0  # they cost nothing, and z makes room for them
        self._norms.enclose(right, margin, low, high)
        sound, impossible = self._lifted.enclose(right, margin, low, high)
        for level in self._levels:
            self._raise(level, right, margin, low, high)
        down = self._norms.s[self._norms.weight < 0]  # s <= -||u||: nothing from below
        sound &= np.isfinite(high).all(axis=0) & (q[down] >= 0).all(axis=0)
        np.minimum(low, high, out=low)
        scale = np.abs(r) + np.einsum("in,in->n", np.abs(d), np.abs(x))
        affine = r + np.einsum("in,in->n", d, x)
        size = scale + np.einsum("in,in->n", np.abs(q), np.maximum(np.abs(low), np.abs(high)))
        slack = relative_margin(len(q) + len(d) + 2) * size + TINY
        lo = affine + np.einsum("in,in->n", q, low) - slack
        hi = affine + np.einsum("in,in->n", q, high) + slack
        fits, lacks = self._upper_bounds(right, margin, low, high)
        if self.monotone:
            impossible |= sound & lacks
            lo = np.where(np.isfinite(lo), lo, -np.inf)
        if not self.monotone or (q < 0).any():  # raising a variable may pay
            active = high > 2.0**20 * TINY  # a unit that is off has an upper end of a few TINY
            ends = [self._dual_end(x, right, b, q, low, on) for on in (active, np.ones_like(active))]
            lo = np.where((q >= 0).all(axis=0) & self.monotone, lo, np.maximum(*ends))
        unbounded = ((q[self._top()] < 0).any(axis=0) | (q[down] > 0).any(axis=0)) & sound & fits & ~impossible
        lo = np.where(sound & ~unbounded, lo, -np.inf)
        hi = np.where(sound & fits & np.isfinite(hi), hi, np.inf)
        lo, hi = np.where(impossible, np.inf, lo), np.where(impossible, np.inf, hi)
        return Bracket(lo, np.where(unbounded, -np.inf, hi), size)

    def _dual_end(self, x: Array, right: Array, b: Array, q: Array, low: Array, active: BoolArray) -> Array:
        """Return a lower end by weak duality, where an inequality or the cost has a negative weight on a variable.

        From the last variables back, lambda_j is q_j + sum_i P_ij lambda_i, rounded down, where it is `active`, else 0;
        what is left goes to the inequality v_j >= 0. Any choice of `active` proves an end, and nothing is proven where
        that sum is negative, or the rows are of another form.
        """
        program, N = self._program, x.shape[1]
        nothing = np.full(N, -np.inf)
        size = np.atleast_2d(np.abs(program.b)).max(axis=0)
        zero = (size == 0) & (np.diff(self._B.indptr) == 0)
        norms, lifted = self._norms, self._lifted
        if program.cones.exponential or len(self._above) or (norms.weight != 1.0).any() or not lifted.usual.all():
            return nothing
        if (lifted.weight != 0.5).any() or (lifted.second != 0.5).any():
            return nothing
        bound, sizes = q.copy(), np.abs(q)
        counts = np.zeros(len(q), dtype=np.int64)
        d, r = np.atleast_2d(program.d).T, np.atleast_1d(program.r)
        total = np.einsum("in,in->n", np.broadcast_to(d, x.shape), x) + r
        scale = np.einsum("in,in->n", np.broadcast_to(np.abs(d), x.shape), np.abs(x)) + np.abs(r)
        feasible, small = np.ones(N, dtype=bool), np.ones(N)
        for level in reversed(self._levels):
            floor = zero[level.rows] & (np.diff(level.others.indptr) == 0)
            rows, owner = level.rows[~floor], level.owner[~floor]
            if (level.weight != 1.0).any() or len(np.unique(owner)) < len(owner):
                return nothing
            if not np.isin(level.owner, level.owner[floor]).all():
                return nothing
            own = np.unique(level.owner)
            least = bound[own] - (relative_margin(int(counts.max()) + 1) * sizes[own] + TINY)
            held = (sizes[own] == np.abs(bound[own])) & (bound[own] >= 0)  # no negative term: zero is allowed
            feasible &= ((least >= 0) | held).all(axis=0)
            multiplier = np.where(active[owner], np.maximum(least[np.searchsorted(own, owner)], 0.0), 0.0)
            P = level.others[np.flatnonzero(~floor)]
            bound += P.T @ multiplier
            sizes += abs(P).T @ multiplier
            counts += np.diff(sparse.csc_array(P).indptr)
            total -= (multiplier * right[rows]).sum(axis=0)
            scale += (multiplier * (np.abs(b[rows]) + self._absolute_B[rows] @ np.abs(x))).sum(axis=0)
            small += multiplier.sum(axis=0)
        for columns in (norms.s, lifted.t):
            least = bound[columns] - (relative_margin(int(counts.max(initial=0)) + 1) * sizes[columns] + TINY)
            held = (sizes[columns] == np.abs(bound[columns])) & (bound[columns] >= 0)
            feasible &= ((least >= 0) | held).all(axis=0)
            term = (np.maximum(least, 0.0) * np.maximum(low[columns], 0.0)).sum(axis=0)
            total, scale = total + term, scale + term
        terms = 2 * (len(x) + len(q)) + program.A.shape[0] + 4
        lo = total - (relative_margin(terms) * scale + TINY * small)
        return np.where(feasible & np.isfinite(lo), lo, -np.inf)

    def _raise(self, level: _Level, right: Array, margin: Array, low: Array, high: Array) -> None:
        """Raise the variables of one level to what their rows ask for: v >= (P v - b - B x) / alpha."""
        N, rows, own = right.shape[1], level.rows, level.owner[level.starts]
        known = np.concatenate([high, low], axis=1)  # both ends at once
        known[~np.isfinite(known)] = 0.0
        images, sizes = level.others @ known, level.sizes @ np.abs(known)
        size = np.abs(right[rows])
        for ends, side, part in ((high, 1.0, slice(N)), (low, -1.0, slice(N, None))):
            off = margin[rows] + relative_margin(self._terms) * (sizes[:, part] + size) + TINY
            if level.tau is not None:
                p, tau = images[:, part] + right[rows] + side * off, level.tau[:, None]
                unit = rounded_up(p, tau, np) if side > 0 else rounded_down(p, tau, np)
                ends[own] = np.maximum(ends[own], unit)
                continue
            if level.summed:
                p = images[:, part] + right[rows] + side * off
                ends[own] = np.maximum(ends[own], log_sum_exps(p, level.starts, side))
                continue
            p = images[:, part] - right[rows] + side * off
            if not np.all(level.weight == 1.0):
                p = p / level.weight[:, None]
                p = p + side * (4 * EPS * np.abs(p) + TINY)
            ends[own] = np.maximum(ends[own], np.maximum.reduceat(p, level.starts, axis=0))

    def _upper_bounds(self, right: Array, margin: Array, low: Array, high: Array) -> tuple[BoolArray, BoolArray]:
        """Tell where the inequalities that bound nothing from below hold, and where they cannot."""
        rows = self._above
        N = right.shape[1]
        if not len(rows):
            return np.ones(N, dtype=bool), np.zeros(N, dtype=bool)
        P = sparse.csr_array(self._A[rows])
        size = abs(P)
        hold, fail = P @ high - right[rows], P @ low - right[rows]
        off = [
            relative_margin(self._terms) * (size @ np.abs(v) + np.abs(right[rows])) + margin[rows] + TINY
            for v in (high, low)
        ]
        return (hold + off[0] <= 0).all(axis=0), (fail - off[1] > 0).any(axis=0)

    def _top(self) -> IntArray:
        """Return the variables that can be raised without asking anything of another."""
        used = np.zeros(self._A.shape[1], dtype=bool)
        used[self._A.indices[self._A.data > 0]] = True
        used[self._lifted.t[self._lifted.weight < self._lifted.second]] = True
        return np.flatnonzero(~used)
