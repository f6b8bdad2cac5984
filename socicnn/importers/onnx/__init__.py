"""Read a feed-forward ONNX graph as the parts of a frozen network, and compare the network with the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from socicnn._files import FileError
from socicnn.errors import ModelError, SocicnnError
from socicnn.frozen._bundle import Parts
from socicnn.importers._agreement import Imported
from socicnn.importers._assemble import assemble
from socicnn.importers.onnx._comparison import compare
from socicnn.importers.onnx._interpreter import Interpreter
from socicnn.importers.onnx._source import Source, first_line, open_source

N = TypeVar("N", bound=Imported)
LONGEST = 1200  # letters of a message; a file can hold names of any length


def from_onnx(
    make: Callable[[Parts], N],
    source: Any,
    fixed: Mapping[str, Any],
    *,
    batch: Literal[0] | None = 0,
    output: str = "",
) -> N:
    """Return the network that `make` builds of an ONNX graph; see `FrozenNet.from_onnx`."""
    if batch not in (0, None):
        raise ModelError(f"batch must be 0, the axis of x that is the batch, or None for none; received {batch!r}")
    try:
        graph = open_source(source, output)
        return _network(make, graph, fixed, batch)
    except SocicnnError as error:
        if (sentence := _one_line(str(error))) == str(error):
            raise
        raise type(error)(sentence) from None


def input_names(source: Any) -> list[str]:
    """Return the names of a graph's inputs that are no weights, in their order."""
    graph = open_source(source, "").model.graph
    weights = {weight.name for weight in graph.initializer}
    return [tensor.name for tensor in graph.input if tensor.name not in weights]


def _network(make: Callable[[Parts], N], graph: Source, fixed: Mapping[str, Any], batch: Literal[0] | None) -> N:
    try:
        interpreter = Interpreter(graph, fixed, batch)
        value = interpreter.run()
        net = make(assemble(value, graph.output, interpreter.input_shape))
        compare(graph, net, interpreter.x, interpreter.shape, interpreter.fixed)
    except SocicnnError:
        raise
    except (Exception, MemoryError) as error:  # a damaged file can hold anything in any place
        raise FileError(f"{graph.name} is damaged, or no valid ONNX graph: {first_line(error)}") from error
    return net


def _one_line(sentence: str) -> str:
    """Return a message without line breaks or control characters, its middle left out if a name in it is endless."""
    plain = "".join(letter if letter.isprintable() else " " for letter in sentence)
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST // 2]} ... {plain[-LONGEST // 2 :]}"
