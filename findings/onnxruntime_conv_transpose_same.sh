#!/usr/bin/env bash
# Surprise: a ConvTranspose with auto_pad SAME_UPPER and a kernel below its stride has another length in onnxruntime than by its definition.
# Guess: SAME means input times stride in every runtime: the operator's text says so.
# Seen: input 5, stride 3, kernel 2: the text and the reference evaluator have 15 entries, onnxruntime and onnx's shape inference 14.
# In this project: importers refuse a ConvTranspose whose padding is set by the size of its output.
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


def lengths():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 5])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, None])
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], kernel_shape=[2], strides=[3], auto_pad="SAME_UPPER")
    kernel = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 2], [1.0, 2.0])
    graph = helper.make_graph([node], "spread", [x], [y], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape.dim[2].dim_value
    values = {"x": np.ones((1, 1, 5), np.float32)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [inferred, *(run(None, values)[0].shape[2] for run in (ReferenceEvaluator(model).run, session.run))]


print("onnx", version("onnx"), "onnxruntime", version("onnxruntime"))
seen = lengths()
print("shape inference, reference, onnxruntime:", seen)
if seen != [14, 15, 14]:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
