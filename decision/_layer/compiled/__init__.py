"""The face of one context after another in compiled loops; what they cannot solve is left to the batched way."""

from decision._layer.compiled.method import adjoint_by_loops as adjoint_by_loops
from decision._layer.compiled.method import polished_by_loops as polished_by_loops

__all__ = ["adjoint_by_loops", "polished_by_loops"]
