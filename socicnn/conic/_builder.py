"""Assembles a value-function program block by block, without a loop over rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray, read_only
from socicnn.conic._blocks import Block, Lifts
from socicnn.conic._cones import Cones
from socicnn.conic._program import ValueProgram


class SmoothUnits(NamedTuple):
    """Softplus units: a block that holds their variables z, u, what their pre-activations add up, and places in z."""

    z: Block
    u: Block
    below: list[tuple[Block, Any]]
    places: IntArray


class Builder:
    """Collects columns, rows and costs, then gives the program.

    Inequalities are to be added before cones, and second-order cones before exponential ones.

    Args:
        in_features: length n of x.
        batch: leading shape of stacked vectors, `(contexts,)`; none if omitted.
    """

    def __init__(self, in_features: int, batch: tuple[int, ...] = ()) -> None:
        self._n = in_features
        self._batch = batch
        self._columns: list[Block] = []
        self._rows: list[Block] = []
        self._A: list[list[tuple[int, sparse.csr_array]]] = []  # of each block of rows, its matrices by first column
        self._B: list[Any] = []
        self._b: list[Array] = []
        self._q: dict[int, Array] = {}
        self._d = np.zeros((*self._batch, in_features))
        self._r = np.zeros(self._batch)
        self._inequalities = 0
        self._cones: list[int] = []
        self._lifts: list[tuple[int, int, int]] = []
        self._exponential = 0

    def columns(self, name: str, kind: str, size: int) -> Block:
        """Add `size` variables."""
        start = self._columns[-1].stop if self._columns else 0
        self._columns.append(Block(name, kind, start, start + size))
        return self._columns[-1]

    def cost(self, block: Block, q: Any) -> None:
        """Set the cost of a block of variables."""
        self._q[block.start] = self._stack(q, block.stop - block.start)

    def affine(self, d: Any, r: Any) -> None:
        """Set the part d'x + r of the objective."""
        self._d, self._r = self._stack(d, self._n), self._stack(r)

    def _add_rows(self, name: str, kind: str, size: int, entries: list[Any], B: Any, b: Any) -> Block:
        start = self._rows[-1].stop if self._rows else 0
        self._rows.append(Block(name, kind, start, start + size))
        self._A.append([(block.start, sparse.csr_array(matrix)) for block, matrix in entries])
        self._B.append(sparse.csr_array((size, self._n)) if B is None else B)
        self._b.append(self._stack(b, size))
        return self._rows[-1]

    def _stack(self, values: Any, *size: int) -> Array:
        """Return values with the axis of contexts that the vectors of the program have, perhaps none."""
        full = np.empty((*self._batch, *size))
        full[...] = values
        return full

    def nonnegative(self, name: str, kind: str, entries: list[tuple[Block, Any]], B: Any, b: Array) -> None:
        """Add rows sum_i M_i v_i + s = b + B x with s >= 0."""
        assert not self._cones, "inequalities come before cones"
        assert not self._exponential, "inequalities come before cones"
        block = self._add_rows(name, kind, b.shape[-1], entries, B, b)
        self._inequalities += block.stop - block.start

    def quadratic(self, name: str, beta: Array, A: Any, e: Array) -> None:
        """Add the cost beta t with t >= ||A x + e||^2, as ((t + 1)/2, (t - 1)/2, A x + e) in SOC."""
        t = self.columns(f"t_{name}", "square", 1)
        self.cost(t, beta[:, None])
        self.rotated(name, t, A, e)

    def rotated(self, name: str, t: Block, A: Any, e: Array) -> None:
        """Add t_i >= ||A_i x + e_i||^2 for each t_i of a block, A_i being equal runs of the rows of A."""
        count = t.stop - t.start
        rows = A.shape[0] // count
        size = count * (rows + 2)
        heads = np.arange(count) * (rows + 2)
        body = np.delete(np.arange(size), np.concatenate([heads, heads + 1]))
        each = np.tile(np.arange(count), 2)
        half = sparse.csr_array((np.full(2 * count, -0.5), (np.concatenate([heads, heads + 1]), each)), (size, count))
        B = _spread(A, body, size)
        offset = np.zeros((*self._batch, size))
        offset[..., heads], offset[..., heads + 1] = 0.5, -0.5
        offset[..., body] = e
        block = self._add_rows(name, "quadratic", size, [(t, half)], B, offset)
        self._lifts += [(t.start + i, block.start + int(head), rows + 2) for i, head in enumerate(heads)]
        self._cones += [rows + 2] * count

    def norm(self, name: str, gamma: Array, C: Any, d: Array, group: int) -> None:
        """Add the cost gamma sum_g s_g with s_g >= ||C_g x + d_g||, groups of `group` consecutive rows."""
        count = C.shape[0] // group
        length = self.columns(f"s_{name}", "length", count)
        self.cost(length, gamma[:, None])
        self.lengths(name, length, C, d)

    def lengths(self, name: str, length: Block, C: Any, d: Array) -> None:
        """Add s_i >= ||C_i x + d_i|| for each s_i of a block, C_i being equal runs of the rows of C."""
        count = length.stop - length.start
        group = C.shape[0] // count
        heads = np.arange(count) * (group + 1)
        size = count * (group + 1)
        minus = sparse.csr_array((-np.ones(count), (heads, np.arange(count))), shape=(size, count))
        body = np.delete(np.arange(size), heads)
        B = _spread(C, body, size)
        offset = np.zeros((*self._batch, size))
        offset[..., body] = d
        self._add_rows(name, "norm", size, [(length, minus)], B, offset)
        self._cones += [group + 1] * count

    def softplus(self, name: str, units: SmoothUnits, tau: Array, B: Any, b: Array) -> None:
        """Add the cones of z_i >= tau_i log(1 + exp(a_i / tau_i)), a = W z_below + B x + b, for h units of a layer.

        (a_i - z_i, tau_i, u_i) in Kexp of all units, then (-z_i, tau_i, u_{h+i}); the rows u_i + u_{h+i} <= tau_i are
        inequalities.

        Args:
            name: of the block.
            units: z, u, and what stands in a with its blocks, one row per unit.
            tau: the smoothing, shape `(h,)`.
            B: matrix of shape `(h, n)`, or None.
            b: bias, shape `(1 or contexts, h)`.
        """
        h, width = len(units.places), units.z.stop - units.z.start
        first = 3 * np.arange(2 * h)
        tops = sparse.csr_array((np.ones(2 * h), (first, np.tile(units.places, 2))), shape=(6 * h, width))
        ends = sparse.csr_array((-np.ones(2 * h), (first + 2, np.arange(2 * h))), shape=(6 * h, 2 * h))
        below = [(block, -_spread(sparse.csr_array(matrix), first[:h], 6 * h)) for block, matrix in units.below]
        offset = np.zeros((*self._batch, 6 * h))
        offset[..., first + 1] = np.tile(tau, 2)
        offset[..., first[:h]] = b
        spread = None if B is None else _spread(sparse.csr_array(B), first[:h], 6 * h)
        self._add_rows(name, "softplus", 6 * h, [*below, (units.z, tops), (units.u, ends)], spread, offset)
        self._exponential += 2 * h

    def log_sum_exp(self, name: str, t: Block, u: Block, B: Any, b: Array) -> None:
        """Add the cones (p_j - t_i, 1, u_j) in Kexp of t_i >= log sum_j exp(p_j), over equal runs of the rows B x + b.

        The rows sum u <= 1 are inequalities.
        """
        rows, groups = u.stop - u.start, t.stop - t.start
        first, each = 3 * np.arange(rows), np.repeat(np.arange(groups), rows // groups)
        tops = sparse.csr_array((np.ones(rows), (first, each)), shape=(3 * rows, groups))
        ends = sparse.csr_array((-np.ones(rows), (first + 2, np.arange(rows))), shape=(3 * rows, rows))
        offset = np.zeros((*self._batch, 3 * rows))
        offset[..., first + 1] = 1.0
        offset[..., first] = b
        spread = _spread(sparse.csr_array(B), first, 3 * rows)
        self._add_rows(name, "logsumexp", 3 * rows, [(t, tops), (u, ends)], spread, offset)
        self._exponential += rows

    def program(self) -> ValueProgram:
        """Return the assembled program."""
        m = self._rows[-1].stop if self._rows else 0
        variables = self._columns[-1].stop if self._columns else 0
        q = np.zeros((*self._batch, variables))
        for start, cost in self._q.items():
            q[..., start : start + cost.shape[-1]] = cost
        A = (
            sparse.vstack([_placed(parts, block, variables) for parts, block in zip(self._A, self._rows, strict=True)])
            if self._A
            else sparse.csr_array((m, variables))
        )
        lifts = np.asarray(self._lifts, dtype=np.int64).reshape(-1, 3)
        return ValueProgram(
            A=read_only(sparse.csc_array(A)),
            B=read_only(sparse.csr_array(sparse.vstack(self._B)) if self._B else sparse.csr_array((0, self._n))),
            b=read_only(np.concatenate(self._b, axis=-1) if self._b else np.zeros((*self._batch, 0))),
            q=read_only(q),
            d=read_only(self._d),
            r=read_only(self._r),
            cones=Cones(0, self._inequalities, tuple(self._cones), self._exponential),
            columns=tuple(self._columns),
            rows=tuple(self._rows),
            lifts=Lifts(lifts[:, 0], lifts[:, 1], lifts[:, 2]),
        )


def _placed(parts: list[tuple[int, sparse.csr_array]], block: Block, variables: int) -> sparse.csr_array:
    """Return matrices side by side, each at its first column, with nothing between; sorted rows stay sorted."""
    size, at = block.stop - block.start, 0
    row: list[sparse.csr_array] = []
    for start, matrix in sorted(parts, key=lambda part: part[0]):
        row += [sparse.csr_array((size, start - at)), matrix] if start > at else [matrix]
        at = start + matrix.shape[1]
    if at < variables:
        row.append(sparse.csr_array((size, variables - at)))
    return sparse.csr_array(sparse.hstack(row, format="csr"))


def _spread(matrix: sparse.csr_array, places: Any, size: int) -> sparse.csr_array:
    """Return a matrix with `size` rows, those of `matrix` at increasing places."""
    counts = np.zeros(size + 1, dtype=matrix.indptr.dtype)
    counts[places + 1] = np.diff(matrix.indptr)
    return sparse.csr_array(
        (matrix.data, matrix.indices, np.cumsum(counts, dtype=counts.dtype)), (size, matrix.shape[1])
    )
