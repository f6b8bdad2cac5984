"""The affine maps inside quadratic and norm branches: full, diagonal, or a diagonal over a few full rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias, cast, final

import torch
from scipy import sparse
from torch import Tensor, nn

from socicnn._arrays import Matrix, as_float64
from socicnn._integers import as_integer, is_integer
from socicnn.errors import ModelError
from socicnn.positivity._initial import normal

# rows of a full matrix; "diagonal"; ("diagonal", rows of the full matrix below the diagonal)
BranchSpec: TypeAlias = "int | str | Sequence[str | int]"


@final
class BranchMap(nn.Module):
    """The matrix of one branch, [diag(diagonal); full], either part of which may be absent.

    Args:
        diagonal: the diagonal, shape `(n,)`, or None.
        full: the full rows, shape `(k, n)`, or None.
    """

    def __init__(self, diagonal: Tensor | None, full: Tensor | None) -> None:
        super().__init__()
        self.diagonal = None if diagonal is None else nn.Parameter(diagonal)
        self.full = None if full is None else nn.Parameter(full)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(len(rows) for rows in (self.full, self.diagonal) if rows is not None)

    def image(self, x: Tensor, product: Tensor) -> Tensor:
        """Return the map's image of x, where `product` is what the full rows give."""
        if self.diagonal is None:
            return product
        return x * self.diagonal if self.full is None else torch.cat([x * self.diagonal, product], dim=-1)

    def frozen(self) -> Matrix:
        """Return the matrix in float64, sparse where it has a diagonal."""
        full = None if self.full is None else as_float64(self.full.double())
        if self.diagonal is None:
            assert full is not None
            return full
        diagonal = sparse.diags_array(as_float64(self.diagonal.double()))
        return sparse.csr_array(diagonal if full is None else sparse.vstack([diagonal, sparse.csr_array(full)]))


def checked(specs: Sequence[BranchSpec] | None, n: int, kind: str) -> tuple[BranchSpec, ...]:
    """Return the branches as a tuple, one of n rows if omitted.

    Raises:
        ModelError: a branch is neither a number of rows, "diagonal", nor ("diagonal", rows).
    """
    if specs is None:
        return (as_integer("in_features", n),)
    if isinstance(specs, str) or is_integer(specs):
        raise ModelError(f"{kind} lists the branches, one entry each; received {specs!r}: write ({specs!r},)")
    return tuple(_entry(entry, kind) for entry in specs)


def _entry(entry: BranchSpec, kind: str) -> BranchSpec:
    if isinstance(entry, str) and entry == "diagonal":
        return entry
    if is_integer(entry) and int(cast(int, entry)) >= 1:
        return int(cast(int, entry))  # an int that JSON can hold, NumPy's are not
    if isinstance(entry, Sequence) and len(entry) == 2 and entry[0] == "diagonal":
        rows = entry[1]
        if is_integer(rows) and int(rows) >= 1:
            return ("diagonal", int(rows))
    raise ModelError(f"each entry of {kind} must be rows >= 1, 'diagonal' or ('diagonal', rows); received {entry!r}")


def branch_map(entry: BranchSpec, n: int, fan_in: int, generator: torch.Generator | None) -> BranchMap:
    """Return the map of a checked entry: full rows N(0, 1/fan_in), a diagonal of ones."""
    rows = entry if isinstance(entry, int) else (0 if isinstance(entry, str) else int(entry[1]))
    diagonal = None if isinstance(entry, int) else torch.ones(n, dtype=torch.float64, device="cpu")
    full = normal((rows, n), generator) / math.sqrt(fan_in) if rows else None
    return BranchMap(diagonal, full)
