"""Mutants of programs, witnesses and compilers, which the verifier must reject."""
