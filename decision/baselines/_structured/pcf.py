"""The structured stand-in for a learned parametric convex function (PCF), in disciplined form."""

from __future__ import annotations

from typing import final

from decision._atoms import NormAtom
from decision.baselines._structured.base import Structured
from socicnn.nn._kinds import NETWORKS


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
        options: as in `Structured`.
        settings: as in `Structured`.

    >>> sum(parameter.numel() for parameter in StructuredPCF(10).parameters())
    753
    """

    atoms = (NormAtom(), NormAtom())
    diagonal = True


NETWORKS.register("StructuredPCF", StructuredPCF)  # files of it can be loaded from now on
