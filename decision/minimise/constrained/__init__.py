"""Decisions under a user's own CVXPY constraints: the exact program, points repaired into the set, proven bounds."""

from decision.minimise.constrained.constraints import Constraints
from decision.minimise.constrained.solve import Found, solve_constrained

__all__ = ["Constraints", "Found", "solve_constrained"]
