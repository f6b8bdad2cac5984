"""Training and deciding as the authors of the benchmark do."""
