"""What to do about a kind of node that is not read."""

from __future__ import annotations

from collections.abc import Sequence

_WRITE = {
    "FusedMatMul": "save the graph without the fusions of onnxruntime's extended optimisation",
    "Min": "min(a, b) is not convex; where its negative is meant, write -Max(-a, -b)",
    "ReduceMin": "a minimum is not convex; where its negative is meant, write -ReduceMax(-a)",
}


def hint(kind: str, known: Sequence[str]) -> str:
    """Return the end of the sentence that refuses a node of this kind.

    >>> hint("Min", ["Relu"])
    'is not read; min(a, b) is not convex; where its negative is meant, write -Max(-a, -b)'
    >>> hint("Tanh", ["Add", "Relu"])
    'is of a kind that has no program here; a convex network may use Add, Relu'
    """
    if kind in _WRITE:
        return f"is not read; {_WRITE[kind]}"
    return f"is of a kind that has no program here; a convex network may use {', '.join(known)}"
