"""Decisions: minimise a learned convex cost over a set, with a certified gap, and judge the decision by its regret."""

from socicnn._faces import face

__all__ = face(__name__)
