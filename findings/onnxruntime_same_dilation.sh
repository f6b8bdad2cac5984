#!/usr/bin/env bash
# Surprise: onnxruntime loads a dilated Conv with auto_pad SAME_UPPER and refuses to run it.
# Guess: auto_pad and dilations are both attributes of Conv and work together, or the model is refused when it is loaded.
# Seen: the session is made, its run raises InvalidArgument (dilation not supported for SAME); the reference evaluator gives 8 values.
# In this project: importers read such files; where values are compared, explicit pads stand in for auto_pad.
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


x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8])
node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3], dilations=[2], auto_pad="SAME_UPPER")
kernel = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 3], [1.0, 1.0, 1.0])
graph = helper.make_graph([node], "dilated", [x], [y], [kernel])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
values = {"x": np.arange(1.0, 9.0, dtype=np.float32).reshape(1, 1, 8)}
print("onnx", version("onnx"), "onnxruntime", version("onnxruntime"))
reference = ReferenceEvaluator(model).run(None, values)[0].ravel().tolist()
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
try:
    answer = session.run(None, values)[0].ravel().tolist()
except Exception as error:
    answer = type(error).__name__
print("reference:", reference, "onnxruntime:", answer)
if answer != "InvalidArgument" or reference != [4.0, 6.0, 9.0, 12.0, 15.0, 18.0, 12.0, 14.0]:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
