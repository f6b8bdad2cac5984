#!/usr/bin/env bash
# Surprise: a problem with cvar can be solved, and the next problem with it in the same variables raises TypeError.
# Guess: the values that variables have after a solve are at most a start for the next.
# Seen: with the conditional value at risk of 90 losses at 0.95 (4.5 of them) the first problem is solved; a second one, with one bound
#   more, raises TypeError: CVXPY starts its new variables from the values, and takes 4.5 for an index.
# In this project: `verify.optimum`, `decide` and CVXPY sets have the data written without the values of variables.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile cvxpy==1.9.3 clarabel==0.11.1 numpy==2.4.6
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import cvxpy as cp
import numpy as np

losses = np.random.default_rng(0).normal(size=(90, 4))
weights = cp.Variable(4, nonneg=True)
constraints = [cp.sum(weights) == 1]
risk = cp.cvar(losses @ weights, 0.95)
print("cvxpy", version("cvxpy"))
seen = []
for further in ([], [weights <= 0.5]):
    try:
        cp.Problem(cp.Minimize(risk), constraints + further).solve(solver=cp.CLARABEL)
        seen.append("solved")
    except TypeError as error:
        seen.append("TypeError")
        print(error)
weights.value = None
cp.Problem(cp.Minimize(risk), constraints + [weights <= 0.5]).solve(solver=cp.CLARABEL)
seen.append("solved")
print("first, second, second after weights.value = None:", seen)
if seen != ["solved", "TypeError", "solved"]:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
