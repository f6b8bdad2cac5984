"""socicnn."""
