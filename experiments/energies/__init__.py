"""Convex energies over images and sequences, learned from candidates and minimised: restoration and smoothing share it.

`problem.py` says what a problem is, `networks.py` which surrogates there are, `training.py` and `deciding.py` how they
are trained and minimised as the paper does and as we do, `cells.py` runs the sweep and `tables.py` sums it up.
"""
