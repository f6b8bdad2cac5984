"""The structured models of the benchmark: PCF and DCP."""
