"""What the rows and columns of a program are: named blocks, and the cones of the quadratics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from socicnn._arrays import IntArray, owned
from socicnn.errors import ProgramError


@dataclass(frozen=True)
class Block:
    """A named run of consecutive rows or columns.

    Args:
        name: for instance `relu2`, `z2`, `quadratic1`, `norm1`.
        kind: the family it belongs to. Rows: `equality`, `relu`, `nonnegative`, `quadratic`, `norm`, `set`;
            columns: `input`, `activation`, `square`, `length`.
        start: first index.
        stop: one past the last index.
    """

    name: str
    kind: str
    start: int
    stop: int

    def names(self) -> list[str]:
        """Return a readable name for each index, `relu2[0]`, `relu2[1]`, ..."""
        return [f"{self.name}[{index}]" for index in range(self.stop - self.start)]


class Named:
    """A program whose rows and columns have blocks."""

    columns: tuple[Block, ...]
    rows: tuple[Block, ...]

    @property
    def row_names(self) -> list[str]:
        """One readable name per row."""
        return [name for block in self.rows for name in block.names()]

    @property
    def column_names(self) -> list[str]:
        """One readable name per variable."""
        return [name for block in self.columns for name in block.names()]


def check_places(blocks: tuple[Block, ...], size: int, what: str) -> None:
    """Raise a ProgramError where a block lies outside `size` rows or columns."""
    for block in blocks:
        if not 0 <= block.start <= block.stop <= size:
            raise ProgramError(f"block {block.name} holds {what} {block.start} to {block.stop} of {size}")


def own(data: Any, *names: str) -> None:
    """Make these arrays of a frozen dataclass its own and read-only: what was checked stays what it was."""
    for name in names:
        object.__setattr__(data, name, owned(getattr(data, name)))


@dataclass(frozen=True, eq=False)
class Lifts:
    """Where the rotated cones of the quadratics sit: t >= ||p||^2 as ((t + 1)/2, (t - 1)/2, p) in SOC.

    Args:
        columns: column of t, one a quadratic.
        heads: row of the cone's head; the next row is its second entry, the rows of p follow.
        sizes: rows of the cone, two more than p has.
    """

    columns: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    heads: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    sizes: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        own(self, "columns", "heads", "sizes")
        shapes = {name: np.shape(getattr(self, name)) for name in ("columns", "heads", "sizes")}
        if len(set(shapes.values())) != 1 or len(shapes["heads"]) != 1:
            raise ProgramError(f"lifts need equally many columns, heads and sizes; received shapes {shapes}")

    def __len__(self) -> int:
        return len(self.columns)
