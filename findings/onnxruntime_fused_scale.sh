#!/usr/bin/env bash
# Surprise: onnxruntime's default optimisation rounds a float64 scale to float32 where it meets a MatMul.
# Guess: Optimisation moves float64 values by rounding of float64 alone, about 1e-16.
# Seen: x * 0.1 @ W in float64 is 1.5e-8 off, relative, which is the rounding of 0.1 to float32; exact to 1e-15 with
#   optimisation disabled.
# In this project: Importers evaluate files with onnxruntime under ORT_DISABLE_ALL only.
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


rng = np.random.default_rng(0)
x, weights = rng.normal(size=(1, 4)), rng.normal(size=(4, 1))
nodes = [helper.make_node("Mul", ["x", "s"], ["a"]), helper.make_node("MatMul", ["a", "W"], ["y"])]
model = graph(nodes, {"s": np.array(0.1), "W": weights}, TensorProto.DOUBLE, ["N", 4], 17)
print(*(f"{name} {version(name)}" for name in ("onnx", "onnxruntime")))
exact = (x * 0.1 @ weights).item()
fused, plain = run(model, x).item() / exact - 1, run(model, x, optimise=False).item() / exact - 1
print("relative errors: optimised", fused, "not optimised", plain, "of 0.1 in float32", float(np.float32(0.1)) / 0.1 - 1)
ok = 1e-8 < abs(fused) < 2e-8 and abs(plain) < 1e-14

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
