"""A network as float64 arrays: what a user writes by hand, what importers read and what the compiler takes."""

from socicnn.frozen._net import FrozenNet
from socicnn.frozen._parts import Layer, Norm, Output, Parts, Quadratic, Squares

__all__ = ["FrozenNet", "Layer", "Norm", "Output", "Parts", "Quadratic", "Squares"]
