#!/usr/bin/env bash
# Surprise: onnx's reference evaluator raises for a one-dimensional MaxPool of stride 1 with pads, and loses an entry if only the end is padded.
# Guess: pads of a MaxPool are ordinary; the reference evaluator and onnxruntime give the same maxima.
# Seen: of 1 to 7 with kernel 2 and pads (1, 0) the reference raises IndexError; with pads (0, 1) it gives 6 maxima.
#   onnxruntime gives the 7 of the operator's formula, floor(7 + 1 - 1 - 1) + 1, in both.
# In this project: importers compute windows from the operator's text; tests of MaxPool take their values from onnxruntime.
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


def maxima(pads):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 7])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 7])
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[1], pads=pads)
    graph = helper.make_graph([node], "pool", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    values = {"x": np.arange(1.0, 8.0, dtype=np.float32).reshape(1, 1, 7)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    results = []
    for run in (ReferenceEvaluator(model).run, session.run):
        try:
            results.append([int(value) for value in run(None, values)[0].ravel()])
        except IndexError:
            results.append("IndexError")
    return results


print("onnx", version("onnx"), "onnxruntime", version("onnxruntime"))
before, after = maxima([1, 0]), maxima([0, 1])
print("reference, onnxruntime: padded before", before, "padded after", after)
if before != ["IndexError", [1, 2, 3, 4, 5, 6, 7]] or after != [[2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 6, 7, 7]]:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
