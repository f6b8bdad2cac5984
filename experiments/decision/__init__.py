"""Experiment 3: surrogates decide, and the true cost judges their decisions."""
