"""The kinds of networks that the estimator fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from socicnn._registry import choose
from socicnn.nn import SOCICNN, NetOptions
from socicnn.positivity import Recipe, RecipeName
from socicnn.regression._columns import Columns

Kind = Literal["stacked", "relu", "softplus", "quad", "norm", "soc"]
KINDS: tuple[Kind, ...] = ("stacked", "relu", "softplus", "quad", "norm", "soc")
WIDEST = 16  # rows of a branch at most, unless asked for


def network(
    kind: Kind,
    hidden: Sequence[int],
    columns: Columns,
    *,
    recipe: Recipe | RecipeName,
    nonnegative: bool,
    seed: int,
) -> SOCICNN:
    """Return a fresh float64 network of a kind.

    `relu` and `softplus` have units alone, `quad` a quadratic branch too, `norm` two norm branches, `soc` all three;
    `stacked` is `soc` here, before planes are added.
    Monotone columns are in the units alone; where every column is monotone there are no branches.

    Args:
        kind: the kind.
        hidden: widths of the hidden layers.
        columns: of the table.
        recipe: how weights are kept non-negative.
        nonnegative: whether f >= 0 by construction.
        seed: of the initial weights.

    Raises:
        ModelError: an unknown kind, or widths that are not integers >= 1.
    """
    choose("kind", kind, KINDS)
    rows = min(WIDEST, columns.signs.count(0))
    quadratic = (rows,) if kind in ("quad", "soc", "stacked") and rows else ()
    norm = (rows, rows) if kind in ("norm", "soc", "stacked") and rows else ()
    options = NetOptions(
        positivity=recipe,
        monotone=columns.signs if any(columns.signs) else None,
        nonnegative=nonnegative,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    return SOCICNN(
        len(columns.x),
        hidden,
        quadratic,
        norm,
        context_features=len(columns.context),
        activation="softplus" if kind == "softplus" else "relu",
        options=options,
    )
