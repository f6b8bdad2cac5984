#!/usr/bin/env bash
# Surprise: HiGHS and GLPK read all 17 digits of an MPS file and write 15: a model that is written is another model.
# Guess: A number that was read is written so that it is read back to the last bit.
# Seen: 0.30000000000000004 is read exactly by both, and written as 0.3 by both.
# In this project: Our writers use 17 digits and a test reads them back; a file that went through a solver's writer is
#   not the program any more, and proofs refuse it.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 highspy==1.15.1 swiglpk==5.0.13
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import highspy
import swiglpk as glpk

VALUE = 0.1 + 0.2
FILE = f"""NAME P
ROWS
 N OBJ
 G R1
COLUMNS
 x OBJ 1.0
 x R1 {VALUE!r}
RHS
 RHS R1 1.0
ENDATA
"""


def in_highs(path, writes=None):
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.readModel(path)
    if writes:
        solver.writeModel(writes)
    return solver.getLp().a_matrix_.value_[0]


def in_glpk(path, writes=None):
    glpk.glp_term_out(glpk.GLP_OFF)
    problem = glpk.glp_create_prob()
    assert glpk.glp_read_mps(problem, glpk.GLP_MPS_FILE, None, path) == 0
    if writes:
        glpk.glp_write_mps(problem, glpk.GLP_MPS_FILE, None, writes)
    values = glpk.doubleArray(2)
    glpk.glp_get_mat_row(problem, 1, glpk.intArray(2), values)
    return values[1]


open("p.mps", "w").write(FILE)
print(*(f"{name} {version(name)}" for name in ("highspy", "swiglpk")))
first = in_highs("p.mps", writes="highs.mps"), in_glpk("p.mps", writes="glpk.mps")
again = in_highs("highs.mps"), in_glpk("glpk.mps")
print("read", first, "read after being written", again)
ok = first == (VALUE, VALUE) and again == (0.3, 0.3)

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
