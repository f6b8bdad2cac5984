"""Compare the ways to keep weights non-negative, on log-concave energies (in progress)."""
