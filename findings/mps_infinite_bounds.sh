#!/usr/bin/env bash
# Surprise: An upper bound of 1e20 in an MPS file is infinite for HiGHS and SCIP and a number for GLPK and COPT.
# Guess: 1e20 in BOUNDS is infinity for every reader.
# Seen: max x, UP 1e20: HiGHS and SCIP say unbounded, GLPK finds 1e20, COPT stores 1e20.
# In this project: The MPS writer brings rows with numbers of 1e20 and more down by a power of two, and refuses what it
#   cannot; sets take inf for no bound.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 highspy==1.15.1 swiglpk==5.0.13 PySCIPOpt==6.3.0 coptpy==8.0.7
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import coptpy
import highspy
import pyscipopt
import swiglpk as glpk

FILE = """NAME P
ROWS
 N OBJ
 G R1
COLUMNS
 x OBJ -1.0 R1 1.0
RHS
 RHS R1 -10.0
BOUNDS
 UP BND x 1e20
ENDATA
"""

def by_highs(path):
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.readModel(path)
    solver.run()
    return solver.modelStatusToString(solver.getModelStatus()), solver.getInfo().objective_function_value

def by_glpk(path):
    glpk.glp_term_out(glpk.GLP_OFF)
    problem = glpk.glp_create_prob()
    assert glpk.glp_read_mps(problem, glpk.GLP_MPS_FILE, None, path) == 0
    glpk.glp_simplex(problem, None)
    return glpk.glp_get_status(problem) == glpk.GLP_OPT, glpk.glp_get_obj_val(problem)


open("p.mps", "w").write(FILE)
print(*(f"{name} {version(name)}" for name in ("highspy", "swiglpk", "PySCIPOpt", "coptpy")))
scip = pyscipopt.Model()
scip.hideOutput()
scip.readProblem("p.mps")
scip.optimize()
model = coptpy.Envr().createModel()
model.setParam("Logging", 0)
model.read("p.mps")
copt = model.getVars()[0].UB
print("HiGHS", by_highs("p.mps")[0], "SCIP", scip.getStatus(), "GLPK", by_glpk("p.mps"), "COPT's upper bound", copt)
ok = by_highs("p.mps")[0] == "Unbounded" and scip.getStatus() == "unbounded" and by_glpk("p.mps") == (True, -1e20)
ok = ok and copt == 1e20

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
