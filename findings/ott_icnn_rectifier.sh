#!/usr/bin/env bash
# Surprise: the same parameters are another convex function in ott-jax 0.4.7 and 0.5.0, and load without a word.
# Guess: parameters of equal names and shapes mean the same ICNN, or a version refuses those of the other.
# Seen: f(1, 1) = 0.2697 by 0.4.7 and 1.1906 by 0.5.0, with equal names and shapes and the same jax and flax. The diagonals
#   of the quadratic layers go through relu in the one and through softplus in the other.
# In this project: FrozenNet.from_ott asks for the version, or for values to compare with; files made by the real package test it.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > probe.py <<'PY'
import json
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from ott.neural.networks.icnn import ICNN

net = ICNN(dim_data=2, dim_hidden=[3])
initial = net.init(jax.random.PRNGKey(0), jnp.ones(2))
named, structure = jax.tree_util.tree_flatten_with_path(initial)
shapes = [[jax.tree_util.keystr(name), list(value.shape)] for name, value in named]
values = [
    jnp.asarray(0.5 * np.cos(np.arange(value.size) + i).reshape(value.shape), value.dtype)
    for i, (_, value) in enumerate(named)
]
parameters = jax.tree_util.tree_unflatten(structure, values)
f = float(np.ravel(net.apply(parameters, jnp.ones(2)))[0])
print(json.dumps({"version": version("ott-jax"), "shapes": shapes, "f": f}))
PY
cat > finding.py <<'PY'
import json
import sys

old, new = (json.loads(open(name).read()) for name in ("old.json", "new.json"))
print("equal names and shapes:", old["shapes"] == new["shapes"])
print(f"f(1, 1): ott-jax {old['version']} {old['f']}, ott-jax {new['version']} {new['f']}")
if old["shapes"] != new["shapes"] or abs(old["f"] - 0.2697) > 1e-3 or abs(new["f"] - 1.1906) > 1e-3:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
for release in 0.4.7:old 0.5.0:new; do
    rm -rf venv
    python3 -m venv venv
    venv/bin/pip install --quiet --no-compile "ott-jax[neural]==${release%:*}" jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 numpy==2.4.6
    JAX_PLATFORMS=cpu venv/bin/python probe.py | tail -n 1 > "${release#*:}.json"
done
venv/bin/python finding.py
