#!/usr/bin/env bash
# Surprise: HiGHS adds 1e-7 to the curvature of a quadratic program, calls the answer optimal, and calls bounded programs
#   unbounded whose curvature is less than half of that.
# Guess: The regularisation is taken out again, and min 0.5 q x^2 - x over x >= 0 has its x = 1 / q for q = 1e-8 too.
# Seen: x q is 0.990 at q = 1e-5, 0.909 at 1e-6, 0.5 at 1e-7, all "Optimal"; at 1e-8 "Unbounded", and "Optimal" with
#   x q = 0.091 once x <= 1e9. With qp_regularization_value = 0 all are right.
# In this project: The adapter gives HiGHS linear programs alone. Who solves an exported quadratic branch with HiGHS sets
#   qp_regularization_value to 0, or scales the variables.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 highspy==1.15.1
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import highspy
import numpy as np


def solved(curvature, upper=highspy.kHighsInf, regularisation=None):
    """Return the status of min 0.5 q x^2 - x over 0 <= x <= upper, and x q, which is 1 at the optimum."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    if regularisation is not None:
        solver.setOptionValue("qp_regularization_value", regularisation)
    solver.addVars(1, np.array([0.0]), np.array([upper]))
    solver.changeColCost(0, -1.0)
    square = highspy.HighsHessian()
    square.dim_, square.format_ = 1, highspy.HessianFormat.kTriangular
    square.start_, square.index_, square.value_ = np.array([0, 1]), np.array([0]), np.array([curvature])
    solver.passHessian(square)
    solver.run()
    return solver.modelStatusToString(solver.getModelStatus()), solver.getSolution().col_value[0] * curvature


print("highspy", version("highspy"))
ok = True
for curvature, share in ((1e-5, 1 / 1.01), (1e-6, 1 / 1.1), (1e-7, 0.5)):
    status, x = solved(curvature)
    print(f"curvature {curvature:g}: {status}, {x:.4f} of the minimiser")
    ok &= status == "Optimal" and abs(x - share) < 1e-3
    ok &= abs(solved(curvature, regularisation=0.0)[1] - 1) < 1e-3
free, bounded, exact = solved(1e-8), solved(1e-8, 1e9), solved(1e-8, 1e9, 0.0)
print("curvature 1e-08:", *free, "| with x <= 1e9:", *bounded, "| and without regularisation:", *exact)
ok &= free[0] == "Unbounded" and bounded[0] == "Optimal" and bounded[1] < 0.2 and abs(exact[1] - 1) < 1e-3

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
