#!/usr/bin/env bash
# Surprise: torch.onnx exports logaddexp as log(exp(a) + exp(b)) and logsigmoid as the logarithm of a sigmoid: both are infinite where torch is exact.
# Guess: the exporter keeps functions that exist for their stability; values agree with torch to rounding.
# Seen: logaddexp(100, 5) is 100 in torch and inf in the exported file; -logsigmoid(-25) is 25 and inf; logsumexp is exported as it is.
# In this project: `from_torch` reads modules themselves; files are compared with the values of onnxruntime, which shows such a difference.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.31.1 numpy==2.4.6
cat > finding.py <<'PY'
import logging
import sys
import warnings
from importlib.metadata import version

import numpy as np
import onnxruntime
import torch

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)


class Cost(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


functions = {
    "logaddexp": lambda x: torch.logaddexp(x[:, 0], x[:, 1]),
    "logsigmoid": lambda x: -torch.nn.functional.logsigmoid(x[:, 2]),
    "logsumexp": lambda x: torch.logsumexp(x, dim=1),
}
x = torch.tensor([[100.0, 5.0, -25.0]])
print(*(f"{name} {version(name)}" for name in ("torch", "onnxscript", "onnxruntime")))
seen = {}
for name, function in functions.items():
    torch.onnx.export(Cost(function).eval(), (x,), "cost.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession("cost.onnx", providers=["CPUExecutionProvider"])
    answer = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    seen[name] = (float(function(x)), float(np.ravel(answer)[0]))
    print(f"{name}: torch {seen[name][0]}, exported {seen[name][1]}")
infinite = float("inf")
if seen != {"logaddexp": (100.0, infinite), "logsigmoid": (25.0, infinite), "logsumexp": (100.0, 100.0)}:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
