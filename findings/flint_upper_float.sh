#!/usr/bin/env bash
# Surprise: float(ball.upper()) of python-flint lies below the ball for half of all numbers once the precision is
#   above 53 bits.
# Guess: upper() rounds up, and float() of it is an upper bound.
# Seen: k / 7 at 200 bits, k = 1 to 199: 89 of the floats lie below the ball. upper() has 200 bits and float()
#   rounds to nearest.
# In this project: Brackets move both ends outwards by one unit after the conversion; tests compare them with exact
#   fractions.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet python-flint==0.9.0
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

from flint import arb, ctx

print("python-flint", version("python-flint"))
below = {}
for bits in (53, 200):
    ctx.prec = bits
    balls = [arb(k) / 7 for k in range(1, 200)]
    below[bits] = sum(bool(arb(float(ball.upper())) < ball) for ball in balls)
print("floats of upper() below the ball, by bits of precision", below)
ok = below[53] == 0 and below[200] > 50

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
