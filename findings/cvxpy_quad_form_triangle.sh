#!/usr/bin/env bash
# Surprise: CVXPY takes a nearly symmetric matrix for quad_form and gives Clarabel its upper triangle: another problem.
# Guess: A matrix that passes the check of symmetry is made symmetric, or the difference is too small to matter.
# Seen: Q = [[2e-9, 2e-9], [0, 2e-9]] is accepted, as all entries are within 1e-8 of the transpose's. min x'Qx - 1e-5 x_1 is
#   "unbounded"; with (Q + Q') / 2, the same function, x is (3333.3, -1666.7).
# In this project: verify.optimum proves the function's own minimum: it makes P symmetric first.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 cvxpy==1.9.3 clarabel==0.11.1
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import cvxpy as cp
import numpy as np

x = cp.Variable(2)
Q = np.array([[2e-9, 2e-9], [0.0, 2e-9]])


def solved(P):
    """Return the status and the minimiser of x'Px - 1e-5 x_1."""
    problem = cp.Problem(cp.Minimize(cp.quad_form(x, P) - 1e-5 * x[0]))
    problem.solve(solver="CLARABEL")
    return problem.status, None if x.value is None else x.value.round(1)


print(*(f"{name} {version(name)}" for name in ("cvxpy", "clarabel")))
given, symmetric = solved(Q), solved((Q + Q.T) / 2)
print("as given:", *given, "| symmetric:", *symmetric)
ok = given[0] == "unbounded" and symmetric[0] == "optimal" and np.allclose(symmetric[1], [3333.3, -1666.7])

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
