#!/usr/bin/env bash
# Surprise: GLPK reads the constant of an MPS objective with the opposite sign to HiGHS and SCIP.
# Guess: All readers take a right-hand side of the objective row with one sign, as a constant that is subtracted.
# Seen: min x, x >= 1, right-hand side 5 of the objective row: HiGHS and SCIP say -4, GLPK says 6. All say optimal.
# In this project: The MPS writer puts the constant on a column that is fixed to 1; a test reads the file with all three.
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
 G R1
COLUMNS
 x OBJ 1.0 R1 1.0
RHS
 RHS R1 1.0 OBJ 5.0
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


def by_scip(path):
    model = pyscipopt.Model()
    model.hideOutput()
    model.readProblem(path)
    model.optimize()
    return model.getStatus(), model.getObjVal()


open("p.mps", "w").write(FILE)
print(*(f"{name} {version(name)}" for name in ("highspy", "swiglpk", "PySCIPOpt")))
highs, glpk_answer, scip = by_highs("p.mps"), by_glpk("p.mps"), by_scip("p.mps")
print("HiGHS", highs, "GLPK", glpk_answer, "SCIP", scip)
ok = highs[1] == -4 and abs(scip[1] + 4) < 1e-9 and glpk_answer == (True, 6.0)

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
