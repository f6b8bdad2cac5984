"""Conic programs in the Conic Benchmark Format, version 3, written and read.

min c'v + offset  s.t.  b - A v in K. Quadratics are written as rotated cones QR, so that they are seen as such. The
entries (x, y, s) of an exponential cone are (s, y, x) in the format's EXP: s >= y exp(x / y).

Source: Friberg, CBF 2014: a benchmark library for conic mixed-integer and continuous optimization (Mathematical
Programming Computation 2016), and the format's reference for version 3.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn._files import FileError, replacing
from socicnn.conic._blocks import Block
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram, ValueProgram

SPARE = 10**6  # rows or columns that a file may have beyond one for each of its characters


def write(program: ValueProgram | ConicProgram, path: str | os.PathLike[str]) -> None:
    """Write a program in CBF; numbers are written so that they are read back without loss.

    The names of its blocks stand in comments.

    Args:
        program: an instance, or a value program, whose x then is among the variables, free.
        path: file to write.

    Raises:
        FileError: the file cannot be written.
    """
    instance = program.free() if isinstance(program, ValueProgram) else program
    with replacing(path) as draft, draft.open("w", encoding="ascii", newline="\n") as stream:
        stream.writelines(f"{line}\n" for line in _lines(instance))


def _lines(program: ConicProgram) -> Iterator[str]:
    m, variables = program.A.shape
    heads = _quadratic_heads(program)
    order = _mirrored(program.cones)
    turn = _turned(m, heads)
    A = sparse.coo_array(sparse.csr_array(turn @ program.A)[order])
    b = (turn @ program.b)[order]
    yield "# written by socicnn: min c'v + offset s.t. b - A v in K"
    for kind, blocks in (("columns", program.columns), ("rows", program.rows)):
        yield from (f"# {kind} {b.name} {b.kind} {b.start} {b.stop}" for b in blocks if _is_word(b.name))
    yield from ("VER", "3", "", "OBJSENSE", "MIN", "")
    yield from ("VAR", f"{variables} {1 if variables else 0}", *([f"F {variables}"] if variables else []), "")
    sizes = zip(program.cones.heads.tolist(), program.cones.second_order, strict=True)
    rotated = set(heads.tolist())
    domains = [("L=", program.cones.zero)] if program.cones.zero else []
    domains += [("L+", program.cones.nonnegative)] if program.cones.nonnegative else []
    domains += [("QR" if head in rotated else "Q", size) for head, size in sizes]
    domains += [("EXP", 3)] * program.cones.exponential
    yield from ("CON", f"{m} {len(domains)}", *(f"{name} {size}" for name, size in domains), "")
    columns = np.flatnonzero(program.c)
    yield from _entries("OBJACOORD", columns.tolist(), program.c[columns].tolist())
    if program.offset:
        yield from ("OBJBCOORD", repr(float(program.offset)), "")
    kept = A.data != 0
    places = (f"{i} {j}" for i, j in zip(A.row[kept].tolist(), A.col[kept].tolist(), strict=True))
    yield from _entries("ACOORD", list(places), (-A.data[kept]).tolist())
    rows = np.flatnonzero(b)
    yield from _entries("BCOORD", rows.tolist(), b[rows].tolist())


def _is_word(name: str) -> bool:
    """Return whether a name can stand in a comment; a file that lacks one is read without names."""
    return name.isascii() and len(name.split()) == 1


def _entries(keyword: str, places: list[Any], values: list[float]) -> Iterator[str]:
    if values:
        yield from (keyword, str(len(values)))
        yield from (f"{place} {value!r}" for place, value in zip(places, values, strict=True))
        yield ""


def _quadratic_heads(program: ConicProgram) -> IntArray:
    """Return the heads of the cones that belong to quadratics, ((t + k)/2, (t - k)/2, p)."""
    own = np.zeros(program.cones.rows, dtype=bool)
    for block in program.rows:
        own[block.start : block.stop] = block.kind == "quadratic"
    sizes = np.asarray(program.cones.second_order, dtype=np.int64)
    return program.cones.heads[own[program.cones.heads] & (sizes >= 2)]


def _turned(m: int, heads: IntArray, back: bool = False) -> sparse.csr_array:
    """Return the matrix that takes (s_0, s_1, p) in Q to (s_0 + s_1, (s_0 - s_1)/2, p) in QR, or back.

    2 (s_0 + s_1) (s_0 - s_1)/2 = s_0^2 - s_1^2. For s_0 = (t + k)/2 and s_1 = (t - k)/2 it gives (t, k/2, p), exactly.
    """
    first, second = heads, heads + 1
    diagonal = np.ones(m)  # back: s_0 = x_0 / 2 + x_1, s_1 = x_0 / 2 - x_1
    diagonal[first], diagonal[second] = (0.5, -1.0) if back else (1.0, -0.5)
    values = np.concatenate([diagonal, np.ones(len(heads)), np.full(len(heads), 0.5)])
    rows, columns = np.concatenate([np.arange(m), first, second]), np.concatenate([np.arange(m), second, first])
    return sparse.csr_array((values, (rows, columns)), shape=(m, m))


def _mirrored(cones: Cones) -> IntArray:
    """Return the rows with the entries of each exponential cone in reversed order."""
    order = np.arange(cones.rows)
    order[cones.exponential_start :] = order[cones.exponential_start :].reshape(-1, 3)[:, ::-1].reshape(-1)
    return order


def read_cbf(path: str | os.PathLike[str]) -> ConicProgram:
    """Read a CBF file (versions 1 to 4) with the domains F, L+, L-, L=, Q, QR and EXP, of variables too.

    Raises:
        FileError: the file is missing or broken, or has integers, matrices or cones of other kinds.
    """
    file = sections(path)
    if len(file.integers):
        raise FileError(
            f"{path} has {len(file.integers)} integers, which a conic program has not; "
            "socicnn.conic.export.read_problem reads it as a CVXPY problem"
        )
    return file.program


@dataclass(frozen=True)
class Sections:
    """What a file says.

    Args:
        program: to be minimised.
        integers: which variables are whole numbers, shape `(integers,)`.
        maximise: whether the file maximises the negative of the program's cost.
    """

    program: ConicProgram
    integers: IntArray
    maximise: bool


def sections(path: str | os.PathLike[str]) -> Sections:
    """Read a CBF file; one whose name ends in `.gz` is unpacked.

    Raises:
        FileError: as `read_cbf`; integers are read.
    """
    try:
        opened = gzip.open if Path(path).suffix == ".gz" else open
        with opened(path, "rt", encoding="ascii") as stream:
            text = stream.read()
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise FileError(f"{path} cannot be read as CBF: {error}") from error
    try:
        reader = _Reader(text)
        return Sections(reader.program(), reader.integers, reader.sign < 0)
    except (ValueError, IndexError, StopIteration, OverflowError) as error:
        raise FileError(
            f"{path} is not a CBF file that this package reads: {str(error) or 'it ends too soon'}"
        ) from error


class _Reader:
    """The sections of a file, as they come."""

    def __init__(self, text: str) -> None:
        self._largest = len(text) + SPARE
        self._blocks: dict[str, list[Block]] = {"columns": [], "rows": []}
        self.sign = 1.0
        self._domains: dict[str, list[tuple[str, int]]] = {"VAR": [], "CON": []}
        self._sizes = {"VAR": 0, "CON": 0}
        self._data: dict[str, tuple[IntArray, Array]] = {}
        self._offset = 0.0
        lines = iter(list(self._content(text)))
        keywords = []
        for keyword in lines:
            self._section(keyword, lines)
            keywords.append(keyword)
        self.integers: IntArray = np.unique(self._data.get("INT", _NOTHING)[0][:, 0])
        if len(self.integers) and self.integers[-1] >= self._sizes["VAR"]:
            raise ValueError(f"INT names variable {self.integers[-1]} of {self._sizes['VAR']}")
        missing = [keyword for keyword in ("VER", "OBJSENSE", "VAR") if keyword not in keywords]
        if missing:
            raise ValueError(f"it has no section {missing[0]}")

    def _content(self, text: str) -> Iterator[str]:
        for line in text.replace("\t", " ").splitlines():
            if line.startswith("#"):
                self._comment(line[1:].split())
            elif line.strip():
                yield line.strip()

    def _comment(self, words: list[str]) -> None:
        if len(words) == 5 and words[0] in self._blocks and words[3].isdigit() and words[4].isdigit():
            self._blocks[words[0]].append(Block(words[1], words[2], int(words[3]), int(words[4])))

    def _section(self, keyword: str, lines: Iterator[str]) -> None:
        if keyword == "VER":
            version = int(next(lines))
            if not 1 <= version <= 4:
                raise ValueError(f"its version is {version}, this package reads 1 to 4")
        elif keyword == "OBJSENSE":
            self.sign = {"MIN": 1.0, "MAX": -1.0}[_known(next(lines), ("MIN", "MAX"))]
        elif keyword in ("VAR", "CON"):
            self._sizes[keyword], count = (int(word) for word in next(lines).split())
            for _ in range(count):
                name, size = next(lines).split()
                self._domains[keyword].append((_known(name, ("F", "L+", "L-", "L=", "Q", "QR", "EXP")), int(size)))
            if sum(size for _, size in self._domains[keyword]) != self._sizes[keyword]:
                raise ValueError(f"the domains of {keyword} do not add up to {self._sizes[keyword]}")
            if self._sizes[keyword] > self._largest or min((size for _, size in self._domains[keyword]), default=0) < 0:
                raise ValueError(f"{keyword} announces {self._sizes[keyword]} places, which so short a file cannot use")
        elif keyword == "OBJBCOORD":
            self._offset = float(next(lines))
        elif keyword == "INT":
            count = int(next(lines))
            places = [int(next(lines)) for _ in range(count)]
            if min(places, default=0) < 0:
                raise ValueError("a coordinate is negative")
            self._data[keyword] = np.asarray(places, dtype=np.int64).reshape(-1, 1), np.zeros(count)
        elif keyword in _PLACES:
            self._data[keyword] = _numbers(lines, _PLACES[keyword])
        else:
            raise ValueError(
                f"the section '{keyword}' is not for linear, second-order and exponential cones of real variables"
            )

    def program(self) -> ConicProgram:
        """Return the sections as A v + s = b, s in K, rows in the order of `Cones`."""
        m, n = self._sizes["CON"], self._sizes["VAR"]
        places, values = self._data.get("ACOORD", _NOTHING)
        A = sparse.csr_array((values, (places[:, 0], places[:, 1])), shape=(m, n)) if len(values) else None
        b = self._vector("BCOORD", m)
        # rows of constraints: s = G v + b; domains of variables are more rows, s = v
        own = self._domains["VAR"]
        bound = [(name, size) for name, size in own if name != "F"]
        sizes = np.array([size for _, size in own], dtype=np.int64)
        columns = np.flatnonzero(np.repeat(np.array([name != "F" for name, _ in own], dtype=bool), sizes))
        picks = sparse.csr_array((np.ones(len(columns)), (np.arange(len(columns)), columns)), shape=(len(columns), n))
        G = sparse.vstack([sparse.csr_array((m, n)) if A is None else A, picks], format="csr")
        order, cones, rotated, negated = _ordered([*self._domains["CON"], *bound])
        sign = np.where(negated, -1.0, 1.0)
        turn = _turned(len(order), rotated, back=True) @ sparse.diags_array(sign, format="csr")
        G, h = turn @ G[order], turn @ np.concatenate([b, np.zeros(len(columns))])[order]
        return ConicProgram(
            A=sparse.csc_array(-G),
            b=h,
            c=self.sign * self._vector("OBJACOORD", n),
            offset=self.sign * self._offset,
            cones=cones,
            columns=_fitting(self._blocks["columns"], n),
            rows=_fitting(self._blocks["rows"], len(order)),
        )

    def _vector(self, keyword: str, size: int) -> Array:
        places, values = self._data.get(keyword, _NOTHING)
        vector = np.zeros(size)
        np.add.at(vector, places[:, 0] if len(values) else [], values)
        return vector


_PLACES = {"OBJACOORD": 1, "ACOORD": 2, "BCOORD": 1}
_NOTHING: tuple[IntArray, Array] = (np.zeros((0, 2), dtype=np.int64), np.zeros(0))


def _known(name: str, names: tuple[str, ...]) -> str:
    if name not in names:
        raise ValueError(f"'{name}' is not one of {', '.join(names)}")
    return name


def _numbers(lines: Iterator[str], places: int) -> tuple[IntArray, Array]:
    """Read a count, then that many lines of `places` indices and one number."""
    count = int(next(lines))
    rows = list(islice(lines, count))
    if len(rows) < count:
        raise ValueError("it ends too soon")
    words = " ".join(rows).split()  # one pass over all words: files have millions of lines
    width = places + 1
    if len(words) != count * width or any(row.count(" ") < places for row in rows):
        raise ValueError(f"a line of coordinates does not have {width} numbers")
    index = np.array([list(map(int, words[place::width])) for place in range(places)], dtype=np.int64).T
    if (index < 0).any():
        raise ValueError("a coordinate is negative")
    return index.reshape(count, places), np.array(list(map(float, words[places::width])))


def _ordered(domains: Iterable[tuple[str, int]]) -> tuple[IntArray, Cones, IntArray, Any]:
    """Return the rows in the order of `Cones`, the cones, the heads of rotated cones, and which rows change sign."""
    zero, nonnegative, conic, exponential = [], [], [], []
    sizes, rotated = [], []
    start = 0
    for name, size in domains:
        rows = np.arange(start, start + size)
        start += size
        if name == "L=":
            zero.append(rows)
        elif name in ("L+", "L-"):
            nonnegative.append((rows, name == "L-"))
        elif name in ("Q", "QR"):
            if size < (2 if name == "QR" else 1):
                raise ValueError(f"a cone {name} of size {size} is too small")
            conic.append(rows)
            sizes.append(size)
            rotated.append(name == "QR")
        elif name == "EXP":
            if size != 3:
                raise ValueError(f"a cone EXP has 3 entries; received {size}")
            exponential.append(rows[::-1])
    parts = [*zero, *(rows for rows, _ in nonnegative), *conic, *exponential]
    order = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    cones = Cones(sum(map(len, zero)), sum(len(rows) for rows, _ in nonnegative), tuple(sizes), len(exponential))
    negated = np.zeros(len(order), dtype=bool)
    place = cones.zero
    for rows, minus in nonnegative:
        negated[place : place + len(rows)] = minus
        place += len(rows)
    return order, cones, cones.heads[np.array(rotated, dtype=bool)], negated


def _fitting(blocks: list[Block], size: int) -> tuple[Block, ...]:
    """Return the blocks that comments name, if they cover all places; a file that was edited loses its names."""
    ends = [0, *(block.stop for block in blocks)]
    fits = all(block.start == end for block, end in zip(blocks, ends, strict=False)) and ends[-1] == size
    return tuple(blocks) if fits else ()
