#!/usr/bin/env bash
# Surprise: a layer of cvxpylayers returns float64 for float32 parameters, so that the next float32 layer of a network raises.
# Guess: results have the dtype of the parameters, as with torch's own modules.
# Seen: x = argmin ||x - p||^2 is float64 for a float32 p, its gradient is float32; a Linear after it raises RuntimeError.
# In this project: DecisionLayer has float64 decisions, too, as their certificates are of those numbers; docs/layer.md says how to go on.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile cvxpylayers==1.2.0 diffcp==1.1.9 cvxpy==1.9.3 torch==2.13.0 numpy==2.4.6
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import cvxpy as cp
import torch
from cvxpylayers.torch import CvxpyLayer

p, x = cp.Parameter(2), cp.Variable(2)
layer = CvxpyLayer(cp.Problem(cp.Minimize(cp.sum_squares(x - p))), parameters=[p], variables=[x])
print("cvxpylayers", version("cvxpylayers"), "torch", version("torch"))
start = torch.tensor([1.0, 2.0], requires_grad=True)
(decision,) = layer(start)
decision.sum().backward()
print("parameters", start.dtype, "result", decision.dtype, "gradient", start.grad.dtype)
try:
    torch.nn.Linear(2, 1)(decision)
    after = "a number"
except RuntimeError as error:
    after = "RuntimeError"
    print("the next layer:", error)
if (decision.dtype, start.grad.dtype, after) != (torch.float64, torch.float32, "RuntimeError"):
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
