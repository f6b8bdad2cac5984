"""Predict, then optimise: losses of PyEPO and surrogates of this package on the same problems."""
