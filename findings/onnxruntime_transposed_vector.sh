#!/usr/bin/env bash
# Surprise: onnxruntime's default optimisation loses a Transpose before a MatMul whose second factor is a vector.
# Guess: MatMul(Transpose(x), w) is x'w at every level of optimisation.
# Seen: with optimisation it is x w for a square x, a wrong value without a word; with w as a matrix of one column, and
#   without optimisation, it is right.
# In this project: FrozenNets are written without transposes before the read-out; importers evaluate files under
#   ORT_DISABLE_ALL.
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

x, w = np.arange(9, dtype=np.float32).reshape(3, 3), np.array([1, 10, 100], np.float32)


def run(weight, optimise):
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["t", "w"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 3])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model, strict_mode=True), full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0].reshape(-1)


print(*(f"{name} {version(name)}" for name in ("onnx", "onnxruntime")))
fused, plain, column = run(w, True), run(w, False), run(w[:, None], True)
print("x'w", x.T @ w, "x w", x @ w, "optimised", fused, "not optimised", plain, "as a column", column)
ok = (fused == x @ w).all() and (plain == x.T @ w).all() and (column == x.T @ w).all()

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
