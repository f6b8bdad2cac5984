"""A model fitted to a table: the network in the file, with the names of its columns."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, final

import numpy as np

from socicnn._arrays import Array
from socicnn._files import FileError
from socicnn_cli._frames import NumberTable, numbers, read_frame
from socicnn_cli._models import load_model

KEY = "table"  # of the metadata in a model file
CHUNK = 4096


@final
@dataclass(frozen=True)
class TableRoles:
    """Names and roles of the columns of a table.

    Args:
        target: what is predicted.
        x: columns that f is convex (or concave) in.
        context: columns in which it is free.
        curvature: `convex` or `concave`; the network in the file is -f for a concave f.
        increasing: columns in which f increases.
        decreasing: columns in which f decreases.
    """

    target: str
    x: list[str]
    context: list[str]
    curvature: str = "convex"
    increasing: list[str] | None = None
    decreasing: list[str] | None = None

    @property
    def sign(self) -> int:
        """1 where the network is f, -1 where it is -f."""
        return -1 if self.curvature == "concave" else 1

    @property
    def inputs(self) -> list[str]:
        """Columns that a prediction needs."""
        return [*self.x, *self.context]

    def split(self, inputs: Array) -> tuple[Array, Array | None]:
        """Return x and the context of rows, each in memory of its own."""
        n, p = len(self.x), len(self.context)
        return inputs[:, :n].copy(), inputs[:, n : n + p].copy() if p else None

    def sentence(self) -> str:
        """Return what the function is, in words."""
        parts = [f"{self.target}, {self.curvature} in {', '.join(self.x)}"]
        parts += [f"free in {', '.join(self.context)}"] if self.context else []
        parts += [f"increasing in {', '.join(self.increasing)}"] if self.increasing else []
        parts += [f"decreasing in {', '.join(self.decreasing)}"] if self.decreasing else []
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return the roles as JSON values."""
        return asdict(self)


@final
@dataclass(frozen=True, eq=False)
class TableModel:
    """A network with the names of its columns.

    Args:
        network: the network, in float64.
        roles: names and roles of the columns.
        metadata: what else the file says.
    """

    network: Any
    roles: TableRoles
    metadata: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the model in a file.

        Raises:
            FileError: the file is missing or damaged, or was not fitted to a table with `--target`.
        """
        network, roles, metadata = load_model(path), *roles_in(path)
        if roles is None:
            raise FileError(
                f"{path} does not name the columns of a table; fit one with `socicnn fit DATA --target NAME --out "
                f"{path}`"
            )
        return cls(network, roles, metadata)

    def table(self, path: Path, *, target: bool) -> NumberTable:
        """Return the rows of a file: x, then the context, then, if asked, the target."""
        names = [*self.roles.inputs, *([self.roles.target] if target else [])]
        return numbers(path, read_frame(path), names)

    def predict(self, inputs: Array) -> Array:
        """Return f at rows of x and context, shape `(rows,)`."""
        import torch

        x, theta = self.roles.split(inputs)
        values = []
        with torch.no_grad():
            for first in range(0, len(x), CHUNK):
                part = slice(first, first + CHUNK)
                context = None if theta is None else torch.from_numpy(theta[part])
                values.append(self.network(torch.from_numpy(x[part]), context).numpy())
        return np.asarray(self.roles.sign * np.concatenate(values))

    def outside(self, inputs: Array) -> Array:
        """Return whether each row leaves the ranges of the training data."""
        x, theta = self.roles.split(inputs)
        away = self.network.ranges.outside_x(x)
        return np.asarray(away if theta is None else away | self.network.ranges.outside_context(theta))


def roles_in(path: Path) -> tuple[TableRoles | None, dict[str, Any]]:
    """Return the names that a model file holds, or None, and all of its metadata."""
    from socicnn.frozen._storage import is_frozen
    from socicnn.nn import load_metadata

    if path.suffix.lower() != ".safetensors" or is_frozen(path):
        return None, {}
    metadata = load_metadata(path)
    entry = metadata.get(KEY)
    if not isinstance(entry, dict):
        return None, metadata
    try:
        return TableRoles(**entry), metadata
    except TypeError:
        raise FileError(f"{path} names the columns of its table in a way that this version does not read") from None
