"""Feasible sets to test with, of every class: small and large, with fixed coordinates and single points."""

import numpy as np
import torch

from decision.sets import Box, Budget, Simplex

EQUALITIES = (
    *((1, 0.4), (1, 1.0), (3, 0.0), (3, 3.0), (5, 0.2)),
    *((5, 2.0), (5, 4.7), (10, 3.0), (10, 5.5), (50, 15.0)),
)
INEQUALITIES = ((1, 0.4), (3, 0.0), (3, 3.0), (3, 7.0), (3, 1e20), (5, 0.2), (5, 2.0), (10, 5.5))


def boxes() -> list[Box]:
    """Return boxes."""
    return [
        Box(1),
        Box(5),
        Box(3, lower=-2.0, upper=[1.0, -2.0, 3.0]),  # one coordinate fixed
        Box(2, lower=0.5, upper=0.5),  # a point
        Box(4, lower=torch.tensor([-1.0, 0.0, 1.0, 2.0]), upper=np.full(4, 5.0)),
    ]


def budgets(*, equality: bool) -> list[Budget]:
    """Return budgets that are to be spent, or that are upper bounds."""
    return [Budget(n, total, equality=equality) for n, total in (EQUALITIES if equality else INEQUALITIES)]


def simplices() -> list[Simplex]:
    """Return simplices."""
    return [Simplex(n) for n in (1, 2, 5, 50)]
