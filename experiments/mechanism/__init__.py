"""How the lift is said to work, measured: cross-covariance, curvature, shoulder and escape."""
