"""Sweeps that resume: cells, their store and tables, the command line that every experiment shares."""
