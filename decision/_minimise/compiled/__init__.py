"""The interior-point method in compiled loops, one context after the other, for networks of at most one hidden layer.

It is used where the package numba is installed (extra `fast`). What it finds is proven like everything else, and
contexts that it loses go to the other methods.
"""
