#!/usr/bin/env bash
# Surprise: with auto_pad VALID and ceil_mode, onnxruntime's MaxPool has one window more than the operator's formula says.
# Guess: VALID means windows inside the input alone, whatever ceil_mode is.
# Seen: input 7, kernel 2, stride 2: ceil((7 - 2 + 1) / 2) = 3 by the text and in the reference evaluator, 4 in onnxruntime.
# In this project: importers refuse ceil_mode.
# Ends with 1 if the behaviour is another one than the one seen.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
cat > finding.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 7])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, None])
node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[2], auto_pad="VALID", ceil_mode=1)
graph = helper.make_graph([node], "pool", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
onnx.checker.check_model(model)
values = {"x": np.arange(1.0, 8.0, dtype=np.float32).reshape(1, 1, 7)}
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print("onnx", version("onnx"), "onnxruntime", version("onnxruntime"))
seen = [run(None, values)[0].ravel().tolist() for run in (ReferenceEvaluator(model).run, session.run)]
print("reference, onnxruntime:", seen)
if seen != [[2.0, 4.0, 6.0], [2.0, 4.0, 6.0, 7.0]]:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
