"""The structured stand-in for a differentiable convex layer (DCP), in disciplined form."""

from __future__ import annotations

from typing import final

import torch

from decision.atoms import Logistic, NormAtom, SquareAtom
from decision.baselines.structured.base import Structured
from socicnn.nn.kinds import NETWORKS
from socicnn.nn.options import NetOptions
from socicnn.positivity.base import Recipe
from socicnn.positivity.initial import Initialiser


@final
class StructuredDCP(Structured):
    """f = q(theta)'x + c(theta) + 12 weighted softplus atoms + 12 weighted squares + two weighted norms of 12 rows.

    All heads are affine in theta, the weights through a softplus. The softplus atoms need exponential cones: exact
    decisions go through `minimize`, `freeze` refuses. With p = 8 it has 57 n + 675 parameters: 9 n + 9 of q and c; for
    the softplus atoms and for the squares 12 n of the matrix, 108 of the offsets, 108 of the weights; for each norm
    12 n, 108 and 9.

    Args:
        in_features: length n of x.
        context_features: length p of theta.
        rows: number of softplus atoms, of squares, and rows of each norm.
        positivity: recipe, for the interface of the networks; every non-negative number here is a head's.
        readout: recipe whose `emit` reads the non-negative heads; that of `positivity` if omitted.
        initialiser: for the interface of the networks; `Structured` says how it starts.
        generator: source of the initial weights; torch's own if omitted.
        dtype: floating type; torch's default if omitted.
        device: where the tensors live.

    >>> sum(parameter.numel() for parameter in StructuredDCP(10).parameters())
    1245
    """

    def __init__(
        self,
        in_features: int,
        context_features: int = 8,
        *,
        rows: int = 12,
        positivity: Recipe | str = "softplus",
        readout: Recipe | str | None = None,
        initialiser: Initialiser | str = "principled",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        options = NetOptions(positivity, readout, initialiser, generator=generator, dtype=dtype, device=device)
        atoms = (Logistic(), SquareAtom(), NormAtom(), NormAtom())
        super().__init__(in_features, context_features, atoms, rows, diagonal=False, options=options)


NETWORKS.register("StructuredDCP", StructuredDCP)  # files of it can be loaded from now on
