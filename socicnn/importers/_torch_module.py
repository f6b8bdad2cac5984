"""Read a torch module that is convex in its input: `torch.export` gives its graph, whose nodes become `Value`s.

Whatever depends on parameters alone is computed as it stands, so that it does not matter how weights are kept
non-negative: parametrisations, softplus, exp, clamp.
"""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, fx, nn

from socicnn.errors import ModelError, SocicnnError
from socicnn.frozen._bundle import Parts
from socicnn.importers._agreement import TOLERANCES, Imported, disagreement
from socicnn.importers._assemble import assemble
from socicnn.importers._value import Value, negative

N = TypeVar("N", bound=Imported)
POINTS, SPREADS = 8, (0.1, 1.0, 10.0)  # points of the comparison at the end, for each spread

# what only moves entries about: done to the entries' places
MOVES = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "permute",
        "transpose",
        "t",
        "squeeze",
        "unsqueeze",
        "select",
        "slice",
        "expand",
        "alias",
        "clone",
        "detach",
        "flatten",
        "contiguous",
        "_to_copy",
        "to",
        "lift_fresh_copy",
    ]
)
# what is affine in its one input that depends on x: its matrix is its derivative
AFFINE = frozenset(
    [
        "linear",
        "addmm",
        "mm",
        "matmul",
        "mv",
        "dot",
        "bmm",
        "convolution",
        "conv1d",
        "conv2d",
        "sum",
        "mean",
        "mul",
        "div",
        "neg",
        "add",
        "sub",
        "rsub",
        "avg_pool2d",
        "constant_pad_nd",
        "dropout",
    ]
)


def from_torch(make: Callable[[Parts], N], module: nn.Module, example: Any) -> N:
    """Return the network that `make` builds of a module; see `FrozenNet.from_torch`.

    Raises:
        ModelError: the module cannot be traced, is not convex, or has other values than the network read.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"from_torch reads a torch module; received {type(module).__name__}")
    if getattr(module, "needs_data", False):
        raise ModelError("the module's weights depend on data; give what `finalise(train_data)` returns")
    wide = copy.deepcopy(module).double().eval()
    x = torch.as_tensor(example, dtype=torch.float64).detach().cpu()
    if not x.ndim or not torch.isfinite(x).all():
        raise ModelError("example must be a batch of finite points, e.g. torch.zeros(1, n)")
    x = x[:1] if x.ndim > 1 else x
    shape = tuple(x.shape[1:]) if x.ndim > 1 else tuple(x.shape)
    value = _Reader(*_traced(wide, x)).run(x)
    net = make(assemble(value, "of the module", shape))
    _compare(net, wide, x)
    return net


def _traced(module: nn.Module, x: Tensor) -> tuple[fx.GraphModule, list[Any]]:
    """Return the graph of a module, and the values of its inputs but for x, which is None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, (x,)).run_decompositions({})
    except Exception as error:  # whatever the module does
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"torch.export cannot trace the module at the example: {reason}") from None
    signature = program.graph_signature
    held = {**dict(program.named_parameters()), **dict(program.named_buffers()), **program.constants}
    sources = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    sources |= signature.inputs_to_lifted_tensor_constants
    names = [node.name for node in program.graph.nodes if node.op == "placeholder"]
    inputs = [held[sources[name]].detach() if name in sources else None for name in names]
    if inputs.count(None) != 1:
        raise ModelError(f"the module must be a function of x alone; it has {inputs.count(None)} inputs")
    return program.graph_module, inputs


