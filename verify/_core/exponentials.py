"""Which exponential cones of a program are those of a log-sum-exp, read off its arrays alone.

t >= tau log sum_j exp(p_j / tau) - tau log(c / tau) is the cones (p_j - t, tau, u_j) in Kexp with sum_j u_j <= c. With
p_j = P_j v + b_j + B_j x, P_j >= 0 over variables before t, raising a variable never helps: a monotone epigraph.
Part of the trusted core.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from socicnn._arrays import BoolArray, IntArray
from socicnn.conic._data import ValueData


class LogSumExps(NamedTuple):
    """What the arrays say: one entry per exponential cone."""

    good: BoolArray  # whether it is part of a log-sum-exp
    t: IntArray  # its variable t, -1 if there is none
    u: IntArray  # its variable u, alike
    sums: IntArray  # the row of sum u <= c, alike


def read(program: ValueData, A: sparse.csr_array, B: sparse.csr_array) -> LogSumExps:
    """Return the log-sum-exps; A and B have no duplicate entries and no stored zeros."""
    cones, b = program.cones, np.atleast_2d(program.b)
    tops = np.arange(A.shape[0] - 3 * cones.exponential, A.shape[0], 3)
    entries, inputs = np.diff(A.indptr), np.diff(B.indptr)
    good = (entries[tops + 1] == 0) & (inputs[tops + 1] == 0) & (b[:, tops + 1] > 0).all(axis=0)
    good &= (entries[tops + 2] == 1) & (inputs[tops + 2] == 0) & (b[:, tops + 2] == 0).all(axis=0)
    t, alone = _positive(A[tops])
    good &= alone
    before = A[tops]
    row = np.repeat(np.arange(len(tops)), entries[tops])
    good &= np.bincount(row[(before.data < 0) & (before.indices >= t[row])], minlength=len(tops)) == 0
    u = np.full(len(tops), -1)
    single = np.flatnonzero(entries[tops + 2] == 1)
    at = A.indptr[tops[single] + 2]
    u[single] = A.indices[at]
    good[single] &= A.data[at] == -1.0
    _, place, count = np.unique(u, return_inverse=True, return_counts=True)
    good &= (count[place] == 1) & (program.q.reshape(-1, A.shape[1])[:, u] == 0).all(axis=0)
    own = sparse.csr_array(sparse.csc_array(A)[:, u].T)  # where each u stands: in its cone, and in one sum
    sums, alone = _positive(own)
    good &= alone & (np.diff(own.indptr) == 2)
    good &= (sums >= cones.zero) & (sums < cones.zero + cones.nonnegative)
    for sum_row in np.unique(sums[good]):
        own_cones = sums == sum_row
        whole = int(np.count_nonzero(own_cones)) == entries[sum_row] and inputs[sum_row] == 0
        whole &= bool((b[:, sum_row] > 0).all()) and len(np.unique(t[own_cones])) == 1 and bool(good[own_cones].all())
        good[own_cones] &= whole
    return LogSumExps(good, t, u, np.where(good, sums, -1))


def _positive(rows: sparse.csr_array) -> tuple[IntArray, BoolArray]:
    """Return the column of the last positive entry of each row, and whether it is the only one and 1."""
    row, up = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.data > 0
    column = np.full(rows.shape[0], -1)
    column[row[up]] = rows.indices[up]
    ones = np.bincount(row[up & (rows.data == 1.0)], minlength=rows.shape[0])
    return column, (np.bincount(row[up], minlength=rows.shape[0]) == 1) & (ones == 1)
