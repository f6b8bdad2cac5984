"""Mutants: programs, witnesses and compilers that are wrong in one place or in two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.mutation.scales import at_scales
from socicnn._arrays import Array
from socicnn._compile import Compiled, Witness
from socicnn.conic._program import ValueProgram
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.frozen._network import BRANCHES
from socicnn.frozen._parts import Squares

# what of a network may differ between contexts
VECTORS = frozenset({"b", "w", "v", "c", "beta", "e", "gamma", "d", "alpha", "o", "omega", "s"})


@dataclass(frozen=True, eq=False)
class Mutant:
    """Something changed.

    Args:
        what: `program`, `witness`, `compiler`, or, found by a search, `cut` or `disguise`.
        kind: how it was changed, for instance `sign`.
        array: what was changed, for instance `A`.
        place: where, in words.
        program: the program to check; what is compiled from `net` if omitted.
        witness: the witness to check it with; the honest one if omitted.
        net: the network whose program it is, where that is another one than the honest; else None.
        vectors: whether A and B, or the matrices of the network, are the honest ones.
    """

    what: str
    kind: str
    array: str
    place: str
    program: ValueProgram | None
    witness: Witness | None = None
    net: FrozenNet | None = None
    vectors: bool = False


def program_mutants(
    compiled: Compiled, rng: np.random.Generator, entries: int = 2, vector_entries: int | None = None
) -> Iterator[Mutant]:
    """Yield mutants of the exported arrays, block by block.

    Args:
        compiled: a network and its program.
        rng: chooses the entries.
        entries: how many single entries of each block are nudged, and how many signs turned.
        vector_entries: the same for blocks of b, q, d and r, whose mutants are judged together; defaults to `entries`.
    """
    program, matrix_entries = compiled.program, entries
    for name in ("A", "B", "b", "q", "d", "r"):
        array = getattr(program, name)
        entries = matrix_entries if name in ("A", "B") or vector_entries is None else vector_entries
        rounded: Any = array.astype(np.float32).astype(np.float64)
        if (rounded != array).sum():
            yield _of_program("float32 rounding", name, name, replace(program, **{name: rounded}))
        for label, where in _blocks(program, name):
            flat = _flat(array)
            for at in rng.choice(where, size=min(entries, len(where)), replace=False):
                nudge = 1e-3 * (1 + abs(flat[at])) * rng.choice([-1, 1])
                for kind, value in (("entry", flat[at] + nudge), ("sign", -flat[at])):
                    if value != flat[at]:
                        yield _of_program(kind, name, f"{name} {label}", _with(program, name, at, value))
            if name == "b" and np.any(flat[where]) and not label.startswith(("quadratic", "norm")):
                yield _of_program("dropped bias", name, f"b {label}", _with(program, name, where, 0.0))
        yield from _swapped(program, name, rng)
    yield from _radii(program)
    yield from _transposed(program)


def _of_program(kind: str, name: str, place: str, changed: ValueProgram) -> Mutant:
    return Mutant("program", kind, name, place, changed, vectors=name in ("b", "q", "d", "r"))


def _flat(array: Any) -> Array:
    return np.asarray(array.data if sparse.issparse(array) else array).reshape(-1)


def _with(program: ValueProgram, name: str, at: Any, value: Any) -> ValueProgram:
    """Return the program with some stored entries of an array replaced."""
    array = getattr(program, name).copy()
    if sparse.issparse(array):
        array.data[at] = value
    else:
        array = np.array(array)
        array.reshape(-1)[at] = value
    return replace(program, **{name: array})


def _blocks(program: ValueProgram, name: str) -> Iterator[tuple[str, Any]]:
    """Yield each named block of an array, with the positions of its stored entries; of every context alike."""
    array = getattr(program, name)
    if name in ("d", "r"):
        yield name, np.arange(array.size)
        return
    blocks = program.columns if name == "q" else program.rows
    if name in ("A", "B"):
        row = sparse.coo_array(array).row
    else:
        row = np.broadcast_to(np.arange(array.shape[-1]), array.shape).reshape(-1)
    for block in blocks:
        where = np.flatnonzero((row >= block.start) & (row < block.stop))
        if len(where):
            yield block.name, where


def _swapped(program: ValueProgram, name: str, rng: np.random.Generator) -> Iterator[Mutant]:
    """Swap two rows of one block in one array, and two columns of B."""
    array = getattr(program, name)
    if name in ("A", "B", "b", "q"):
        for block in program.columns if name == "q" else program.rows:
            if block.stop - block.start > 1:
                i, j = rng.choice(np.arange(block.start, block.stop), size=2, replace=False)
                swapped = _permuted(program, name, i, j, 0)
                if _different(getattr(swapped, name), array):
                    yield _of_program("row swap", name, f"{name} {block.name}", swapped)
    if name in ("B", "d") and array.shape[-1] > 1:
        i, j = rng.choice(array.shape[-1], size=2, replace=False)
        yield _of_program("swapped x", name, f"{name} {i}, {j}", _permuted(program, name, i, j, 1))


def _different(first: Any, second: Any) -> bool:
    return bool((first != second).sum())


def _permuted(program: ValueProgram, name: str, i: int, j: int, axis: int) -> ValueProgram:
    array = getattr(program, name)
    if not sparse.issparse(array):
        swapped: Any = np.array(array)
        swapped[..., [i, j]] = swapped[..., [j, i]]
        return replace(program, **{name: swapped})
    order = np.arange(array.shape[axis])
    order[[i, j]] = order[[j, i]]
    moved: Any = type(array)(array[order] if axis == 0 else array[:, order])
    return replace(program, **{name: moved})


def _radii(program: ValueProgram) -> Iterator[Mutant]:
    """Scale the head of each kind of cone by 1.01: a cone of another radius."""
    row = sparse.coo_array(program.A).row
    for block in program.rows:
        if block.kind in ("quadratic", "norm"):
            where = np.flatnonzero(row == block.start)
            wider = _with(program, "A", where, 1.01 * program.A.data[where])
            yield _of_program("radius 1.01", "A", f"A {block.name}", wider)


def _transposed(program: ValueProgram) -> Iterator[Mutant]:
    """Transpose each square block of A between two layers, and of B."""
    A, B = sparse.lil_array(program.A), sparse.lil_array(program.B)
    for block in program.rows:
        rows = slice(block.start, block.stop)
        size = block.stop - block.start
        for column in program.columns:
            part = A[rows, column.start : column.stop]
            if column.stop - column.start == size > 1 and (part != part.T).nnz:
                other = A.copy()
                other[rows, column.start : column.stop] = part.T
                mutant = replace(program, A=type(program.A)(other))
                yield _of_program("transposed", "A", f"A {block.name} {column.name}", mutant)
        skip = {"quadratic": 2, "norm": 1}.get(block.kind, 0)
        part = B[block.start + skip : block.stop]
        if size - skip == B.shape[1] > 1 and (part != part.T).nnz:
            other = B.copy()
            other[block.start + skip : block.stop] = part.T
            yield _of_program("transposed", "B", f"B {block.name}", replace(program, B=type(program.B)(other)))


def witness_mutants(compiled: Compiled, x: Array, rng: np.random.Generator, entries: int = 2) -> Iterator[Mutant]:
    """Yield mutants of each part of the witness: nudged, turned, not a number, and the scales doubled."""
    program, honest = compiled.program, compiled.witness(x)
    for name, blocks in (("v", program.columns), ("y", program.rows)):
        array = getattr(honest, name)
        for block in blocks:
            span = np.arange(block.start, block.stop)
            for at in rng.choice(span, size=min(entries, len(span)), replace=False):
                nudge = 1e-3 * (1 + np.abs(array[:, at])) * rng.choice([-1, 1])
                for kind, value in (("entry", array[:, at] + nudge), ("sign", -array[:, at]), ("nan", np.nan)):
                    changed = array.copy()
                    changed[:, at] = value
                    place = f"{name} {block.name}[{at - block.start}]"
                    changed_witness = replace(honest, **{name: changed})
                    yield Mutant("witness", kind, name, place, program, changed_witness, vectors=True)
    if honest.k.shape[1]:
        yield Mutant("witness", "doubled", "k", "k", program, replace(honest, k=2 * honest.k), vectors=True)


def scale_mutants(compiled: Compiled, x: Array, rng: np.random.Generator) -> Iterator[Mutant]:
    """Yield consistent witnesses at scales k times 10^j, alone and beside programs whose value is off.

    Alone they prove what they say, up to the rounding of terms of size k^2; what they must not do is raise the
    tolerance of a value.
    """
    program, honest = compiled.program, compiled.witness(x)
    if not honest.k.shape[1] or compiled.net.stacked:
        return
    for power in (-10, -4, -1, 1, 2, 4, 6, 8, 10, 20):
        moved = at_scales(program, honest, 10.0**power * honest.k)
        yield Mutant("witness", "scale 10^j", "k", f"10^{power}", program, moved, vectors=True)
        off = 10.0 ** rng.uniform(-9, 6)
        wrong = _with(program, "r", 0, float(program.r) + off)
        yield Mutant("program", "off, scale 10^j", "r", f"r, 10^{power}", wrong, moved, vectors=True)


def compiler_mutants(net: FrozenNet, others: Iterable[tuple[str, str, FrozenNet]] = ()) -> Iterator[Mutant]:
    """Yield wrong compilers: each builds the consistent program and witness of another network.

    Args:
        net: the network.
        others: further networks that a wrong compiler might have built: kind, array, network.
    """
    for place, name, kind, other in _wrong_nets(net):
        try:
            checked = other()
        except ModelError:  # refused before it is a program
            continue
        yield Mutant("compiler", kind, name, place, None, net=checked, vectors=name in VECTORS)
    for kind, name, other in others:
        yield Mutant("compiler", kind, name, name, None, net=other)


def double_mutants(net: FrozenNet, rng: np.random.Generator, count: int) -> Iterator[Mutant]:
    """Yield compilers that are wrong in two places, chosen at random among those that are wrong in one."""
    first = list(_wrong_nets(net))
    for number in rng.choice(len(first), size=min(count, len(first)), replace=False) if first else ():
        place, name, _, build = first[number]
        try:
            one = build()
            second = list(_wrong_nets(one))
            other, also, _, build = second[rng.integers(len(second))]
            both = build()
        except ModelError:  # refused before it is a program
            continue
        vectors = name in VECTORS and also in VECTORS
        yield Mutant("compiler", "two places", "two", f"{place}; {other}", None, net=both, vectors=vectors)


def _wrong_nets(net: FrozenNet) -> Iterator[tuple[str, str, str, Any]]:
    for group in ("layers", *BRANCHES):
        parts = getattr(net, group)
        for index, part in enumerate(parts):
            for entry in fields(part):
                value = getattr(part, entry.name)
                if entry.name == "group":
                    continue
                if isinstance(value, Squares):
                    yield from _wrong_inner(net, index, entry.name, value)
                    continue

                def build(changed: Any, index: int = index, name: str = entry.name, group: str = group) -> Any:
                    others: Any = list(getattr(net, group))
                    others[index] = replace(others[index], **{name: changed})
                    return lambda: replace(net, **{group: others})

                for kind, changed in _changes(value):
                    yield f"{entry.name} of {group}[{index}]", entry.name, kind, build(changed)
    for entry in fields(net.output):
        for kind, changed in _changes(getattr(net.output, entry.name)):
            output = replace(net.output, **{entry.name: changed})
            yield f"{entry.name} of output", entry.name, kind, lambda output=output: replace(net, output=output)


def _wrong_inner(net: FrozenNet, index: int, inside: str, term: Squares) -> Iterator[tuple[str, str, str, Any]]:
    for entry in fields(term):
        for kind, changed in _changes(getattr(term, entry.name)):

            def build(changed: Any = changed, name: str = entry.name) -> FrozenNet:
                layers = list(net.layers)
                layers[index] = replace(layers[index], **{inside: replace(term, **{name: changed})})
                return replace(net, layers=layers)

            yield f"{entry.name} of the {inside} of layers[{index}]", entry.name, kind, build


def _changes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a wrong compiler might make of an array."""
    flat = _flat(value)
    if not np.any(flat):
        return
    yield "dropped", 0 * value
    yield "sign", -value
    yield "scaled 1.01", 1.01 * value
    yield "float32 rounding", value.astype(np.float32).astype(np.float64)
    one = isinstance(value, np.ndarray) and value.ndim == 2 and len(value) == 1  # a vector that contexts share
    if value.ndim and value.shape[int(one)] > 1:
        yield "rows turned round", value[:, ::-1].copy() if one else value[::-1].copy()
    if value.ndim == 2 and value.shape[0] == value.shape[1] and (value != value.T).sum():
        yield "transposed", value.T.copy()
