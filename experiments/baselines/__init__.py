"""What the networks are compared with in the experiments alone: lpcf, and the benchmark authors' own way."""
