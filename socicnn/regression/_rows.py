"""The rows of a table, so that weights and repeated rows mean the same: no zero weights, equal rows merged, sorted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, final

import numpy as np
import torch

from socicnn._arrays import Array, BoolArray, as_float64
from socicnn.regression._columns import Columns
from socicnn.training import Data


@final
@dataclass(frozen=True, eq=False)
class TableRows:
    """Distinct rows in sorted order.

    Args:
        table: shape `(rows, columns)`.
        y: shape `(rows,)`.
        weight: > 0, shape `(rows,)`; the sum of the weights of equal rows.
        gradient: labels, shape `(rows, x columns)`, or None.
    """

    table: Array
    y: Array
    weight: Array
    gradient: Array | None

    @classmethod
    def of(cls, table: Array, y: Array, weight: Array, gradient: Array | None = None) -> Self:
        """Return the rows with a weight: equal ones merged, so that a row of weight 2 is a row that occurs twice."""
        kept = weight > 0
        parts = [table[kept], y[kept, None], *([] if gradient is None else [gradient[kept]])]
        whole, owner = np.unique(np.concatenate(parts, axis=1), axis=0, return_inverse=True)
        sums = np.bincount(owner.reshape(-1), weights=weight[kept])
        width = table.shape[1]
        return cls(
            whole[:, :width], whole[:, width], as_float64(sums), None if gradient is None else whole[:, width + 1 :]
        )

    def __len__(self) -> int:
        return len(self.y)

    def split(self, share: float, seed: int, part: int = 0) -> tuple[TableRows, TableRows | None]:
        """Return the rows to train on, and those held out; none are held out of fewer than 20 rows.

        Rows of equal inputs stay together: a repeated measurement tells about its twin.

        Args:
            share: share of the points to hold out.
            seed: of the choice.
            part: which part; parts have no row in common, until all rows have been held out once.
        """
        _, owner = np.unique(self.table, axis=0, return_inverse=True)
        owner = owner.reshape(-1)
        points = int(owner.max()) + 1
        held = round(share * points) if points >= LEAST else 0
        if not held:
            return self, None
        chosen = np.random.default_rng(seed).permutation(points)
        first = part % (points // held) * held
        out = np.isin(owner, chosen[first : first + held])
        return self._take(~out), self._take(out)

    def samples(self, columns: Columns) -> Data:
        """Return the rows as training data, with the names of the columns; equal weights are left out."""
        x, context = columns.split(self.table)
        named = columns.names is not None
        return Data(
            torch.from_numpy(x.copy()),
            None if context is None else torch.from_numpy(context.copy()),
            torch.from_numpy(self.y.copy()),
            None if self.gradient is None else torch.from_numpy(self.gradient.copy()),
            None if (self.weight == self.weight[0]).all() else torch.from_numpy(self.weight.copy()),
            tuple(columns.x_names) if named else None,
            tuple(columns.context_names) if named and context is not None else None,
        )

    def _take(self, rows: BoolArray) -> TableRows:
        gradient = None if self.gradient is None else self.gradient[rows]
        return TableRows(self.table[rows], self.y[rows], self.weight[rows], gradient)


LEAST = 20  # rows, below which none are held out
