"""Networks and programs as named plain arrays, in the layout that `socicnn._packing` reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._packing import LATER, LISTS
from socicnn._plain_arrays import SPANS, Arrays
from socicnn.conic._blocks import Block, Lifts
from socicnn.frozen._parts import Layer


def pack_net(net: Any, prefix: str = "") -> Arrays:
    """Return the arrays of a frozen network: layers, output, branches and the shape of x.

    Args:
        net: a `FrozenNet`, or what has its parts.
        prefix: what every name begins with.
    """
    arrays: Arrays = {f"{prefix}input_shape": np.asarray(net.input_shape, dtype=np.int64)}
    for name in (*LISTS, *(name for name in LATER if getattr(net, name))):  # older readers know LISTS alone
        parts = getattr(net, name)
        arrays[f"{prefix}{name}"] = np.asarray(len(parts))
        for index, part in enumerate(parts):
            _put_part(arrays, f"{prefix}{name}.{index}", part, net.contexts)
    output = net.output
    if net.contexts is not None:  # one array tells the count, also where all are shared
        output = output.changed(c=np.broadcast_to(output.c, net.contexts))
    _put_part(arrays, f"{prefix}output", output, net.contexts)
    return arrays


def pack_program(program: Any, vectors: Sequence[str], prefix: str = "") -> Arrays:
    """Return the arrays of a program.

    Args:
        program: the program.
        vectors: the names of its vectors, e.g. `("b", "q", "d", "r")`.
        prefix: what every name begins with.
    """
    cones = program.cones
    arrays: Arrays = {f"{prefix}cones": np.array([cones.zero, cones.nonnegative, *cones.second_order], dtype=np.int64)}
    if cones.exponential:
        arrays[f"{prefix}cones.exponential"] = np.asarray(cones.exponential)
    for name in ("A", "B"):
        if hasattr(program, name):
            _put(arrays, f"{prefix}{name}", getattr(program, name))
    for name in vectors:
        arrays[f"{prefix}{name}"] = np.asarray(getattr(program, name), dtype=np.float64)
    if hasattr(program, "lifts"):
        for entry in fields(Lifts):
            arrays[f"{prefix}lifts.{entry.name}"] = np.asarray(getattr(program.lifts, entry.name), dtype=np.int64)
    for name in SPANS:
        blocks: tuple[Block, ...] = getattr(program, name)
        arrays[f"{prefix}{name}"] = np.asarray([(b.name, b.kind) for b in blocks], dtype=np.str_).reshape(-1, 2)
        ends = np.asarray([(b.start, b.stop) for b in blocks], dtype=np.int64).reshape(-1, 2)
        arrays[f"{prefix}{name}.ends"] = ends
    return arrays


def _put_part(arrays: Arrays, prefix: str, part: Any, contexts: int | None) -> None:
    """Add a part; what is shared is written without its axis of contexts, unless there is a stack of one."""
    for entry in fields(part):
        value = getattr(part, entry.name)
        if isinstance(part, Layer) and _is_left_out(part, entry.name):
            continue
        if is_dataclass(value):
            _put_part(arrays, f"{prefix}.{entry.name}", value, contexts)
        elif entry.name in part.VECTORS and contexts != 1:
            _put(arrays, f"{prefix}.{entry.name}", value[0] if len(value) == 1 else value)
        elif entry.name != "smoothing" or value.any():  # older readers know ReLU layers alone
            _put(arrays, f"{prefix}.{entry.name}", value)


def _is_left_out(layer: Layer, name: str) -> bool:
    """Return whether a field of a layer holds nothing: such a field has no arrays in a file."""
    if name in Layer.INNER:
        return name not in dict(layer.named_inner())
    value = getattr(layer, name)
    return bool(name == "W" and not value.shape[1]) or (name == "U" and sparse.issparse(value) and not value.nnz)


def _put(arrays: Arrays, name: str, value: Any) -> None:
    if sparse.issparse(value):
        coo = sparse.coo_array(value)
        arrays[f"{name}.entries"], arrays[f"{name}.shape"] = coo.data, np.asarray(coo.shape, dtype=np.int64)
        arrays[f"{name}.at"] = np.stack([coo.row, coo.col]).astype(np.int64)
    else:
        arrays[name] = np.asarray(value)
