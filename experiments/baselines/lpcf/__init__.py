"""The function of lpcf as a baseline, fitted in an environment of its own."""
