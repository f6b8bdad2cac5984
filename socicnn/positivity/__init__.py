"""Ways to keep weights non-negative (recipes) and to start them (initialisers), by value or by short name."""

from socicnn._faces import face

_MOVED = {name: f"socicnn.positivity._controls:{name}" for name in ("Biased", "Noisy")}
__all__ = face(__name__)
