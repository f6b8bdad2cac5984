#!/usr/bin/env bash
# Surprise: ECOS orders the rows of an exponential cone otherwise than SCS and Clarabel, and says infeasible of the
#   same data.
# Guess: Solvers of one family (min c'v, b - A v in the cones) take the exponential cone in one order, (x, y, z)
#   with y exp(x/y) <= z.
# Seen: min z with rows (1, 1, z): Clarabel and SCS find e = 2.71828, ECOS says primal infeasible. In its order, (x,
#   z, y), ECOS finds e too.
# In this project: Programs of this project have no exponential cones; an adapter that gains one is tested on this program,
#   whose answer no other order gives.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 scipy==1.17.1 clarabel==0.11.1 scs==3.3.1 ecos==2.0.14
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import clarabel
import ecos
import numpy as np
import scs
from scipy import sparse

COST = np.ones(1)


def cone(order):
    rows, right = np.array([[0.0], [0.0], [-1.0]]), np.array([1.0, 1.0, 0.0])
    return sparse.csc_matrix(rows[order]), right[order]


def by_ecos(order):
    rows, right = cone(order)
    answer = ecos.solve(COST, rows, right, {"l": 0, "q": [], "e": 1}, verbose=False)
    return answer["info"]["infostring"], float(answer["x"][0])


rows, right = cone([0, 1, 2])
settings = clarabel.DefaultSettings()
settings.verbose = False
solver = clarabel.DefaultSolver(sparse.csc_matrix((1, 1)), COST, rows, right, [clarabel.ExponentialConeT()], settings)
first = solver.solve().x[0]
second = scs.solve({"A": rows, "b": right, "c": COST}, {"ep": 1}, verbose=False, eps_abs=1e-9, eps_rel=1e-9)["x"][0]
print(*(f"{name} {version(name)}" for name in ("clarabel", "scs", "ecos")))
print("Clarabel", first, "SCS", second, "ECOS", by_ecos([0, 1, 2]), "ECOS in the order (x, z, y)", by_ecos([0, 2, 1]))
ok = abs(first - np.e) < 1e-5 and abs(second - np.e) < 1e-5
ok = ok and by_ecos([0, 1, 2])[0] == "Primal infeasible" and abs(by_ecos([0, 2, 1])[1] - np.e) < 1e-5

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
