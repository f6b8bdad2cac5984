"""The exponential cones of a program: softplus units and log-sum-exps, read off its arrays, and their values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn.conic._data import ValueData
from verify._core.exponentials import read
from verify._proof.exponentials import log_sum_exp_margin


class Bends(NamedTuple):
    """What the cones (p - t, tau, u) in Kexp with sum u <= tau say.

    A softplus unit is a pair of cones, one of which holds t alone: it is told by the head of the other, and tau. Every
    other log-sum-exp must have tau = 1, and is told by the heads of all its cones, and -1.
    """

    known: bool  # whether all cones are of these two kinds
    heads: IntArray
    kind: Array  # tau of each head, or -1
    sums: IntArray  # the rows sum u <= tau
    u: IntArray  # the variables u


def bends(program: ValueData, A: sparse.csr_array, B: sparse.csr_array) -> Bends:
    """Return the exponential cones; A and B are those of the program, without duplicate entries."""
    none, count = np.zeros(0, dtype=np.int64), program.cones.exponential
    if not count:
        return Bends(True, none, np.zeros(0), none, none)
    (good, _, u, sums), b = read(program, A, B), np.atleast_2d(program.b)
    tops = np.arange(A.shape[0] - 3 * count, A.shape[0], 3)
    zero = (np.diff(A.indptr)[tops] == 1) & (np.diff(B.indptr)[tops] == 0) & (b[:, tops] == 0).all(0)
    tau = b[0, tops + 1]
    _, place, cones = np.unique(sums, return_inverse=True, return_counts=True)
    pair = (cones[place] == 2) & (np.bincount(place, zero)[place] == 1)
    known = bool(good.all() and (b[:, tops + 1] == tau).all() and (b[:, sums] == tau).all())
    if not known or not (pair | (tau == 1.0)).all():
        return Bends(False, none, np.zeros(0), none, u)
    heads = pair & ~zero
    kind = np.concatenate([tau[heads], np.full(np.count_nonzero(~pair), -1.0)])
    return Bends(True, np.concatenate([tops[heads], tops[~pair]]), kind, np.unique(sums), u)


def log_sum_exps(p: Array, starts: IntArray, side: float) -> Array:
    """Return log sum exp over runs of rows of p, which begin at `starts`, moved to one side by its rounding."""
    counts = np.diff([*starts, len(p)])
    m = np.maximum.reduceat(p, starts, axis=0)
    bend = np.log(np.add.reduceat(np.exp(p - np.repeat(m, counts, axis=0)), starts, axis=0))
    end: Array = m + bend + side * log_sum_exp_margin(m, bend, int(counts.max()))
    return end
