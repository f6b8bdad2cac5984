"""Ways to keep weights non-negative (recipes) and to start them (initialisers), by value or by short name."""

from socicnn._faces import face

__all__ = face(__name__)
