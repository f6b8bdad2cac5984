#!/usr/bin/env bash
# Surprise: OR-Tools and highspy cannot be imported into one process; the second to come raises ImportError.
# Guess: Two wheels that bring the same solver each use their own copy of it.
# Seen: "undefined symbol", in either order: both hold HiGHS with the same names, in other versions. `import pyepo` imports
#   OR-Tools where it is installed, and hides the error if highspy came first: its OR-Tools models are then not there.
# In this project: `decide` goes on with Clarabel; the extra `pyepo` leaves OR-Tools out.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 highspy==1.15.1 ortools==9.15.6755
cat > finding.py <<'PY'
import subprocess
import sys
from importlib.metadata import version

print(*(f"{name} {version(name)}" for name in ("highspy", "ortools")))
both = ["import highspy", "from ortools.linear_solver import pywraplp"]
ok = True
for lines in (both, both[::-1]):
    run = subprocess.run([sys.executable, "-c", "; ".join(lines)], capture_output=True, text=True)
    print("; ".join(lines), "->", (run.stderr.strip().splitlines() or ["no error"])[-1][-120:])
    ok &= run.returncode != 0 and "undefined symbol" in run.stderr
if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
