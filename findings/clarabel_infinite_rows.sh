#!/usr/bin/env bash
# Surprise: Clarabel drops rows whose right-hand side is 1e20, and afterwards refuses update() because of it.
# Guess: x <= 1e20 is a constraint like any other, and whether update(b=) works does not depend on the numbers.
# Seen: max x, 0 <= x <= B: Solved at B = 1e19, DualInfeasible at 1e20, where ECOS finds 1e20. With B = 1e20,
#   update(b=) raises (presolver is active); with B = 2 it works.
# In this project: The Clarabel adapter turns presolve off, so that prepared programs take every right-hand side.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 scipy==1.17.1 clarabel==0.11.1 ecos==2.0.14
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import clarabel
import ecos
import numpy as np
from scipy import sparse

ROWS = sparse.csc_matrix([[1.0], [-1.0]])


def prepared(bound):
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cones = [clarabel.NonnegativeConeT(2)]
    return clarabel.DefaultSolver(
        sparse.csc_matrix((1, 1)), -np.ones(1), ROWS, np.array([bound, 0.0]), cones, settings
    )


def updated(bound):
    solver = prepared(bound)
    solver.solve()
    try:
        solver.update(b=np.array([3.0, 0.0]))
    except Exception as error:
        return str(error)
    return round(solver.solve().x[0], 6)


print(*(f"{name} {version(name)}" for name in ("clarabel", "ecos")))
statuses = [str(prepared(bound).solve().status) for bound in (1e19, 1e20)]
by_ecos = ecos.solve(-np.ones(1), ROWS, np.array([1e20, 0.0]), {"l": 2, "q": [], "e": 0}, verbose=False)["x"][0]
print("B = 1e19, 1e20:", statuses, "ECOS at 1e20:", by_ecos)
print("after update(b=3): from B = 2", updated(2.0), "from B = 1e20", updated(1e20))
ok = statuses == ["Solved", "DualInfeasible"] and abs(by_ecos / 1e20 - 1) < 1e-6
ok = ok and updated(2.0) == 3.0 and "presolver" in str(updated(1e20))

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
