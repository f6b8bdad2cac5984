"""The face of one context after another in compiled loops; what they cannot solve is left to the batched way."""
