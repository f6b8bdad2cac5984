#!/usr/bin/env bash
# Surprise: onnxruntime's float64 Softplus is infinite from 710 on; its float32 Softplus, the less able type, is
#   right.
# Guess: Softplus(1000) = 1000 in both types.
# Seen: float32 gives 1000, float64 gives inf; onnx's reference evaluator gives 1000 in both.
# In this project: Networks with softplus layers are not exported in float64, and the message says to use float32.
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
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def run(model, x, optimise=True):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def graph(nodes, weights, kind, shape, opset):
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


print(*(f"{name} {version(name)}" for name in ("onnx", "onnxruntime")))
found = {}
for name, kind in (("float32", TensorProto.FLOAT), ("float64", TensorProto.DOUBLE)):
    model = graph([helper.make_node("Softplus", ["x"], ["y"])], {}, kind, [1, 2], 18)
    x = np.array([[1.0, 1000.0]], dtype=name)
    found[name] = run(model, x)[0, 1].item(), ReferenceEvaluator(model).run(None, {"x": x})[0][0, 1].item()
print("Softplus(1000) of onnxruntime and of the reference evaluator", found)
ok = found == {"float32": (1000.0, 1000.0), "float64": (float("inf"), 1000.0)}

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
