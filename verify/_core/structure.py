"""Read the exported arrays themselves: what makes program = network for every x, not only at points.

Two independent questions, each answered with sentences about what is wrong:

- `monotone(program)`: is it a monotone epigraph program? Then raising a variable never helps, the least feasible
  point exists at every x, and the value is convex in x. Labels are not consulted.
- `differences(program, net)`: are its arrays, entry by entry, those of the network? Then the least feasible point is
  the forward pass, at every x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, BoolArray, IntArray
from socicnn.conic._data import ValueData
from socicnn.frozen._exponentials import ExpTerm
from socicnn.frozen._network import ConvexNet
from socicnn.frozen._terms import Term
from verify._core.exponentials import read


def monotone(program: ValueData) -> list[str]:
    """Return what keeps `program` from being a monotone epigraph program; an empty list if nothing does.

    Each inequality must bound one variable of its own from below, -v_j + sum_i P_i v_i + s = b + B x with P >= 0 over
    earlier variables; each cone must be t >= ||p||^2 lifted, or s >= ||p||, with p affine in x alone, or part of a
    log-sum-exp; each variable must be bounded from below; q >= 0 and every entry finite.
    """
    arrays = {"A": program.A.data, "B": program.B.data} | {name: getattr(program, name) for name in "bqdr"}
    counts = {name: int(np.count_nonzero(~np.isfinite(array))) for name, array in arrays.items()}
    wrong = [f"{name} has {count} non-finite entries" for name, count in counts.items() if count]
    return wrong or _Reading(program).wrong


class _Reading:
    """Goes once through the arrays and collects what is wrong, one sentence per kind of fault."""

    def __init__(self, program: ValueData) -> None:
        self.wrong: list[str] = []
        self._row = _place(program.row_names, "row")
        self._column = _place(program.column_names, "column")
        A, B = sparse.csr_array(program.A, copy=True), sparse.csr_array(program.B, copy=True)
        for matrix in (A, B):
            matrix.sum_duplicates()  # several entries of one place stand for their sum
            matrix.eliminate_zeros()
        self._owned = np.zeros(A.shape[1], dtype=bool)
        if program.cones.zero:
            self.wrong.append(f"{program.cones.zero} equality rows, which no exported network has")
        least = program.q.min(axis=0) if program.q.ndim == 2 else program.q
        self._blame(least < 0, "negative costs", lambda j: f"{least[j]:.3g} on {self._column(j)}")
        first = program.cones.zero
        inequalities = np.arange(first, first + program.cones.nonnegative)
        masses = self._exponentials(program, A, B)  # the inequalities that belong to exponential cones
        self._inequalities(A, np.setdiff1d(inequalities, masses))
        self._cones(program, A, B)
        self._blame(~self._owned, "variables that nothing bounds from below", self._column)

    def _blame(self, bad: BoolArray, what: str, place: Callable[[int], str]) -> None:
        where = np.flatnonzero(bad)
        if len(where):
            self.wrong.append(f"{len(where)} {what}, the first {place(int(where[0]))}")

    def _inequalities(self, A: sparse.csr_array, rows: IntArray) -> None:
        """Each has one entry -1, its own variable, and the others are >= 0 on earlier variables."""
        A = A[rows]
        count, column = A.shape[0], A.indices
        row = np.repeat(np.arange(count), np.diff(A.indptr))
        own = A.data == -1.0
        place = lambda e: f"{A.data[e]:.3g} on {self._column(column[e])} in {self._row(int(rows[row[e]]))}"  # noqa: E731
        several = np.bincount(row[own], minlength=count) != 1
        self._blame(several, "inequalities without exactly one entry -1", lambda i: self._row(int(rows[i])))
        self._blame((A.data < 0) & ~own, "negative weights", place)
        owner = np.full(count, A.shape[1])
        owner[row[own]] = column[own]
        self._owned[column[own]] = True
        self._blame(~own & (column >= owner[row]), "weights on later variables", place)

    def _exponentials(self, program: ValueData, A: sparse.csr_array, B: sparse.csr_array) -> IntArray:
        """Each is part of a log-sum-exp of p with P >= 0 over earlier variables; return the rows of the sums."""
        if not program.cones.exponential:
            return np.zeros(0, dtype=np.int64)
        good, t, u, sums = read(program, A, B)
        first = program.A.shape[0] - 3 * len(good)
        self._blame(~good, "exponential cones of no log-sum-exp", lambda i: self._row(first + 3 * i))
        self._owned[t[good]] = self._owned[u[good]] = True
        return sums[good]

    def _cones(self, program: ValueData, A: sparse.csr_array, B: sparse.csr_array) -> None:
        """The head of each cone is one variable, or two rows are the lift of one square; the rest holds x alone."""
        heads = program.cones.heads
        if not len(heads):
            return
        entries, inputs, b = np.diff(A.indptr), np.diff(B.indptr), np.atleast_2d(program.b)
        lifted = np.isin(heads, program.lifts.heads)
        sizes = np.asarray(program.cones.second_order)
        if not np.isin(program.lifts.heads, heads).all():
            self.wrong.append("a lift that is not at the head of a cone")
        self._blame(lifted & (sizes < 3), "cones too small for a lifted square", lambda i: self._row(int(heads[i])))
        plain, lift = heads[~lifted], heads[lifted & (sizes >= 3)]
        places = np.arange(len(entries))
        affine = (places >= heads[0]) & (places < heads[-1] + sizes[-1])
        affine[heads] = affine[lift + 1] = False
        self._blame(affine & (entries > 0), "cones with a variable inside", self._row)

        def single(rows: IntArray, weight: float, offset: float) -> BoolArray:
            good = (entries[rows] == 1) & (inputs[rows] == 0) & (b[:, rows] == offset).all(axis=0)
            good[good] = A.data[A.indptr[rows[good]]] == weight
            return good

        column = lambda rows: A.indices[A.indptr[rows]]  # noqa: E731 (of the one entry in each row)
        good = single(plain, -1.0, 0.0)
        self._blame(~good, "cones whose head is not one variable", lambda i: self._row(int(plain[i])))
        self._owned[column(plain[good])] = True
        good = single(lift, -0.5, 0.5) & single(lift + 1, -0.5, -0.5)
        good[good] = column(lift[good]) == column(lift[good] + 1)
        self._blame(~good, "cones that are not the lift of one square", lambda i: self._row(int(lift[i])))
        self._owned[column(lift[good])] = True


def _place(names: list[str], kind: str) -> Callable[[int], str]:
    return lambda i: names[i] if i < len(names) else f"{kind} {i}"


def differences(program: ValueData, net: ConvexNet) -> list[str]:
    """Return where the arrays of `program` are not those of `net`, entry by entry; an empty list if nowhere.

    Blocks are found by their names; that every other entry is zero is part of the comparison.
    """
    try:
        expected = _Expected(program, net)
    except _Mismatch as mismatch:
        return [str(mismatch)]
    rows, columns, inputs = program.row_names, program.column_names, [f"x[{j}]" for j in range(net.in_features)]
    return [
        *_difference("A", program.A, expected.A, rows, columns),
        *_difference("B", program.B, expected.B, rows, inputs),
        *_difference("b", program.b, expected.b, rows),
        *_difference("q", program.q, expected.q, columns),
        *_difference("d", program.d, expected.d, inputs),
        *_difference("r", program.r[..., None], expected.r[..., None], ["the constant"]),
    ]


class _Mismatch(Exception):
    """The blocks of the program are not those of the network."""


class _Expected:
    """The arrays that the network asks for, placed where the program's block names say."""

    def __init__(self, program: ValueData, net: ConvexNet) -> None:
        self._blocks = {side: {block.name: block for block in getattr(program, side)} for side in ("rows", "columns")}
        self._entries: dict[str, list[tuple[IntArray, IntArray, Array]]] = {"A": [], "B": []}
        self._cones: list[tuple[int, int]] = []
        self._exponential = 0
        m, variables = program.A.shape
        self.b, self.q = np.zeros((*net.batch, m)), np.zeros((*net.batch, variables))
        self.d, self.r = np.empty((*net.batch, net.in_features)), np.empty(net.batch)
        self.d[...], self.r[...] = net.output.v, net.output.c
        inequalities, below = 0, slice(0, 0)
        for k, layer in enumerate(net.layers, start=1):
            h = layer.width
            z = self._block("columns", f"z{k}", h)
            terms = [
                (self._term(f"{term.NAMES[0]}{k}", f"{term.NAMES[1]}{k}", term), term.weight) for term in layer.inner
            ]
            for units, place, sign in self._units(k, z, np.broadcast_to(layer.smoothing, h)):
                self._put("A", place, below, sign * layer.W[units])
                self._put("B", place, slice(0, None), -sign * layer.U[units])
                self.b[..., place] = -sign * layer.b[..., units]
                for t, weight in terms:
                    self._put("A", place, t, sign * sparse.csr_array(sparse.diags_array(weight))[units])
            inequalities, below = inequalities + 2 * h, z
        self.q[..., below] = net.output.w
        branches: tuple[Sequence[Term], ...] = net.weighted()
        for letter, kind, some in zip("ts", ("quadratic", "norm"), branches, strict=True):
            for number, term in enumerate(some, start=1):
                t = self._term(f"{letter}_{kind}{number}", f"{kind}{number}", term)
                self.q[..., t] = term.weight[..., None]
        for cone, smooth in net.named_exponentials():
            self._log_sum_exps(cone, smooth)
            inequalities += smooth.groups
        self._complete(program)
        heads = list(zip(program.cones.heads.tolist(), program.cones.second_order, strict=True))
        cones = (program.cones.zero, program.cones.nonnegative, program.cones.exponential, heads)
        if cones != (0, inequalities, self._exponential, self._cones):
            raise _Mismatch("the cones of the program are not those of the network")
        self.A, self.B = self._matrix("A", program.A.shape), self._matrix("B", program.B.shape)

    def _units(self, k: int, z: slice, tau: Array) -> Iterator[tuple[IntArray, slice, float]]:
        """Place the rows of the units of layer k but for a; yield units, the rows that hold their a, and its sign.

        ReLU: -z + a + s = 0, -z + s = 0. Softplus: cones (a - z, tau, u), then (-z, tau, u'), with u + u' <= tau.
        """
        eye = sparse.csr_array(sparse.eye_array(len(tau)))
        self._put("A", self._block("rows", f"nonnegative{k}", len(tau)), z, -eye)
        hard, soft = np.flatnonzero(tau == 0), np.flatnonzero(tau != 0)
        if len(hard):
            relu = self._block("rows", f"relu{k}", len(hard))
            self._put("A", relu, z, -eye[hard])
            yield hard, relu, 1.0
        if not len(soft):
            return
        h, each = len(soft), sparse.eye_array(len(soft))
        u, total = self._block("columns", f"u{k}", 2 * h), self._block("rows", f"sum{k}", h)
        cones = self._block("rows", f"softplus{k}", 6 * h)
        self._put("A", total, u, sparse.hstack([each, each]))
        self._put("A", slice(cones.start, None, 3), z, sparse.vstack([eye[soft], eye[soft]]))
        self._put("A", slice(cones.start + 2, None, 3), u, -sparse.eye_array(2 * h))
        self.b[..., total] = tau[soft]
        self.b[..., cones.start + 1 : cones.stop : 3] = np.tile(tau[soft], 2)
        self._exponential += 2 * h
        yield soft, slice(cones.start, cones.start + 3 * h, 3), -1.0

    def _term(self, name: str, cone: str, term: Term) -> slice:
        """Place t_i >= ||p_i|| as (t_i, p_i), and t_i >= ||p_i||^2 as ((t_i + 1)/2, (t_i - 1)/2, p_i); p = M x + o.

        Returns:
            The columns of t.
        """
        tops = 1 if term.ROOT else 2  # rows of each cone that hold t: its head, or the two of a rotated cone
        size = term.rows + tops
        t, rows = self._block("columns", name, term.groups), self._block("rows", cone, term.groups * size)
        places = np.arange(rows.start, rows.stop).reshape(-1, size)
        heads, body = places[:, 0], places[:, tops:].reshape(-1)
        for row in range(tops):
            self._entries["A"].append((heads + row, np.arange(t.start, t.stop), np.full(len(heads), -1.0 / tops)))
        if not term.ROOT:
            self.b[..., heads], self.b[..., heads + 1] = 0.5, -0.5
        M = sparse.coo_array(term.matrix)
        self._entries["B"].append((body[M.row], M.col, M.data))
        self.b[..., body] = term.offset
        self._cones += [(head, size) for head in heads.tolist()]
        return t

    def _log_sum_exps(self, name: str, term: ExpTerm) -> None:
        """Place (p_j - t_i, 1, u_j) and sum u <= 1 over group i; of log(1 + exp(p_j)) also (-t_j, 1, u'_j)."""
        rows, logistic = term.matrix.shape[0], term.KIND == "logistic"
        count = 2 * rows if logistic else rows
        t, u = self._block("columns", f"t_{name}", term.groups), self._block("columns", f"u_{name}", count)
        sums, cones = self._block("rows", f"sum_{name}", term.groups), self._block("rows", name, 3 * count)
        group, ones = np.arange(count) % rows // term.rows, np.ones(count)
        heads, own = cones.start + 3 * np.arange(count), u.start + np.arange(count)
        self._entries["A"] += [(sums.start + group, own, ones), (heads, t.start + group, ones), (heads + 2, own, -ones)]
        M = sparse.coo_array(term.matrix)
        self._entries["B"].append((heads[M.row], M.col, M.data))
        self.b[..., sums] = self.b[..., heads + 1] = 1.0
        self.b[..., heads[:rows]] = term.offset
        self.q[..., t] = term.prices
        self._exponential += count

    def _block(self, side: str, name: str, size: int) -> slice:
        block = self._blocks[side].pop(name, None)
        if block is None or block.stop - block.start != size:
            there = "has no such block" if block is None else f"has {block.stop - block.start}"
            raise _Mismatch(f"the network has {size} entries in {name}, the program {there}")
        return slice(block.start, block.stop)

    def _complete(self, program: ValueData) -> None:
        """Every block of the program has its counterpart, and every row and column lies in a block."""
        for kind, side, total in zip(("rows", "variables"), ("rows", "columns"), program.A.shape, strict=True):
            if left := self._blocks[side]:
                raise _Mismatch(f"the program has {kind} with no counterpart in the network: {', '.join(sorted(left))}")
            named = sum(block.stop - block.start for block in getattr(program, side))
            if named != total:
                raise _Mismatch(f"the named blocks cover {named} of the {total} {kind}")

    def _put(self, name: str, rows: slice, columns: slice, matrix: Any) -> None:
        coo = sparse.coo_array(matrix)
        self._entries[name].append((coo.row * (rows.step or 1) + rows.start, coo.col + columns.start, coo.data))

    def _matrix(self, name: str, shape: tuple[int, int]) -> sparse.csr_array:
        parts = self._entries[name]
        row, column, data = (np.concatenate([part[i] for part in parts]) if parts else np.zeros(0) for i in range(3))
        return sparse.csr_array((data, (row.astype(np.int64), column.astype(np.int64))), shape=shape)


def _difference(name: str, theirs: Any, expected: Any, *labels: list[str]) -> list[str]:
    """Say where a matrix, or a vector per context, differs, with as few digits as tell the two numbers apart."""
    if theirs.shape != expected.shape:
        return [f"{name} has shape {theirs.shape} where the network has {expected.shape}"]
    with np.errstate(invalid="ignore"):
        difference = sparse.coo_array(theirs - expected)
    bad = np.flatnonzero(~(difference.data == 0))  # NaN differs too
    if not len(bad):
        return []
    at = tuple(int(index[bad[0]]) for index in difference.coords)
    if len(labels) == 2:
        place = f"({labels[0][at[0]]}, {labels[1][at[1]]})"
    else:
        place = labels[0][at[-1]] + (f" of context {at[0]}" if len(at) > 1 else "")
    texts = [(f"{theirs[at]:.{digits}g}", f"{expected[at]:.{digits}g}") for digits in (6, 10, 17)]
    program, network = next((pair for pair in texts if pair[0] != pair[1]), texts[-1])
    first = f"the first at {place}: {program} where the network has {network}"
    return [f"{name} differs from the network in {len(bad)} entries, {first}"]
