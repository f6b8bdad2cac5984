"""A network as float64 arrays: what a user writes by hand, what importers read and what the compiler takes."""

from socicnn._faces import face

__all__ = face(__name__)
