"""Mutants that share their matrices, judged together: each is one context of a stack, repeated once a point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from benchmarks.mutation.mutants import VECTORS, Mutant
from socicnn.conic._program import ValueProgram
from socicnn.frozen import FrozenNet
from socicnn.frozen._network import BRANCHES

NUMBERS = 200_000  # that the witnesses of one batch hold at most


def batches(mutants: Iterable[Mutant], program: ValueProgram, net: FrozenNet, points: int) -> Iterator[list[Mutant]]:
    """Yield mutants in lists whose members share A and B, so that they can be stacked; most alone, and in any order.

    Args:
        mutants: mutants of the program, or of the network.
        program: the honest program.
        net: the honest network.
        points: at how many points each is to be tried.
    """
    most = max(1, NUMBERS // max(1, points * sum(program.A.shape)))  # a program may be empty
    waiting: dict[str, list[Mutant]] = {"program": [], "compiler": [], "witness": [], "cut": []}
    for mutant in mutants:
        if net.stacked or not _stackable(mutant, program):
            yield [mutant]
            continue
        batch = waiting[mutant.what]
        batch.append(mutant)
        if len(batch) >= most:
            yield batch
            waiting[mutant.what] = []
    yield from (batch for batch in waiting.values() if batch)


def _stackable(mutant: Mutant, program: ValueProgram) -> bool:
    if mutant.what != "program" or mutant.program is None:
        return mutant.vectors
    # the offsets of the lifts, and which rows are v >= 0, decide how sharp the brackets of a whole stack are; whether
    # exponential cones and the rows sum u <= tau are those of units or branches, whether it has any
    b, honest, heads = mutant.program.b, program.b, program.lifts.heads
    sums = [np.arange(block.start, block.stop) for block in program.rows if block.name.startswith("sum")]
    taus = np.arange(program.cones.exponential_start + 1, program.cones.rows, 3)
    offsets = np.concatenate([heads, heads + 1, taus, *sums])
    free = all(
        np.array_equal(mutant.program.q[block.start : block.stop], program.q[block.start : block.stop])
        for block in program.columns
        if block.kind == "exponential"
    )
    alike = free and np.array_equal(b[offsets], honest[offsets]) and np.array_equal(b == 0, honest == 0)
    return mutant.vectors and alike


def stacked_programs(programs: list[ValueProgram], points: int) -> ValueProgram:
    """Return programs that share A and B as one, each repeated once a point; one alone stays as it is."""
    if len(programs) == 1:
        return programs[0]
    vectors: dict[str, Any] = {
        name: np.repeat(np.stack([getattr(program, name) for program in programs]), points, axis=0) for name in "bqdr"
    }
    return replace(programs[0], **vectors)


def stacked_nets(nets: list[FrozenNet], points: int) -> FrozenNet:
    """Return networks that share their matrices as one, each repeated once a point; one alone stays as it is."""
    if len(nets) == 1:
        return nets[0]

    def part(*parts: Any) -> Any:
        names = [entry.name for entry in fields(parts[0]) if entry.name in VECTORS]
        rows = {name: np.concatenate([getattr(one, name) for one in parts]) for name in names}
        return replace(parts[0], **{name: np.repeat(vectors, points, axis=0) for name, vectors in rows.items()})

    groups: dict[str, Any] = {
        group: [part(*parts) for parts in zip(*(getattr(net, group) for net in nets), strict=True)]
        for group in ("layers", *BRANCHES)
    }
    return replace(nets[0], output=part(*(net.output for net in nets)), **groups)
