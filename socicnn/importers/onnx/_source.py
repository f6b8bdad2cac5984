"""From a file, bytes or a model of ONNX to one graph whose nodes are in order and all needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from socicnn._files import FileError
from socicnn.errors import MissingExtra, ModelError

# draw random numbers: their result is not a function of x
RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


@dataclass(frozen=True)
class Source:
    """A graph to read.

    Args:
        onnx: the package.
        model: a `ModelProto` of its own, local functions inlined, with the nodes that the output needs.
        name: the file's name, for messages.
        output: the output's name.
        size: bytes of the model.
    """

    onnx: Any
    model: Any
    name: str
    output: str
    size: int


def open_source(source: Any, output: str) -> Source:
    """Return the graph in a path, bytes, an open file, a ModelProto or torch's ONNXProgram.

    Args:
        source: what holds the graph.
        output: name of the output to read; empty for the only one.

    Raises:
        FileError: it is missing, damaged, or its nodes are out of order.
        ModelError: it holds what is never read: sparse weights, random nodes, several outputs.
        MissingExtra: the package onnx is not installed.
    """
    onnx = _package()
    loaded, name = _loaded(onnx, source)
    try:
        if not loaded.graph.node:
            raise ValueError("it has no nodes")
        model = onnx.inliner.inline_local_functions(loaded)  # a copy
    except Exception as error:  # protobuf and the inliner each have their own kinds
        raise FileError(f"{name} is not a valid ONNX file: {first_line(error)}") from error
    graph = model.graph
    if graph.sparse_initializer:
        raise ModelError("the graph stores sparse weights, which are not read; store them dense")
    for weight in graph.initializer:
        if weight.data_location == onnx.TensorProto.EXTERNAL:
            raise FileError(f"{name} has weights in another file, which bytes cannot name; give the path of the file")
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < 7:
            raise ModelError(
                f"{name} has opset {opset.version}, which is not read (7 and later are); convert it with "
                "onnx.version_converter.convert_version(model, 17)"
            )
    chosen = _output(graph, output)
    _prune(graph, chosen)
    _in_order(graph, name)
    for node in _all_nodes(graph.node):
        if node.op_type in RANDOM:
            raise ModelError(f"{words(node)} draws random numbers, so that the graph is not a function of x")
    return Source(onnx, model, name, chosen, model.ByteSize())


def words(node: Any) -> str:
    """Return a node's kind and name, for messages."""
    return f"{node.op_type} '{node.name or next(filter(None, node.output), '')}'"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def reads(node: Any) -> list[str]:
    """Return the names that a node reads, those that its inner graphs (If, Loop, Scan) take from outside included."""
    return [name for name in node.input if name] + captured(node)


def captured(node: Any) -> list[str]:
    """Return the names that the inner graphs of a node take from outside."""
    names: list[str] = []
    for inner in _inner_graphs(node):
        own = {item.name for item in (*inner.initializer, *inner.input)}
        for child in inner.node:
            names += [name for name in reads(child) if name not in own]
            own |= set(child.output)
        names += [item.name for item in inner.output if item.name not in own]
    return list(dict.fromkeys(names))


def _package() -> Any:
    try:
        onnx = import_module("onnx")
        import_module("onnx.inliner")
        import_module("onnx.reference")
    except ImportError as error:
        raise MissingExtra('reading ONNX needs the package onnx; run: pip install "socicnn[onnx]"') from error
    return onnx


def _loaded(onnx: Any, source: Any) -> tuple[Any, str]:
    """Return the model as it is given, and its name."""
    source = getattr(source, "model_proto", source)  # torch.onnx.export returns it in a program
    if isinstance(source, onnx.ModelProto):
        return source, "the model"
    name = str(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "the model"))
    try:
        if isinstance(source, str | os.PathLike):
            if not Path(source).is_file():
                raise FileError(f"{name} does not exist")
            return onnx.load(str(Path(source))), name
        content = source.read() if hasattr(source, "read") else source
        if not isinstance(content, bytes | bytearray | memoryview):
            raise ModelError(
                "an ONNX graph is read from a path, bytes, an open binary file or an onnx.ModelProto; received "
                f"{type(source).__name__}"
            )
        return onnx.load_model_from_string(bytes(content)), name
    except (FileError, ModelError):
        raise
    except Exception as error:  # protobuf has its own kinds
        raise FileError(f"{name} is not a valid ONNX file: {first_line(error)}") from error


def _output(graph: Any, wanted: str) -> str:
    names = [tensor.name for tensor in graph.output]
    if wanted and wanted not in names:
        raise ModelError(f"the graph has no output '{wanted}'; its outputs are {', '.join(names)}")
    if not wanted and len(names) != 1:
        raise ModelError(
            f"the graph must have one output; it has {len(names)}: {', '.join(names)}; name one, e.g. "
            f"output='{names[0] if names else 'y'}'"
        )
    return wanted or names[0]


def _prune(graph: Any, output: str) -> None:
    """Keep the nodes that the output needs, and this output alone."""
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(reads(node))
    nodes = [type(node).FromString(node.SerializeToString()) for node in reversed(kept)]
    outputs = [type(t).FromString(t.SerializeToString()) for t in graph.output if t.name == output]
    if len(nodes) < len(graph.node):
        del graph.node[:]
        graph.node.extend(nodes)
    del graph.output[:]
    graph.output.extend(outputs[:1])


def _in_order(graph: Any, name: str) -> None:
    known = {item.name for item in (*graph.initializer, *graph.input)}
    for node in graph.node:
        for tensor in reads(node):
            if tensor not in known:
                raise FileError(
                    f"{name} is not a valid ONNX file: {words(node)} reads '{tensor}', which no node before it makes; "
                    "onnx.checker.check_model says more"
                )
        known |= set(node.output)
    for tensor in graph.output:
        if tensor.name not in known:
            raise FileError(f"{name} is not a valid ONNX file: no node makes its output '{tensor.name}'")


def _inner_graphs(node: Any) -> list[Any]:
    return [g for a in node.attribute for g in ([a.g] if a.HasField("g") else []) + list(a.graphs)]


def _all_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield node
        for inner in _inner_graphs(node):
            yield from _all_nodes(inner.node)
