#!/usr/bin/env bash
# Surprise: cvxpy reads the list of whole entries of a Variable by columns, not as the list of indices that it documents.
# Guess: Variable((2, 2), integer=[(0, 0), (1, 1)]) has a whole diagonal ("a list of indices ..., where each index is a
#   tuple of length exactly equal to the length of shape"), and Variable(3, integer=[(0,), (2,)]) whole ends.
# Seen: entry (0, 1) is whole and the diagonal is not; for the vector get_problem_data raises ValueError. boolean= is
#   the same. The list is taken as one sequence per axis, as numpy.nonzero gives it: [(0, 2)] makes the vector's ends
#   whole.
# In this project: verify.optimum proves the program that cvxpy makes of a problem, with the entries that it made whole;
#   our reader of CBF files makes variables of their own for whole entries.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 scipy==1.17.1 cvxpy==1.9.3 clarabel==0.11.1 highspy==1.15.1
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import cvxpy as cp


def least(shape, integer):
    """Return the entries of least sum, all at least 0.5: 1 where they are whole."""
    x = cp.Variable(shape, integer=integer)
    try:
        cp.Problem(cp.Minimize(cp.sum(x)), [x >= 0.5]).solve(solver=cp.HIGHS)
    except ValueError as error:
        return f"ValueError: {error}"
    return x.value.round(6).tolist()


print("cvxpy", version("cvxpy"))
diagonal, ends, columns = least((2, 2), [(0, 0), (1, 1)]), least(3, [(0,), (2,)]), least(3, [(0, 2)])
print("diagonal:", diagonal, "| ends:", ends, "| ends, one sequence per axis:", columns)
if (diagonal, columns) != ([[0.5, 1.0], [0.5, 0.5]], [1.0, 0.5, 1.0]) or not str(ends).startswith("ValueError"):
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
