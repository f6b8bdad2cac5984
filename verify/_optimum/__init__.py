"""Bounds of the optimal value of a linear, quadratic or second-order cone program, proven in real arithmetic."""
