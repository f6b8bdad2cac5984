#!/usr/bin/env bash
# Surprise: cvxpy's log_sum_exp has a finite value and the gradient nan from 710 on.
# Guess: The value of log_sum_exp at (1000, 999) is right, so its gradient is the softmax (0.731, 0.269).
# Seen: value 1000.3133, grad (nan, nan); at (709, 0) both are right. logistic, the same function of one argument,
#   is right at 1000.
# In this project: Atoms of decisions have their gradients from torch; cvxpy's grad is read nowhere.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 scipy==1.17.1 cvxpy==1.9.3 clarabel==0.11.1
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import cvxpy as cp
import numpy as np


def gradient(atom, x, point):
    x.value = np.array(point)
    with np.errstate(all="ignore"):
        return float(atom.value), np.ravel(atom.grad[x].toarray()).tolist()


x = cp.Variable(2)
print("cvxpy", version("cvxpy"))
far, near = gradient(cp.log_sum_exp(x), x, [1000.0, 999.0]), gradient(cp.log_sum_exp(x), x, [709.0, 0.0])
logistic = gradient(cp.sum(cp.logistic(x)), x, [1000.0, 0.0])
print("log_sum_exp at (1000, 999)", far, "at (709, 0)", near, "sum of logistic at (1000, 0)", logistic)
ok = np.isfinite(far[0]) and np.isnan(far[1]).all() and np.isfinite(near[1]).all() and logistic[1] == [1.0, 0.5]

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
