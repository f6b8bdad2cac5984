#!/usr/bin/env bash
# Surprise: CVXPY drops small eigenvalues of the matrix of a quad_form in a constraint: a bounded problem is unbounded.
# Guess: x' diag(1, 1e-11) x <= 1 is the ellipse that it is, up to the solver's accuracy.
# Seen: max x_2 under it is "unbounded" by Clarabel, SCS and ECOS; the maximum is 316227.77. With diag(1, 1e-10) and
#   x_2 <= 1e8 the answer is 1e8, "optimal", where the constraint is violated by 1e6; sum_squares(diag(1, 1e-5) x) <= 1,
#   which is the same set, gives 1e5.
# In this project: verify.optimum and decide refuse a quad_form whose factor is more than rounding off, and name
#   sum_squares(F @ x) as the way out; the bracket says that it is proven for the factor.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 cvxpy==1.9.3 clarabel==0.11.1 scs==3.3.1 ecos==2.0.14
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import cvxpy as cp
import numpy as np

x = cp.Variable(2)
print(*(f"{name} {version(name)}" for name in ("cvxpy", "clarabel", "scs", "ecos")))
ellipse = cp.Problem(cp.Maximize(x[1]), [cp.quad_form(x, np.diag([1.0, 1e-11])) <= 1])
said = []
for solver in ("CLARABEL", "SCS", "ECOS"):
    ellipse.solve(solver=solver)
    said.append(ellipse.status)
print("eigenvalue 1e-11:", *said, "| the maximum is", round(1 / np.sqrt(1e-11), 2))
wide = cp.Problem(cp.Maximize(x[1]), [cp.quad_form(x, np.diag([1.0, 1e-10])) <= 1, x[1] <= 1e8])
wide.solve(solver="CLARABEL")
off = float(wide.constraints[0].violation())
same = cp.Problem(cp.Maximize(x[1]), [cp.sum_squares(np.diag([1.0, 1e-5]) @ x) <= 1, x[1] <= 1e8])
same.solve(solver="CLARABEL")
print(f"eigenvalue 1e-10: {wide.status} {wide.value:.6g}, violation {off:.3g} | by sum_squares: {same.value:.6g}")
ok = set(said) == {"unbounded"} and wide.status == "optimal" and abs(wide.value - 1e8) < 1 and off > 1e5
ok &= abs(same.value - 1e5) < 1

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
