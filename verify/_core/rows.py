"""The rows of a program sorted into runs of one family, each with the names of its metrics.

Part of the trusted core. The names of the rows only name the metrics: every row past the equalities is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from socicnn.conic._data import ValueData

# names of the metrics of one family of rows: primal violation, dual violation, complementarity, slack
LINEAR = {
    "relu": ("relu_primal", "relu_dual_box", "relu_complementarity", ""),
    "other": ("inequality_primal", "inequality_dual", "inequality_complementarity", ""),
}
CONIC = {
    "quadratic": ("quadratic_epigraph", "quadratic_dual_cone", "quadratic_complementarity", "quadratic_slack"),
    "norm": ("norm_epigraph", "norm_dual_ball", "norm_dual_alignment", "norm_slack"),
    "other": ("cone_primal", "cone_dual", "cone_complementarity", "cone_slack"),
}
# a slack is no error: where its cost is zero an epigraph variable may lie above, and elsewhere the gap judges it
INFORMATIVE = frozenset({"quadratic_slack", "norm_slack", "cone_slack"})


class RowRun(NamedTuple):
    """Consecutive rows of one family: `cones` second-order cones of `size` rows, or linear rows (size 0)."""

    names: tuple[str, str, str, str]
    start: int
    stop: int
    cones: int
    size: int


def runs_of(program: ValueData) -> list[RowRun]:
    """Split the cone's rows into runs of one family and size; every row past the equalities is in exactly one run."""
    cones = program.cones
    m = program.A.shape[0]
    kinds = np.full(m, "other", dtype="U16")
    for block in program.rows:
        kinds[max(block.start, 0) : max(block.stop, 0)] = {"nonnegative": "relu"}.get(block.kind, block.kind)
    linear = np.arange(cones.zero, cones.zero + cones.nonnegative)
    sizes = np.asarray(cones.second_order, dtype=np.int64)
    heads = np.asarray(cones.heads, dtype=np.int64)
    runs = []
    for families, starts, lengths in (
        (LINEAR, linear, np.zeros(len(linear), dtype=np.int64)),
        (CONIC, heads, sizes),
    ):
        kind = np.where(np.isin(kinds[starts], list(families)), kinds[starts], "other")
        change = np.flatnonzero((kind[1:] != kind[:-1]) | (lengths[1:] != lengths[:-1])) + 1
        for group in np.split(np.arange(len(starts)), change):
            if len(group):
                first, size = int(starts[group[0]]), int(lengths[group[0]])
                stop = first + len(group) * max(size, 1)
                runs.append(RowRun(families[str(kind[group[0]])], first, stop, len(group), size))
    return runs
