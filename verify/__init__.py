"""Proofs that a network equals its conic program, from exported data alone.

Importing it needs NumPy and SciPy alone.
"""

from socicnn._faces import face

__all__ = face(__name__)
