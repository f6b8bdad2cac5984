#!/usr/bin/env bash
# Surprise: torch's softplus falls by 2e-9 at 20, in float64: it is neither increasing nor convex there.
# Guess: Softplus in float64 is increasing and convex to the last bits, about 4e-15 at 20.
# Seen: softplus(20) = 20 + 2.061e-9, softplus of the next number = 20. The default threshold = 20 replaces the
#   function by its asymptote, which float32 does not notice.
# In this project: softplus layers set the threshold to 50, where the two agree in float64; softplus of the user's own
#   modules is read off with its threshold.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile numpy==2.4.6 torch==2.13.0
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import math

import torch

points = torch.tensor([20.0, math.nextafter(20.0, math.inf)], dtype=torch.float64)
default, exact = torch.nn.Softplus()(points), torch.nn.Softplus(threshold=50.0)(points)
print("torch", version("torch"), "fall at 20:", (default[0] - default[1]).item(), "with threshold 50:", (exact[0] - exact[1]).item())
ok = 2e-9 < (default[0] - default[1]).item() < 2.1e-9 and exact[1] >= exact[0]

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
