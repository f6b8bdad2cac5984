"""Decisions as a layer: what `DecisionLayer` is made of."""
