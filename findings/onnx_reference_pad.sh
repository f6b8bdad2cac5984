#!/usr/bin/env bash
# Surprise: onnx's reference evaluator raises for Pad with negative pads, which the operator defines as cutting off.
# Guess: The reference evaluator runs what the specification of the operator describes.
# Seen: Pad of [0, 1, 2, 3] by -1 at both ends: onnxruntime gives [1, 2], the reference evaluator raises ValueError
#   (index can't contain negative values).
# In this project: The importer reads negative pads as slices, and compares with onnxruntime where the reference
#   evaluator fails.
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


nodes = [helper.make_node("Pad", ["x", "pads"], ["y"])]
model = graph(nodes, {"pads": np.array([0, -1, 0, -1])}, TensorProto.FLOAT, [1, 4], 17)
x = np.arange(4, dtype=np.float32)[None]
print(*(f"{name} {version(name)}" for name in ("onnx", "onnxruntime")))
try:
    reference = str(ReferenceEvaluator(model).run(None, {"x": x})[0])
except ValueError as error:
    reference = f"ValueError: {error}"
print("onnxruntime", run(model, x), "reference evaluator", reference)
ok = run(model, x).tolist() == [[1, 2]] and reference.startswith("ValueError")

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
