"""Decisions under a user's own CVXPY constraints: the exact program, points repaired into the set, proven bounds."""
