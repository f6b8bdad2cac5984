"""What the ways of `auto` cost: a model with committed numbers, held to a measured table by a test.

The exact programs take their time one by one and grow with their entries. The batched method takes as many iterations
for one context as for many, more where units and norms bend the way. `python -m benchmarks.cost_table` measures both.
"""

from __future__ import annotations

from typing import NamedTuple

from decision._minimise.interior import is_small
from decision._minimise.stack_surrogate import StackSurrogate
from decision._minimise.surrogate import Surrogate

ENTRIES = 2**20  # of the dense Jacobians of a sparse network, from which products alone are faster than a Newton step


class BatchSize(NamedTuple):
    """What the times depend on.

    Args:
        contexts: number of contexts.
        entries: of the network's matrices; of sparse ones those that are stored.
        units: hidden units.
        norms: groups of norms.
        small: 1 if every layer is narrow, so that nothing is scouted for.
    """

    contexts: int
    entries: int
    units: int
    norms: int
    small: int

    @classmethod
    def of(cls, networks: StackSurrogate) -> BatchSize:
        """Return the size of a batch of networks."""
        net = networks.net
        matrices = [matrix for layer in net.layers for matrix in (layer.W, layer.U)]
        matrices += [branch.A for branch in net.quadratics] + [branch.C for branch in net.norms]
        units = sum(layer.b.shape[-1] for layer in net.layers)
        norms = sum(branch.groups for branch in net.norms)
        entries = int(sum(matrix.size for matrix in matrices))
        return cls(len(networks), entries, int(units), int(norms), int(is_small(networks.stack)))


def exact_ms(size: BatchSize, *, warm: bool) -> float:
    """Return the milliseconds of the exact programs on one core.

    Args:
        size: the size of the batch.
        warm: whether each solve begins with the basis of the one before, which divides its time by five.
    """
    solve = size.entries / 500
    return 18.0 + 0.4 * size.contexts + solve * (1.0 + (size.contexts - 1) / 5 if warm else size.contexts)


def batched_ms(size: BatchSize, *, loose: bool) -> float:
    """Return the milliseconds of the batched method on one core.

    Args:
        size: the size of the batch.
        loose: whether the accuracy is one that the scouting of wide networks reaches, or nearly; norms then cost
            nothing, as hardly a Newton step is left.
    """
    norms = 0 if loose and not size.small else size.norms
    each = 0.4 + size.entries / 8000
    return 32.0 + 0.05 * min(size.units, 200) + each * size.contexts + 0.2 * norms


def is_large(surrogate: Surrogate) -> bool:
    """Return whether a surrogate is a sparse network, as of images, whose Jacobians would fill memory."""
    if not isinstance(surrogate, StackSurrogate):
        return False
    matrices = [matrix for matrix, *_ in surrogate.stack.rows()]
    return any(M.is_sparse for M in matrices) and sum(M.shape[0] * M.shape[1] for M in matrices) >= ENTRIES
