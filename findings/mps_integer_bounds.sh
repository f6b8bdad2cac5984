#!/usr/bin/env bash
# Surprise: An integer column with the bound LO 0 alone goes up to 1 in GLPK, and has no upper bound in HiGHS and
#   SCIP.
# Guess: LO 0 says what the default is already, and all readers give an integer column the same bounds.
# Seen: max x, x <= 7, x integer, LO 0: HiGHS and SCIP find 7, GLPK finds 1: its integer columns keep the upper
#   bound 1 until the file names another.
# In this project: Integer variables are added to exported programs by users; the table says: name both bounds of every
#   integer column.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 highspy==1.15.1 swiglpk==5.0.13 PySCIPOpt==6.3.0
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import highspy
import pyscipopt
import swiglpk as glpk

FILE = """NAME P
ROWS
 N OBJ
 L R1
COLUMNS
 M1 'MARKER' 'INTORG'
 x OBJ -1.0 R1 1.0
 M2 'MARKER' 'INTEND'
RHS
 RHS R1 7.0
BOUNDS
 LO BND x 0.0
ENDATA
"""

def by_highs(path):
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.readModel(path)
    solver.run()
    return solver.modelStatusToString(solver.getModelStatus()), solver.getInfo().objective_function_value


open("p.mps", "w").write(FILE)
print(*(f"{name} {version(name)}" for name in ("highspy", "swiglpk", "PySCIPOpt")))
glpk.glp_term_out(glpk.GLP_OFF)
problem = glpk.glp_create_prob()
assert glpk.glp_read_mps(problem, glpk.GLP_MPS_FILE, None, "p.mps") == 0
upper = glpk.glp_get_col_ub(problem, 1)
glpk.glp_simplex(problem, None)
glpk.glp_intopt(problem, None)
found = glpk.glp_mip_obj_val(problem)
scip = pyscipopt.Model()
scip.hideOutput()
scip.readProblem("p.mps")
scip.optimize()
print("HiGHS", by_highs("p.mps"), "SCIP", scip.getObjVal(), "GLPK", found, "with the upper bound", upper)
ok = by_highs("p.mps") == ("Optimal", -7.0) and abs(scip.getObjVal() + 7) < 1e-6 and found == -1 and upper == 1

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
