"""A batched primal-dual interior-point method for stacks of networks over polyhedra."""

from decision._minimise.interior.method import follow as follow
from decision._minimise.interior.method import is_small as is_small
from decision._minimise.interior.polyhedron import Polyhedron as Polyhedron

__all__ = ["Polyhedron", "follow", "is_small"]
