#!/usr/bin/env bash
# Surprise: A negative upper bound alone leaves the lower bound 0 for HiGHS and SCIP, and makes it -infinity for
#   COPT.
# Guess: All readers agree on the bounds of a column with UP -1 and no other bound.
# Seen: min x, x >= -10, UP -1: HiGHS (status kWarning) and SCIP have the bounds [0, -1] and say infeasible; COPT
#   has (-inf, -1].
# In this project: The MPS writer states the bounds of every column (FR or FX), so that no default of a reader counts.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 highspy==1.15.1 PySCIPOpt==6.3.0 coptpy==8.0.7
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import coptpy
import highspy
import pyscipopt

FILE = """NAME P
ROWS
 N OBJ
 G R1
COLUMNS
 x OBJ 1.0 R1 1.0
RHS
 RHS R1 -10.0
BOUNDS
 UP BND x -1.0
ENDATA
"""

def by_highs(path):
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.readModel(path)
    solver.run()
    return solver.modelStatusToString(solver.getModelStatus()), solver.getInfo().objective_function_value


open("p.mps", "w").write(FILE)
print(*(f"{name} {version(name)}" for name in ("highspy", "PySCIPOpt", "coptpy")))
solver = highspy.Highs()
solver.setOptionValue("output_flag", False)
solver.readModel("p.mps")
highs = solver.getLp().col_lower_[0], solver.getLp().col_upper_[0]
scip = pyscipopt.Model()
scip.hideOutput()
scip.readProblem("p.mps")
column = scip.getVars()[0]
scip = column.getLbOriginal(), column.getUbOriginal()
model = coptpy.Envr().createModel()
model.setParam("Logging", 0)
model.read("p.mps")
column = model.getVars()[0]
copt = column.LB, column.UB
print("HiGHS", highs, by_highs("p.mps"), "SCIP", scip, "COPT", copt)
ok = highs == scip == (0.0, -1.0) and copt[0] <= -1e30 and copt[1] == -1 and by_highs("p.mps")[0] == "Infeasible"

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
