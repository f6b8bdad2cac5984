#!/usr/bin/env bash
# Surprise: cvxpy's partial_optimize raises AttributeError beside a square, and works beside every other convex
#   term.
# Guess: The partial minimum is a convex expression that may be added to any other one.
# Seen: g(y) = min_z |y - z| + |z|: g + |y - 3| and g + exp(-y) are solved, g + (y - 3)^2 raises AttributeError:
#   'Minimize' object has no attribute 'is_constant'.
# In this project: to_cvxpy gives the cost with its auxiliary variables as one expression, without partial_optimize, and
#   so is added to squares.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 scipy==1.17.1 cvxpy==1.9.3 clarabel==0.11.1
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import cvxpy as cp
from cvxpy.transforms.partial_optimize import partial_optimize

y, z = cp.Variable(), cp.Variable()
g = partial_optimize(cp.Problem(cp.Minimize(cp.abs(y - z) + cp.abs(z))), opt_vars=[z], dont_opt_vars=[y])


def minimum(term):
    problem = cp.Problem(cp.Minimize(g + term))
    try:
        return float(problem.solve(solver=cp.CLARABEL))
    except AttributeError as error:
        return f"AttributeError: {error}"


print("cvxpy", version("cvxpy"), "convex:", (g + cp.square(y - 3)).is_convex())
found = minimum(cp.abs(y - 3)), minimum(cp.exp(-y)), minimum(cp.square(y - 3))
print("minimum of g plus |y - 3|, exp(-y), (y - 3)^2:", found)
ok = abs(found[0] - 3) < 1e-6 and abs(found[1] - 1) < 1e-6 and "is_constant" in str(found[2])

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
