#!/usr/bin/env bash
# Surprise: onnxruntime runs float64 Softplus and Elu at opset 18 alone, and LeakyRelu at 16 to 18 alone.
# Guess: A kernel that exists at one opset exists at the opsets around it, in which the operator is the same.
# Seen: Of opsets 13 to 23: Softplus and Elu load at 18, LeakyRelu at 16, 17 and 18; elsewhere NOT_IMPLEMENTED. Relu
#   loads everywhere.
# In this project: to_onnx refuses float64 softplus networks and says to write them in float32, rather than write a file
#   that hangs on one opset.
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


OPSETS = range(13, 24)


def loads(kind, opset):
    model = graph([helper.make_node(kind, ["x"], ["y"])], {}, TensorProto.DOUBLE, [2, 3], opset)
    try:
        run(model, np.ones((2, 3)))
    except Exception as error:
        assert "NOT_IMPLEMENTED" in str(error), error
        return False
    return True


print(*(f"{name} {version(name)}" for name in ("onnx", "onnxruntime")))
found = {kind: [opset for opset in OPSETS if loads(kind, opset)] for kind in ("Softplus", "Elu", "LeakyRelu", "Relu")}
print(found)
ok = found == {"Softplus": [18], "Elu": [18], "LeakyRelu": [16, 17, 18], "Relu": list(OPSETS)}

if not ok:
    sys.exit("The behaviour has changed.")
print("As seen before.")
PY
venv/bin/python finding.py
