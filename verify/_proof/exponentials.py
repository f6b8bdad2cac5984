"""Terms of exponentials in real arithmetic, from float64 operations, in NumPy or in torch.

The assumption about exp, log and log1p is that of `verify._proof.softplus`. A log-sum-exp of k rows is

    log sum_j exp(a_j) = m + log sum_j exp(a_j - m),   m = max a,   1 <= sum <= k

and for probabilities p, sum p = 1, it is above its affine minorant sum_j p_j a_j - sum_j p_j log p_j. Of floating-point
numbers p the largest is replaced by 1 less the others, in real arithmetic: what that changes is counted as rounding.
log(1 + exp(a)) with weight omega is a softplus unit with multiplier omega.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from socicnn._margins import EPS, TINY
from socicnn.frozen._exponentials import ExpTerm
from verify._proof.images import Image, Linear, Values, image
from verify._proof.softplus import entropy_below, rounded_down, rounded_up, slope


def log_sum_exp_margin(m: Values, bend: Values, k: int) -> Values:
    """Return how far m + bend, bend = log sum_j exp(a_j - m), is from the log-sum-exp of k numbers, m the largest.

    exp(d) with d = a_j - m <= 0 is off by (|d| + 16) EPS relative, at most 17 EPS absolute as |d| exp(d) < 1; the sum,
    at least 1, by k EPS more of its size, and log passes that on; log itself is off by 16 EPS, m + log by EPS.
    """
    return (20 * k + 40) * EPS + 24 * EPS * bend + 4 * EPS * abs(m) + TINY


@dataclass(frozen=True, eq=False)
class ExpColumns:
    """A log-sum-exp or logistic branch as columns; the names are those of `TermColumns`."""

    weight: Values  # of the groups, `(1 or groups, N or 1)`
    matrix: Linear
    absolute: Linear
    offset: Values
    rows: int  # of each group
    logistic: bool
    xp: Any

    @classmethod
    def of(cls, term: ExpTerm) -> ExpColumns:
        """Return a term of a frozen network in NumPy."""
        own = term.matrix, abs(term.matrix), term.offset.T
        return cls(term.prices.T, *own, term.rows, term.KIND == "logistic", np)

    def image(self, x: Values, size: Values) -> Image:
        """Return M x + o at columns x, |x| = size, with what rounding can have changed in it."""
        return image(self.matrix, self.absolute, self.offset, x, size)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.offset) // self.rows

    def high(self, image: Image) -> Values:
        """Return the value of each group rounded up, shape `(groups, N)`."""
        a = image.y + image.margin  # rounded by at most what `relative_margin` has to spare
        return rounded_up(a, 1.0, self.xp) if self.logistic else self._log_sum_exp(a, 1.0)

    def low(self, image: Image) -> Values:
        """Return the value of each group rounded down, shape `(groups, N)`."""
        a = image.y - image.margin
        return rounded_down(a, 1.0, self.xp) if self.logistic else self._log_sum_exp(a, -1.0)

    def _grouped(self, values: Values) -> Values:
        """Return values of the rows by groups, shape `(groups, rows, N)`."""
        return values.reshape(self.groups, self.rows, values.shape[-1])

    def _log_sum_exp(self, a: Values, side: float) -> Values:
        """Return m + log sum exp(a - m), moved to one side by its rounding."""
        a = self._grouped(a)
        m = a.max(1) if self.xp is np else a.amax(1)
        bend = self.xp.log(self.xp.exp(a - m[:, None]).sum(1))
        return m + bend + side * log_sum_exp_margin(m, bend, self.rows)

    def shares(self, a: Values) -> Values:
        """Return p at pre-activations a, the best guess there: the softmax, or the slope of log(1 + exp(a))."""
        if self.logistic:
            return slope(a, 1.0, self.xp)
        a = self._grouped(a)
        m = a.max(1) if self.xp is np else a.amax(1)
        e = self.xp.exp(a - m[:, None])
        return (e / e.sum(1)[:, None]).reshape(-1, a.shape[-1])

    def tangent(self, guess: Values) -> tuple[Values, Values, Values]:
        """Return multipliers of the rows, sizes for their rounding, and constants of the groups, of a guess of p.

        sum_j y_j a_j + sum_i constant_i is below the term for every x in real arithmetic, but for the rounding of y,
        which is counted in their sizes.
        """
        if self.logistic:
            box = self.weight + 0.0 * guess
            y = self.xp.minimum(self.xp.clip(guess, 0.0, 1.0) * self.weight, box)
            return y, y + TINY, box * entropy_below(y, box, self.xp)
        xp, p = self.xp, self._grouped(self.xp.clip(guess, 0.0, None))
        p = p / p.sum(1)[:, None]
        largest = p >= (p.max(1) if xp is np else p.amax(1))[:, None]
        largest = largest & (largest.cumsum(1) == 1)  # the first of them
        others = xp.where(largest, xp.zeros_like(p), p)
        p = xp.where(largest, 1.0 - others.sum(1)[:, None], others)
        logs = xp.log(xp.where(p > 0, p, xp.ones_like(p)))
        entropy = -(p * logs).sum(1)
        # at the largest, p >= 1 / k, which is off by k EPS: p log p moves by (1 + log k) k EPS
        k = self.rows
        entropy = entropy * (1 - (2 * k + 64) * EPS) - 4 * k * (2.0 + float(np.log(k))) * EPS - TINY
        weight = self.weight[:, None] + 0.0 * p
        y, shape = weight * p, (-1, p.shape[-1])
        size = y + xp.where(largest, weight, xp.zeros_like(weight)) + TINY
        return y.reshape(shape), size.reshape(shape), self.weight * xp.clip(entropy, 0.0, None)
