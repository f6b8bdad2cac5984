"""Minimise surrogates over sets: one stack of networks, several methods, proven bounds."""
