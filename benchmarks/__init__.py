"""Measurements to run by hand: speed, soundness, damages; `python -m benchmarks.NAME --help` says how."""
