"""Experiment 2 of the SOC-ICNN paper: ten convex targets, trained as the paper does and to the end."""
