#!/usr/bin/env bash
# Surprise: HiGHS and SCIP drop entries up to 1e-9 from a model; the optimum changes and is called optimal.
# Guess: An entry of 1e-9 beside a variable of 1e9 counts 1, and all solvers find the same optimum, 1.
# Seen: min x, x >= 1e-9 y, y = 1e9: HiGHS and SCIP say 0, optimal; GLPK says 1. HiGHS's only sign is the status
#   kWarning of readModel.
# In this project: The MPS writer multiplies such rows by a power of two, which rounds nothing, or refuses the program; a
#   test has a network that HiGHS would read as 0.
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
 x OBJ 1.0 R1 -1.0
 y R1 1e-9
RHS
 RHS R1 0.0
BOUNDS
 FX BND y 1e9
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
ok = highs == ("Optimal", 0.0) and scip == ("optimal", 0.0) and glpk_answer[0] and abs(glpk_answer[1] - 1) < 1e-9

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
