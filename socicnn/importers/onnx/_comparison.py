"""The last step of reading: the file is evaluated at a few points, and the network must have its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from socicnn._arrays import Array
from socicnn.errors import ModelError
from socicnn.frozen._magnitude import magnitude
from socicnn.importers._agreement import TOLERANCES, Imported, disagreement
from socicnn.importers.onnx._runtimes import Run, reference, runtime
from socicnn.importers.onnx._softplus import TAIL
from socicnn.importers.onnx._source import Source, first_line

SLOW = ("AveragePool", "ConvTranspose")  # loops over entries in the reference evaluator: seconds for a large image

OVERFLOWING = ("Softplus", "ReduceLogSumExp")  # runtimes take exp first, which is infinite from 89 or 710 on


def compare(source: Source, net: Imported, x: Any, shape: tuple[int, ...], fixed: Mapping[str, Any]) -> None:
    """Raise a ModelError if the network has other values than the graph, or the graph two values at one point.

    The points are zeros, ones, a random one and a large one. Each is evaluated twice, which shows random numbers.

    Args:
        source: the graph.
        net: the network that was read.
        x: the graph's input.
        shape: its shape, the batch of one included.
        fixed: arrays of the other inputs.
    """
    kind = source.onnx.helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type)
    coarsest = max((str(t) for t in _types(source, kind)), key=lambda name: TOLERANCES.get(name, 0.0))
    tolerance = TOLERANCES[coarsest]
    kinds = {node.op_type for node in source.model.graph.node}
    if kinds.issuperset(("Softplus", "Greater")):
        tolerance = max(tolerance, TAIL)
    points, inputs = _points(net, kind, coarsest)
    feeds = [{x.name: point.reshape(shape), **fixed} for point in inputs]
    evaluate, values = _first_values(source, feeds)
    # the size of terms that the file's type cannot hold says nothing
    held = magnitude(net, points) < 1e-2 * _largest(coarsest)
    if kinds.intersection(OVERFLOWING):
        held &= np.isfinite(values)
    if not held.any():  # large terms everywhere: what is finite says something after all
        held = np.isfinite(values) & (magnitude(net, points) < _largest(coarsest))
    if not held.any():
        raise ModelError(
            f"{source.name} has no value that {coarsest} holds at any point of the comparison, and a network that was "
            "not compared with its file is refused; write the file in a wider type, or f in another unit"
        )
    again = np.array([_number(evaluate, feed) for feed in feeds])
    with np.errstate(invalid="ignore"):
        same = (values == again) | (np.abs(values - again) <= tolerance * magnitude(net, points)) | ~held
    if not same.all():
        at = int(np.argmin(same))
        raise ModelError(
            f"{source.name} has two values at one x, {values[at]:.9g} and {again[at]:.9g}: it draws random numbers, so "
            "that it is not a function of x"
        )
    far = disagreement(net, points[held], values[held], tolerance)
    if far is None:
        return
    second = runtime(source.model)  # what runs files in practice has the last word on what they mean
    if second is not None:
        try:
            others = np.array([_number(second, feed) for feed in feeds])
        except Exception:  # it cannot run the file: no second opinion
            others = values
        if disagreement(net, points[held], others[held], tolerance) is None:
            return
    _, read, original, allowed = far
    raise ModelError(
        f"the network read from {source.name} is another function than the file's: {read:.9g} where the file has "
        f"{original:.9g} (difference allowed: {allowed:.1e}); a node is not read as the file means it, or weights "
        "cancel beyond the file's precision. The file is refused"
    )


def _points(net: Imported, kind: Any, coarsest: str) -> tuple[Array, Any]:
    """Return points that the graph's type holds exactly, as float64 and in that type."""
    rng, n = np.random.default_rng(0), net.in_features
    large = 1e3 if coarsest in ("float32", "float64") else 10.0
    raw = np.array([np.zeros(n), np.ones(n), rng.normal(size=n), large * rng.normal(size=n)])
    inputs = raw.astype(kind)
    return inputs.astype(np.float64), inputs


def _types(source: Source, kind: Any) -> list[np.dtype[Any]]:
    """Return the floating types that the graph computes in, as far as it names them."""
    helper = source.onnx.helper
    codes = {weight.data_type for weight in source.model.graph.initializer}
    for node in source.model.graph.node:
        codes |= {a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to"}
        codes |= {a.t.data_type for a in node.attribute if a.HasField("t")}
    names = {"float16", "float32", "bfloat16", "float64"}
    types = [np.dtype(kind), *(np.dtype(helper.tensor_dtype_to_np_dtype(code)) for code in codes if code)]
    return [item for item in types if str(item) in names]


def _largest(name: str) -> float:
    return {"float16": 65504.0, "float64": 1.7e308}.get(name, 3.4e38)


def _first_values(source: Source, feeds: list[dict[str, Any]]) -> tuple[Run, Array]:
    """Return what can evaluate the graph, and its values."""
    if any(node.op_type in SLOW for node in source.model.graph.node) and (fast := runtime(source.model)) is not None:
        try:
            return fast, np.array([_number(fast, feed) for feed in feeds])
        except Exception:  # it cannot run the file; the reference may
            pass
    try:
        evaluate = reference(source.onnx, source.model)
        return evaluate, np.array([_number(evaluate, feed) for feed in feeds])
    except Exception as error:  # it lacks an operator, or the file's types do not fit
        session = runtime(source.model)
        if session is None:
            raise ModelError(
                f"{source.name} cannot be evaluated, and a network that was not compared with its file is refused: "
                f"{first_line(error)}; install onnxruntime, which runs more operators"
            ) from error
    try:
        return session, np.array([_number(session, feed) for feed in feeds])
    except Exception as error:
        raise ModelError(f"{source.name} cannot be evaluated: {first_line(error)}") from error


def _number(evaluate: Run, feed: dict[str, Any]) -> float:
    with np.errstate(all="ignore"):
        value = np.asarray(evaluate(feed)[0])
    if value.size != 1:
        raise ValueError(f"the output has shape {value.shape}, not one number")
    return float(value.astype(np.float64).reshape(()))
