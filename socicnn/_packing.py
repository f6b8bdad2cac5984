"""Networks from named plain arrays: the layout of `socicnn._plain_arrays`, part by part.

A list of parts is its length under its name, and its parts under `NAME.0`, `NAME.1`, ...
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from scipy import sparse

from socicnn._plain_arrays import PackingError, Source, integers, matrix, numbers
from socicnn.frozen._exponentials import Logistic, LogSumExp
from socicnn.frozen._parts import Layer, Norm, Output, Quadratic
from socicnn.frozen._terms import Part

LISTS: dict[str, type] = {"layers": Layer, "quadratics": Quadratic, "norms": Norm}
LATER: dict[str, type] = {"logsumexps": LogSumExp, "logistics": Logistic}  # files without them have no such entry
KINDS: tuple[type[Part], ...] = (Layer, *Layer.INNER.values(), Output, Quadratic, Norm, LogSumExp, Logistic)
AXES = {name: axes for kind in KINDS for name, axes in kind.VECTORS.items()}  # of vectors, without that of contexts
_OPTIONAL = {"W", "U", "e", "d", "g", "o", "s"}


def unpack_net(arrays: Source, prefix: str = "") -> dict[str, Any]:
    """Return the arguments of `FrozenNet`; every name begins with the prefix."""
    parts: dict[str, Any] = {}
    later = {name: kind for name, kind in LATER.items() if f"{prefix}{name}" in arrays}
    for name, kind in (LISTS | later).items():
        count = integers(arrays, f"{prefix}{name}", ())[()]
        if not 0 <= count <= len(arrays):
            raise PackingError(f"{prefix}{name} is {count}, more parts than the file has arrays")
        parts[name] = [_part(arrays, kind, f"{prefix}{name}.{index}") for index in range(count)]
    own = [(AXES.get(name.rpartition(".")[2], 9), array) for name, array in arrays.items() if name.startswith(prefix)]
    counts = {len(array) for axes, array in own if array.ndim > axes}
    shape = integers(arrays, f"{prefix}input_shape", (-1,)).tolist()
    parts |= {"input_shape": tuple(shape), "contexts": 1 if counts == {1} else None}
    return {**parts, "output": _part(arrays, Output, f"{prefix}output")}


def _part(arrays: Source, kind: type, prefix: str) -> Any:
    values: dict[str, Any] = {}
    for entry in fields(kind):
        name = f"{prefix}.{entry.name}"
        if kind is Layer and entry.name in Layer.INNER:
            inner = Layer.INNER[entry.name]
            values[entry.name] = _part(arrays, inner, name) if f"{name}.{inner.LETTERS[0]}" in arrays else None
        elif entry.name == "group":
            values["group"] = int(integers(arrays, name, ())[()]) if name in arrays else None
        elif entry.name == "smoothing":
            values["smoothing"] = numbers(arrays, name) if name in arrays else 0.0
        elif f"{name}.entries" in arrays:
            values[entry.name] = sparse.csr_array(matrix(arrays, name))
        elif name in arrays or entry.name not in _OPTIONAL:
            values[entry.name] = numbers(arrays, name)
        else:
            values[entry.name] = None
    return kind(**values)
