#!/usr/bin/env bash
# Surprise: with ceil_mode, onnx's reference evaluator shifts every window of an AveragePool, without padding or a word.
# Guess: the reference evaluator and onnxruntime give the same means.
# Seen: of 1 to 7 with kernel 3 and stride 3 the reference gives 1.5, 4, 6 (1, 4, 6 with count_include_pad), onnxruntime 2, 5, 7.
#   The operator's text has the last window begin inside the input and its mean exclude what is outside: 2, 5, 7.
# In this project: importers refuse ceil_mode; windows are computed from the operator's text, not by the evaluator.
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


def means(count_include_pad):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 7])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 3])
    node = helper.make_node(
        "AveragePool", ["x"], ["y"], kernel_shape=[3], strides=[3], ceil_mode=1, count_include_pad=count_include_pad
    )
    graph = helper.make_graph([node], "pool", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    values = {"x": np.arange(1.0, 8.0, dtype=np.float32).reshape(1, 1, 7)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [run(None, values)[0].ravel().tolist() for run in (ReferenceEvaluator(model).run, session.run)]


print("onnx", version("onnx"), "onnxruntime", version("onnxruntime"))
seen = [means(0), means(1)]
print("reference, onnxruntime:", seen[0], "with count_include_pad:", seen[1])
if seen != [[[1.5, 4.0, 6.0], [2.0, 5.0, 7.0]], [[1.0, 4.0, 6.0], [2.0, 5.0, 7.0]]]:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