class _Reader:
    """Runs a graph on the value of x.

    Args:
        graph: the graph.
        inputs: values of its placeholders; None for x.
    """

    def __init__(self, graph: fx.GraphModule, inputs: list[Any]) -> None:
        self.graph, self.inputs = graph, inputs

    def run(self, x: Tensor) -> Value:
        """Return the value of the output."""
        known: dict[fx.Node, Any] = {}
        n, waiting = x.numel(), iter(self.inputs)
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                held = next(waiting)
                known[node] = (
                    Value(tuple(x.shape), np.zeros(n), sparse.eye_array(n, format="csr")) if held is None else held
                )
            elif node.op == "get_attr":
                known[node] = getattr(self.graph, str(node.target))
            elif node.op == "output":
                return self._output(fx.node.map_arg(node.args[0], lambda argument: known[argument]))
            else:
                values = fx.node.map_arg((node.args, node.kwargs), lambda argument: known[argument])
                known[node] = self._call(node, *values)
        raise ModelError("the module returns nothing")

    def _output(self, returned: Any) -> Value:
        parts = [part for part in returned if part is not None]
        if len(parts) != 1 or not isinstance(parts[0], Value):
            raise ModelError("the module must return one tensor that depends on x")
        value: Value = parts[0]
        return value

    def _call(self, node: fx.Node, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        values = [part for part in _flat(arguments) if isinstance(part, Value)]
        target: Any = node.target
        if not values:
            with torch.no_grad():
                return target(*arguments, **keywords)
        name = _name(target)
        if target is operator.getitem:
            raise _refused(node, f"takes part of a result of {name}")
        if name in MOVES:
            return values[0].picked(_moved(target, arguments, keywords, values[0]))
        if name in ("add", "sub") and len(values) == 2:
            factor = float(keywords.get("alpha", 1)) * (-1 if name == "sub" else 1)
            return arguments[0].plus(arguments[1].times(np.asarray(factor)))
        if name == "cat":
            return _joined(target, arguments, keywords, values)
        if name in NONLINEAR:
            return NONLINEAR[name](node, *arguments)
        if name in AFFINE and len(values) == 1:
            return _affine(target, arguments, keywords, values[0], node)
        if name in AFFINE:
            raise _refused(node, f"multiplies or divides two tensors that depend on x ({name})")
        raise _refused(node, f"is {name}, which is not known to be convex and conic here")


def _affine(target: Any, arguments: Any, keywords: Any, value: Value, node: fx.Node) -> Value:
    """Return an affine operation of a value, its matrix the derivative at zero."""

    def applied(flat: Tensor) -> Tensor:
        part = flat.reshape(value.shape)
        result: Tensor = target(*_replaced(arguments, value, part), **keywords)
        return result

    zero = torch.zeros(value.size, dtype=torch.float64)
    with torch.no_grad():
        constant = applied(zero)
    if _name(target) == "div" and isinstance(arguments[1], Value):
        raise _refused(node, "divides by a tensor that depends on x")
    jacobian: Any = torch.autograd.functional.jacobian(applied, zero, vectorize=True)
    matrix = jacobian.reshape(constant.numel(), value.size).detach().numpy()
    return value.mapped(matrix, tuple(constant.shape), _layer(node)).plus(constant.detach().numpy())


def _moved(target: Any, arguments: Any, keywords: Any, value: Value) -> Any:
    keywords = {name: entry for name, entry in keywords.items() if name != "dtype"}
    index = target(*_replaced(arguments, value, torch.from_numpy(value.index)), **keywords)
    return index.numpy()


def _joined(target: Any, arguments: Any, keywords: Any, values: list[Value]) -> Value:
    """Return a concatenation: each part in its place, zeros elsewhere, summed."""
    total: Any = None
    for place, part in enumerate(arguments[0]):
        size = part.size if isinstance(part, Value) else part.numel()
        index = [
            torch.arange(size).reshape(part.shape) if at == place else torch.full(tuple(other.shape), -1)
            for at, other in enumerate(arguments[0])
        ]
        where = target(index, *arguments[1:], **keywords).numpy()
        if isinstance(part, Value):
            piece: Any = part.picked(where)
        else:
            piece = np.where(where >= 0, part.detach().numpy().reshape(-1)[where], 0.0)
        total = piece if total is None else (total.plus(piece) if isinstance(total, Value) else piece.plus(total))
    result: Value = total
    return result


def _relu(node: fx.Node, value: Value, *rest: Any) -> Value:
    if rest not in ((), (0,), (0.0,), (0, None), (0.0, None)):
        raise _refused(node, f"clamps at {rest}; only max(., 0) is read")
    if any(group.kind == "norm" for group in value.atoms):
        raise _refused(node, "has a norm inside; a FrozenNet has norms in its read-out alone")
    count, least = negative(value)
    if count:
        raise _refused(
            node,
            f"takes {value.origin or 'its input'} with {count} negative hidden weights (least {least:.1e}), so that "
            "the module is not convex; train it with non-negative hidden weights",
        )
    return value.made("relu", _layer(node))


def _leaky(node: fx.Node, value: Value, slope: float = 0.01, *_: Any) -> Value:
    if not 0 <= slope <= 1:
        raise _refused(node, f"has slope {slope}; a convex leaky ReLU has one between 0 and 1")
    if slope and negative(value)[0]:
        _relu(node, value)
    return value.times(np.asarray(float(slope))).plus(_relu(node, value).times(np.asarray(1 - float(slope))))


def _maximum(node: fx.Node, first: Any, second: Any) -> Value:
    """Return max(a, b) = b + relu(a - b); a - b must be affine in x and convex atoms."""
    if not isinstance(first, Value):
        first, second = second, first
    if isinstance(second, Value):
        difference = first.plus(second.times(np.asarray(-1.0)))
        return second.plus(_relu(node, difference))
    limit = second.detach().numpy().astype(np.float64)
    return _relu(node, first.plus(-limit)).plus(limit)


def _square(node: fx.Node, value: Value, power: Any = 2) -> Value:
    if power != 2 or value.atoms:
        raise _refused(node, "is not the square of an affine function of x")
    return value.made("square", _layer(node))


def _product(node: fx.Node, first: Any, second: Any) -> Any:
    if isinstance(first, Value) and first is second:
        return _square(node, first)
    if isinstance(first, Value) and isinstance(second, Value):
        raise _refused(node, "multiplies two tensors that depend on x")
    value = first if isinstance(first, Value) else second
    factor = second if isinstance(first, Value) else first
    return value.times(np.asarray(factor.detach().numpy() if isinstance(factor, Tensor) else factor, dtype=np.float64))


def _absolute(node: fx.Node, value: Value) -> Value:
    if value.atoms:
        raise _refused(node, "takes the absolute value of a convex function")
    return _relu(node, value).plus(_relu(node, value.times(np.asarray(-1.0))))


NONLINEAR: dict[str, Callable[..., Any]] = {
    "relu": _relu,
    "relu_": _relu,
    "clamp_min": _relu,
    "clamp": _relu,
    "leaky_relu": _leaky,
    "maximum": _maximum,
    "pow": _square,
    "square": _square,
    "mul": _product,
    "abs": _absolute,
}


def _compare(net: Imported, module: nn.Module, x: Tensor) -> None:
    """Raise a ModelError where the network has other values than the module."""
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn((len(SPREADS) * POINTS, *x.shape), generator=draw, dtype=torch.float64)
    scale = torch.tensor(SPREADS, dtype=torch.float64).repeat_interleave(POINTS).reshape(-1, *[1] * x.ndim)
    points = torch.cat([x[None], x + scale * noise])
    with torch.no_grad():
        values = torch.stack([module(point).reshape(()) for point in points])
    far = disagreement(net, points.reshape(len(points), -1), values, TOLERANCES["float64"])
    if far is not None:
        at, ours, theirs, _ = far
        raise ModelError(f"the network read has {ours:.9g} at point {at} of the comparison, the module {theirs:.9g}")


def _replaced(arguments: Any, value: Value, part: Tensor) -> Any:
    if isinstance(arguments, list | tuple):
        return type(arguments)(_replaced(argument, value, part) for argument in arguments)
    return part if arguments is value else arguments


def _flat(arguments: Any) -> list[Any]:
    if isinstance(arguments, list | tuple):
        return [part for argument in arguments for part in _flat(argument)]
    return [arguments]


def _name(target: Any) -> str:
    packet = getattr(target, "overloadpacket", target)
    return str(getattr(packet, "__name__", packet)).rpartition(".")[2]


def _layer(node: fx.Node) -> str:
    """Return the layer of a node, as the user's module calls it."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = list(stack.values())[-1] if stack else ("", "")
    label = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    label = label.rpartition(".")[2]
    return f"layer '{path}' ({label})" if path else (f"the module itself ({label})" if label else f"node {node.name}")


def _refused(node: fx.Node, reason: str) -> SocicnnError:
    return ModelError(f"{_layer(node)} {reason}")
