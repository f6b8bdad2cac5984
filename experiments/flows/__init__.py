"""Convex potential flows: recipes and starts over many seeds, in one block and in several."""
