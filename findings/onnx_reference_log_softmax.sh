#!/usr/bin/env bash
# Surprise: onnx's reference evaluator gives -inf for LogSoftmax of logits 1000 apart, where the value is -1000.
# Guess: The reference evaluator takes the logarithm of the sum, not of the quotient that underflows.
# Seen: LogSoftmax([1000, 0]) is [0, -inf] by the reference evaluator and [0, -1000] by onnxruntime, in float64.
# In this project: A graph that computes weights by such a LogSoftmax is refused for entries that are not finite, not
#   read as another function.
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


model = graph([helper.make_node("LogSoftmax", ["x"], ["y"])], {}, TensorProto.DOUBLE, [1, 2], 18)
x = np.array([[1000.0, 0.0]])
print(*(f"{name} {version(name)}" for name in ("onnx", "onnxruntime")))
with np.errstate(divide="ignore"):
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0][0].tolist()
runtime = run(model, x)[0].tolist()
print("reference evaluator", reference, "onnxruntime", runtime)
ok = reference == [0.0, float("-inf")] and runtime == [0.0, -1000.0]

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
