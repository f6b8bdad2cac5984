"""The experiments: one module each, run as `python -m experiments.NAME --preset tiny|paper`."""
