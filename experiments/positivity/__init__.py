"""The recipes for non-negative weights on densities in one dimension."""
