#!/usr/bin/env bash
# Surprise: ONNX Runtime's MaxPool leaves nan out, and ReduceMax all but a nan in the first place, where its Max and Relu
#   pass nan on, as torch does in all four.
# Guess: The largest of a window with a nan is nan.
# Seen: of (1, nan), (2, 0), (5, nan) MaxPool makes 1, 2, 5, in float32 and float64, and so does the reference evaluator;
#   ReduceMax of these six numbers is 5, and nan if one of them stands first; that of the reference evaluator is nan both
#   times. A broken input leaves no trace behind a pooled layer.
# In this project: Inputs that are not finite are refused before a network is evaluated; values of files are compared at
#   finite points.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import onnxruntime
from onnx import helper
from onnx.reference import ReferenceEvaluator


def values(kind, x, **settings):
    """Return a node's values by ONNX Runtime and by the reference evaluator."""
    number = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], ["y"], **settings)],
        "pooled",
        [helper.make_tensor_value_info("x", number, x.shape)],
        [helper.make_tensor_value_info("y", number, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0].ravel(), ReferenceEvaluator(model).run(None, {"x": x})[0].ravel()


print(*(f"{name} {version(name)}" for name in ("onnxruntime", "onnx")))
ok = True
for kind in (np.float32, np.float64):
    x = np.array([[[1, np.nan, 2, 0, 5, np.nan]]], dtype=kind)
    pooled = values("MaxPool", x, kernel_shape=[2], strides=[2])
    rolled = np.roll(x, -1, axis=2)  # nan first
    whole = [value[0] for y in (x, rolled) for value in values("ReduceMax", y)]
    relu = values("Relu", x)[0]
    print(kind.__name__, "MaxPool", pooled, "ReduceMax, nan inside", whole[:2], "nan first", whole[2:], "Relu", relu)
    ok &= all(np.array_equal(found, [1, 2, 5]) for found in pooled)
    ok &= whole[0] == 5 and bool(np.isnan(whole[1:]).all()) and np.isnan(relu).sum() == 2

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
