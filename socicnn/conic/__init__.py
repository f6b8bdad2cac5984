"""Conic programs: their arrays, their solvers, their files."""

from socicnn._faces import face

__all__ = face(__name__)
