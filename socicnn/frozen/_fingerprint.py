"""The fingerprint of a frozen network: SHA-256 over its numbers in one canonical form, whatever file they lie in.

The form is a run of records. A record is the length of a name (8 bytes), the name (ASCII), the number of sizes
(8 bytes), the sizes (8 bytes each), and then its numbers. Whole numbers are unsigned, of 8 bytes, other numbers of IEEE
double precision, all little-endian; -0.0 is written as 0.0. With C = the number of contexts, or 1:

1. `socicnn network 1`, sizes (n, contexts + 1, or 0 for a network without stacked contexts), no numbers;
2. `shape`, its sizes being the shape of x, no numbers;
3. for each layer: `relu`, sizes (h,), or `softplus`, sizes (h,), with the number tau > 0, or `units`, sizes (h,), with
   h numbers tau >= 0, not all equal; `W` (h, h of the layer before, 0 for the first); `U` (h, n); `b` (C, h); with
   quadratics inside `rho` (h,), `F` (h k, n), `g` (C, h k); with norms inside `norms`, sizes (h,), then these three;
4. `output`; `w` (C, h of the last layer, 0 without layers), `v` (C, n), `c` (C,);
5. for each quadratic branch: `quadratic`; `beta` (C,), `A` (rows, n), `e` (C, rows);
6. for each norm branch: `norm`, sizes (rows of each group,); `gamma` (C,), `C` (rows, n), `d` (C, rows);
7. for each log-sum-exp branch: `logsumexp`, sizes (rows of each group,); `alpha` (C,), `G` (rows, n), `o` (C, rows);
8. for each logistic branch: `logistic`; `omega` (C, rows), `S` (rows, n), `s` (C, rows).

A vector is written row by row, one row per context. A matrix (W, U, F, A, C, G, S) is written without its zeros: the
number of entries that are not 0, then their rows, their columns and their values, sorted by row, then by column;
entries of a sparse matrix at the same place are summed. A matrix that is left out (W of the first layer, U) has no
entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, Matrix
from socicnn.frozen._parts import Layer, Output
from socicnn.frozen._terms import Term


def fingerprint(
    layers: Sequence[Layer], output: Output, terms: Sequence[Term], shape: tuple[int, ...], batch: tuple[int, ...]
) -> str:
    """Return the fingerprint, 64 hexadecimal digits, of the checked parts of a network whose x has this shape.

    >>> from socicnn.frozen import FrozenNet
    >>> net = FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [1.0]))
    >>> net.fingerprint[:16]
    'cc0864b5eb5859db'
    """
    form = _Form(*(batch or (1,)))
    n = output.v.shape[-1]
    form.record("socicnn network 1", (n, sum(batch) + len(batch)))
    form.record("shape", shape)
    width = 0
    for layer in layers:
        h = layer.width
        kind = "units" if layer.smoothing.ndim else "softplus" if layer.smooth else "relu"
        form.record(kind, (h,), layer.smoothing if layer.smooth else None)
        form.matrix("W", layer.W, (h, width))
        form.matrix("U", layer.U, (h, n))
        form.vector("b", layer.b, h)
        for term in layer.inner:
            if term.ROOT:
                form.record(term.KIND, (h,))
            form.record(term.LETTERS[0], (h,), term.weight)
            form.affine(term)
        width = h
    form.record("output", ())
    form.vector("w", output.w, width)
    form.vector("v", output.v, n)
    form.vector("c", output.c)
    for branch in terms:
        form.record(branch.KIND, (branch.rows,) if branch.KIND in ("norm", "logsumexp") else ())
        form.vector(branch.LETTERS[0], branch.weight, branch.groups if branch.KIND == "logistic" else None)
        form.affine(branch)
    return form.digest.hexdigest()


class _Form:
    """Feeds records to the hash."""

    def __init__(self, contexts: int) -> None:
        self.digest = hashlib.sha256()
        self._contexts = contexts

    def record(self, name: str, sizes: Sequence[int], values: Array | None = None) -> None:
        word = name.encode("ascii")
        self._whole([len(word)])
        self.digest.update(word)
        self._whole([len(sizes), *sizes])
        if values is not None:
            self._real(values)

    def vector(self, name: str, value: Any, size: int | None = None) -> None:
        """Write a vector, or a number if there is no size."""
        sizes = (self._contexts,) if size is None else (self._contexts, size)
        self.record(name, sizes, np.broadcast_to(value, sizes))

    def affine(self, term: Term) -> None:
        """Write the matrix and the offset of a term."""
        _, matrix, offset = term.LETTERS
        self.matrix(matrix, term.matrix, term.matrix.shape)
        self.vector(offset, term.offset, term.matrix.shape[0])

    def matrix(self, name: str, value: Matrix, shape: tuple[int, ...]) -> None:
        self.record(name, shape)
        matrix = sparse.csr_array(value, dtype=np.float64, copy=True)
        matrix.sum_duplicates()  # sorts the columns of each row too
        matrix.eliminate_zeros()
        self._whole([matrix.nnz])
        self._whole(np.repeat(np.arange(shape[0]), np.diff(matrix.indptr)))
        self._whole(matrix.indices)
        self._real(matrix.data)

    def _whole(self, values: Any) -> None:
        self.digest.update(np.asarray(values, dtype="<u8").tobytes())

    def _real(self, values: Array) -> None:
        self.digest.update((np.asarray(values, dtype="<f8") + 0.0).tobytes())  # -0.0 + 0.0 is 0.0
