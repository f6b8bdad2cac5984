#!/usr/bin/env bash
# Surprise: torch.linalg.vector_norm over an axis that is not the last takes many times longer than copying the array
#   so that it is the last, and taking the norm then.
# Guess: about as long as x.square().sum(dim).sqrt(), which reads the same numbers; at most twice the time.
# Seen: on the CPU, one thread, 64 x 3 x 4,096 numbers: 65 times (float32) and 24 times (float64) the time of
#   square, sum and sqrt, and 13 times that of copy and norm; with ord=1 likewise.
# In this project: norms of groups are taken over a last axis of contiguous arrays.
# Ends with 1 if the norm takes less than 4 times the time of copy and norm, or the values differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 torch==2.13.0
cat > finding.py <<'PY'
import statistics
import sys
import time

import torch

torch.set_num_threads(1)


def seconds(function):
    times = []
    for _ in range(15):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


print("torch", torch.__version__)
ok = True
for dtype in (torch.float32, torch.float64):
    x = torch.randn(64, 3, 4096, dtype=dtype, generator=torch.Generator().manual_seed(0))
    norm = lambda: torch.linalg.vector_norm(x, dim=1)
    copied = lambda: torch.linalg.vector_norm(x.movedim(1, -1).contiguous(), dim=-1)
    written = lambda: x.square().sum(1).sqrt()
    same = torch.allclose(norm(), copied()) and torch.allclose(norm(), written())
    slow, fast, plain = seconds(norm), seconds(copied), seconds(written)
    print(f"{dtype}: norm {1e3 * slow:.2f} ms, copy and norm {1e3 * fast:.2f} ms, square, sum, sqrt {1e3 * plain:.2f} ms")
    ok = ok and same and slow > 4 * fast

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
