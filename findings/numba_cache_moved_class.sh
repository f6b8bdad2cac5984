#!/usr/bin/env bash
# Surprise: after a NamedTuple class has moved to another module, numba's cached functions that took it raise at every
#   call, and go on doing so until the cache is deleted.
# Guess: A function that is called with a class that the cache does not know is compiled anew.
# Seen: total(Point(1, 2)) is 3.0 twice (compiled, then from the cache). With the class in another module, and the file
#   of `total` as it was, both further calls raise ModuleNotFoundError for the old module: the index of the cache is
#   unpickled whole, with the old class in it.
# In this project: the compiled loops delete an index that cannot be read, and compile anew.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 numba==0.68.1
cat > loops.py <<'PY'
import numba


@numba.njit(cache=True)
def total(point):
    return point.a + point.b
PY
cat > first.py <<'PY'
from typing import NamedTuple


class Point(NamedTuple):
    a: float
    b: float
PY
cat > call.py <<'PY'
import sys
from importlib import import_module

from loops import total

try:
    print(total(import_module(sys.argv[1]).Point(1.0, 2.0)))
except ModuleNotFoundError as error:
    print(f"ModuleNotFoundError: {error}")
PY
export NUMBA_CACHE_DIR="$folder/cache"
venv/bin/python -c "from importlib.metadata import version; print('numba', version('numba'))"
seen=$(
    venv/bin/python call.py first
    venv/bin/python call.py first
    mv first.py second.py
    rm -rf __pycache__
    venv/bin/python call.py second
    venv/bin/python call.py second
)
echo "$seen"
expected="3.0
3.0
ModuleNotFoundError: No module named 'first'
ModuleNotFoundError: No module named 'first'"
if [ "$seen" != "$expected" ]; then
    echo "The behaviour has changed."
    exit 1
fi
echo "As seen before."
