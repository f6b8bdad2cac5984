#!/usr/bin/env bash
# Surprise: cvxpy solves a problem with FiniteSet as if it were none of integers: the answer is outside the set, and
#   "optimal".
# Guess: the booleans that FiniteSet brings make the problem mixed-integer: is_mixed_integer() is True, a solver without
#   integers is refused, as it is for Variable(boolean=True), and the one that cvxpy chooses has integers.
# Seen: is_mixed_integer() is False. For x in {0, 1, 4} and the least |x - 2|, Clarabel and the solver that cvxpy chooses
#   give x = 2 and "optimal"; HiGHS, named by the user, gives 1.
# In this project: verify.optimum takes the integers from the problem's data, not from is_mixed_integer(); decide refuses
#   a FiniteSet.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 scipy==1.17.1 cvxpy==1.9.3 clarabel==0.11.1 highspy==1.15.1
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import cvxpy as cp
from cvxpy.constraints import FiniteSet


def nearest(**solver):
    """Return the point of {0, 1, 4} nearest to 2, the status and whether cvxpy knows of integers."""
    x = cp.Variable()
    problem = cp.Problem(cp.Minimize(cp.abs(x - 2)), [FiniteSet(x, [0.0, 1.0, 4.0])])
    problem.solve(**solver)
    return round(float(x.value), 4), problem.status, problem.is_mixed_integer()


print("cvxpy", version("cvxpy"), "clarabel", version("clarabel"), "highspy", version("highspy"))
clarabel, chosen, highs = nearest(solver=cp.CLARABEL), nearest(), nearest(solver=cp.HIGHS)
print("Clarabel:", clarabel, "| chosen by cvxpy:", chosen, "| HiGHS:", highs)
if (clarabel, highs) != ((2.0, "optimal", False), (1.0, "optimal", False)) or chosen[0] != 2.0:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
