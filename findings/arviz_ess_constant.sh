#!/usr/bin/env bash
# Surprise: ArviZ says that chains which never moved have as many effective draws as they have draws.
# Guess: Of constant draws, the effective sample size is nan, as R-hat is.
# Seen: four chains of 100 equal draws: ess 400 by every method, R-hat nan. Chains that each stand still at a place of
#   their own: bulk ess near 4 and R-hat large or infinite.
# In this project: Our diagnostics of chains are nan there, and say that the chains have not mixed; a test holds it.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 arviz==0.23.4
cat > finding.py <<'PY'
import math
import sys
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")
import arviz
import numpy as np

print("arviz", version("arviz"))
still, apart = np.ones((4, 100)), np.repeat(np.arange(1.0, 5.0)[:, None], 100, axis=1)
sizes = {method: float(arviz.ess(still, method=method)) for method in ("bulk", "tail", "mean")}
print("at one place:", sizes, "R-hat", float(arviz.rhat(still)))
print("at four places: bulk", float(arviz.ess(apart)), "R-hat", float(arviz.rhat(apart)))
ok = set(sizes.values()) == {400.0} and math.isnan(arviz.rhat(still)) and arviz.ess(apart) < 10

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
