"""The structured stand-in for a differentiable convex layer (DCP), in disciplined form."""

from __future__ import annotations

from typing import final

from decision._atoms import LogisticAtom, NormAtom, SquareAtom
from decision.baselines._structured.base import Structured
from socicnn.nn._kinds import NETWORKS


@final
class StructuredDCP(Structured):
    """f = q(theta)'x + c(theta) + 12 weighted softplus atoms + 12 weighted squares + two weighted norms of 12 rows.

    All heads are affine in theta, the weights through a softplus. The softplus atoms are a logistic branch of its
    program, exponential cones: `decide` proves its gaps, and `minimise` goes through CVXPY. With p = 8 it has
    57 n + 675 parameters: 9 n + 9 of q and c; for the softplus atoms and for the squares 12 n of the matrix, 108 of the
    offsets, 108 of the weights; for each norm 12 n, 108 and 9.

    Args:
        in_features: length n of x.
        context_features: length p of theta.
        rows: number of softplus atoms, of squares, and rows of each norm.
        options: as in `Structured`.
        settings: as in `Structured`.

    >>> sum(parameter.numel() for parameter in StructuredDCP(10).parameters())
    1245
    """

    atoms = (LogisticAtom(), SquareAtom(), NormAtom(), NormAtom())
    diagonal = False


NETWORKS.register("StructuredDCP", StructuredDCP)  # files of it can be loaded from now on
