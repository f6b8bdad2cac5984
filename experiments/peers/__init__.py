"""lpcf and layers of cvxpylayers on the tasks of experiment 3."""
