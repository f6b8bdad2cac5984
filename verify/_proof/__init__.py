"""Proven bounds: brackets of networks in float64 and in balls, lower bounds of any program."""
