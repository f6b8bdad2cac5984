"""A.7: what the branches cost. A forward pass takes L (h^2 + h n) operations for the layers, and rows n per branch.

operations = h n L + h^2 (L - 1) + n (sum of the rows of all branches) + O(h + n)

counted from the matrix products that torch runs, a multiplication with its addition as one operation.
"""

from __future__ import annotations

import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.engine.tables import Row
from socicnn.nn import SOCICNN

HIDDEN, ROWS, N = (64, 64, 64), 16, 32
BATCH, REPEAT = 256, 20


def network(quadratics: int, norms: int) -> SOCICNN:
    """Return a network with this number of branches, 16 rows each."""
    draw = torch.Generator().manual_seed(0)
    return SOCICNN(N, HIDDEN, (ROWS,) * quadratics, (ROWS,) * norms, generator=draw)


def formula(quadratics: int, norms: int) -> int:
    """Return the operations of the formula, without those linear in h and n alone."""
    h, L = HIDDEN[0], len(HIDDEN)
    return h * N * L + h * h * (L - 1) + N * ROWS * (quadratics + norms)


@torch.no_grad()
def counted(quadratics: int, norms: int) -> float:
    """Return the operations per point of the matrix products that a forward pass runs."""
    model, x = network(quadratics, norms), torch.zeros(BATCH, N)
    with FlopCounterMode(display=False) as counter:
        model(x)
    return counter.get_total_flops() / 2 / BATCH


def measured(*, preset: str, study: str, way: str, n: int, number: int, repetition: int, version: int) -> list[Row]:
    """Return operations and time per point; `version` goes up when this changes."""
    quadratics, norms = (number, 0) if way == "quadratic" else (0, number)
    model, x = network(quadratics, norms), torch.zeros(BATCH, N)
    times = []
    with torch.no_grad():
        for _ in range(REPEAT):
            started = time.perf_counter()
            model(x)
            times.append(time.perf_counter() - started)
    row: Row = {"operations": counted(quadratics, norms), "formula": formula(quadratics, norms)}
    return [row | {"microseconds": 1e6 * statistics.median(times) / BATCH}]
