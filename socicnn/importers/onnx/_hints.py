"""What to do about a kind of node that is not read."""

from __future__ import annotations

from collections.abc import Sequence

_WRITE = {
    "Abs": "write |a| as Relu(a) + Relu(-a), a affine in x",
    "BatchNormalization": "fold it into the weights next to it, or write it as Mul and Add",
    "Clip": "write max(a, 0) as Relu(a)",
    "FusedGemm": "save the graph without the fusions of onnxruntime's extended optimisation",
    "FusedMatMul": "save the graph without the fusions of onnxruntime's extended optimisation",
    "FusedConv": "save the graph without the fusions of onnxruntime's extended optimisation",
    "LeakyRelu": "write it as s a + (1 - s) Relu(a), s its slope",
    "LinearRegressor": "write it as MatMul and Add",
    "Max": "write max(a, b) as b + Relu(a - b), max(a, 0) as Relu(a)",
    "PRelu": "write it as s a + (1 - s) Relu(a), s its slope",
    "ReduceL1": "write |a| as Relu(a) + Relu(-a), a affine in x, and sum",
    "ReduceMax": "write max(a, b) as b + Relu(a - b)",
    "MaxPool": "write max(a, b) as b + Relu(a - b)",
    "Scaler": "write it as Sub and Mul",
}


def hint(kind: str, known: Sequence[str]) -> str:
    """Return the end of the sentence that refuses a node of this kind.

    >>> hint("Clip", ["Relu"])
    'is not read; write max(a, 0) as Relu(a)'
    >>> hint("Tanh", ["Add", "Relu"])
    'is of a kind that has no second-order cone form here; a convex network may use Add, Relu'
    """
    if kind in _WRITE:
        return f"is not read; {_WRITE[kind]}"
    return f"is of a kind that has no second-order cone form here; a convex network may use {', '.join(known)}"
