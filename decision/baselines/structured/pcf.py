"""The structured stand-in for a learned parametric convex function (PCF), in disciplined form."""

from __future__ import annotations

from typing import final

import torch

from decision.atoms import NormAtom
from decision.baselines.structured.base import Structured
from socicnn.nn.kinds import NETWORKS
from socicnn.nn.options import NetOptions
from socicnn.positivity.base import Recipe
from socicnn.positivity.initial import Initialiser


@final
class StructuredPCF(Structured):
    """f = q(theta)'x + c(theta) + 1/2 sum_i d_i(theta) (x_i - m_i(theta))^2 + two weighted norms of 12 rows.

    All heads are affine in theta, d and the norms' weights through a softplus. It is a second-order cone program, so
    that `freeze`, `verify` and exact decisions work as for a network. With p = 8 it has 51 n + 243 parameters: three
    heads of n and one of 1 (27 n + 9), and for each norm 12 n of the matrix, 108 of the offsets and 9 of the weight.

    Args:
        in_features: length n of x.
        context_features: length p of theta.
        rows: rows of each norm.
        positivity: recipe, for the interface of the networks; every non-negative number here is a head's.
        readout: recipe whose `emit` reads the non-negative heads; that of `positivity` if omitted.
        initialiser: for the interface of the networks; `Structured` says how it starts.
        generator: source of the initial weights; torch's own if omitted.
        dtype: floating type; torch's default if omitted.
        device: where the tensors live.

    >>> sum(parameter.numel() for parameter in StructuredPCF(10).parameters())
    753
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
        super().__init__(in_features, context_features, (NormAtom(), NormAtom()), rows, diagonal=True, options=options)


NETWORKS.register("StructuredPCF", StructuredPCF)  # files of it can be loaded from now on
