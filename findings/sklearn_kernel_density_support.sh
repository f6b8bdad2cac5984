#!/usr/bin/env bash
# Surprise: KernelDensity gives points that no kernel reaches a log-density of about -36 in the place of -inf, for some of
#   them, depending on leaf_size.
# Guess: With a kernel of bounded support, score_samples is -inf wherever all points are farther than the bandwidth.
# Seen: 27 of 50 query points are out of reach; with leaves of 1, 10 and 40 points two or three of them get -35 to -39, the
#   logarithm of what rounding leaves of sums that cancel; with a single leaf all get -inf. Held-out nats of such a fit
#   are finite where they are infinite.
# In this project: The kernel estimates among the yardsticks have Gaussian kernels, which are right to 2e-11.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.neighbors import KernelDensity

draws = np.random.default_rng(0)
points, queries = draws.normal(size=(500, 3)), 2 * draws.normal(size=(50, 3))
unreached = (cdist(queries, points) >= 0.7).all(axis=1)
print("scikit-learn", version("scikit-learn"), "|", unreached.sum(), "of 50 points are out of reach")
ok = True
for kernel in ("epanechnikov", "tophat", "linear", "cosine"):
    for leaf in (40, 1000):
        fitted = KernelDensity(bandwidth=0.7, kernel=kernel, leaf_size=leaf).fit(points)
        found = fitted.score_samples(queries)[unreached]
        finite = found[np.isfinite(found)]
        print(f"{kernel}, leaves of {leaf}: {len(finite)} of them finite", np.round(finite, 2))
        ok &= bool(len(finite) and finite.max() < -30) if leaf == 40 else not len(finite)

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
