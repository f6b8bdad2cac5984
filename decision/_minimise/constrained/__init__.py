"""Decisions under a user's own CVXPY constraints: the exact program, points repaired into the set, proven bounds."""

from decision._minimise.constrained.constraints import Constraints
from decision._minimise.constrained.solve import solve_constrained

__all__ = ["Constraints", "solve_constrained"]
