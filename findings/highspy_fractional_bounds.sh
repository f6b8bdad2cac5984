#!/usr/bin/env bash
# Surprise: HiGHS calls a wrong answer optimal where integer columns have fractional bounds.
# Guess: Bounds of 2.5 on integer columns mean what bounds of 2 mean.
# Seen: max 5 x + 4 y, 6 x + 4 y <= 24, x + 2 y <= 6, x and y whole in [0, 2.5]: "Optimal", 14, at (2, 1). The optimum is
#   18, at (2, 2). With bounds of 2, or without presolve, HiGHS finds it.
# In this project: verify.optimum proves 18: it rounds bounds of integers inwards, and takes no solver's word.
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


def solved(upper, **options):
    """Return status, value and point of max 5 x + 4 y for these upper bounds."""
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    for name, value in options.items():
        solver.setOptionValue(name, value)
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = 2, 2
    program.col_cost_ = np.array([-5.0, -4.0])
    program.col_lower_, program.col_upper_ = np.zeros(2), np.full(2, upper)
    program.row_lower_, program.row_upper_ = np.full(2, -highspy.kHighsInf), np.array([24.0, 6.0])
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_, program.a_matrix_.index_ = np.array([0, 2, 4]), np.array([0, 1, 0, 1])
    program.a_matrix_.value_ = np.array([6.0, 1.0, 4.0, 2.0])
    program.integrality_ = [highspy.HighsVarType.kInteger] * 2
    solver.passModel(program)
    solver.run()
    status = solver.modelStatusToString(solver.getModelStatus())
    return status, -solver.getInfo().objective_function_value, list(solver.getSolution().col_value)


print("highspy", version("highspy"))
wrong, whole, plain = solved(2.5), solved(2.0), solved(2.5, presolve="off")
print("bounds 2.5:", *wrong, "| bounds 2:", *whole, "| bounds 2.5 without presolve:", *plain)
ok = wrong[:2] == ("Optimal", 14.0) and whole[:2] == ("Optimal", 18.0) and plain[:2] == ("Optimal", 18.0)

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
