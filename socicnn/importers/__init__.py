"""Networks of other tools, read as arrays."""
