#!/usr/bin/env bash
# Surprise: safetensors writes equal tensors with equal metadata as other bytes at every call.
# Guess: A file is a function of its tensors and metadata: equal networks have equal checksums.
# Seen: Ten calls of save with one tensor and seven entries of metadata give ten different files; without metadata,
#   or with one entry, all are equal.
# In this project: The header is written again in the order of the alphabet, and networks are named by a fingerprint over
#   their numbers.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 safetensors==0.8.0
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import save


def files(entries):
    metadata = {name: name for name in entries} or None
    return len({save({"a": np.ones(2), "b": np.zeros(3)}, metadata) for _ in range(10)})


print("safetensors", version("safetensors"))
found = {entries: files(entries) for entries in ("", "a", "abcdefg")}
print("different files in ten calls, by entries of metadata", found)
ok = found[""] == found["a"] == 1 and found["abcdefg"] > 1

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
