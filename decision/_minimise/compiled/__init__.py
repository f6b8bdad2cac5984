"""The interior-point method in compiled loops, one context after the other, for networks of at most one hidden layer.

It is used where the package numba is installed (extra `fast`). What it finds is proven like everything else, and
contexts that it loses go to the other methods.
"""

from decision._minimise.compiled.measure import Measure as Measure
from decision._minimise.compiled.method import compiled_answers as compiled_answers

__all__ = ["Measure", "compiled_answers"]
