"""Read a torch module that is convex in its input: `torch.export` gives its graph, whose nodes become `Value`s.

Whatever depends on parameters alone is computed as it stands, so that it does not matter how weights are kept
non-negative: parametrisations, softplus, exp, clamp.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, fx, nn

from socicnn._arrays import as_float64
from socicnn.errors import ModelError
from socicnn.frozen._bundle import Parts
from socicnn.importers._agreement import TOLERANCES, Imported, disagreement
from socicnn.importers._assemble import assemble
from socicnn.importers._forms import without_products
from socicnn.importers._torch_call import Call, First, flat
from socicnn.importers._torch_nodes import result
from socicnn.importers._value import Value

N = TypeVar("N", bound=Imported)
POINTS, SPREADS = 8, (0.1, 1.0, 10.0)  # points of the comparison at the end, for each spread
SOFTPLUS_TAIL = 2e-10  # relative: torch's softplus leaves out log1p(exp(-20)) = 2.1e-9 beside 20


def from_torch(make: Callable[[Parts], N], module: nn.Module, example: Any) -> N:
    """Return the network that `make` builds of a module; see `FrozenNet.from_torch`.

    Raises:
        ModelError: the module cannot be traced, is not convex, or has other values than the network read.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"from_torch reads a torch module; received {type(module).__name__}")
    if getattr(module, "needs_data", False):
        raise ModelError("the module's weights depend on data; give what `finalise(train_data)` returns")
    if any(part.is_meta for part in (*module.parameters(), *module.buffers())):
        raise ModelError(
            "the module is on the meta device, where weights have no values; call module.to_empty(device='cpu') and "
            "load its weights"
        )
    wide = _copied(module).cpu().double().eval()  # the graph is evaluated beside arrays of NumPy
    x = torch.tensor(as_float64(example, "example"))
    if not x.ndim or not len(x) or not torch.isfinite(x).all():
        raise ModelError("example must be a batch of finite points, one or more, e.g. torch.zeros(1, n)")
    x = x[:1] if x.ndim > 1 else x
    shape = tuple(x.shape[1:]) if x.ndim > 1 else tuple(x.shape)
    reader = _Reader(*_traced(wide, x))
    net = make(assemble(reader.run(x), "of the module", shape))
    soft = any("softplus" in str(node.target) for node in reader.graph.graph.nodes)
    _compare(net, wide, x, SOFTPLUS_TAIL if soft else TOLERANCES["float64"])
    return net


def _copied(module: nn.Module) -> nn.Module:
    """Return a copy; torch copies no tensor that has a graph, as `nn.utils.weight_norm` keeps, so that those are cut.

    Raises:
        ModelError: the module cannot be copied.
    """
    parts = [part for child in module.modules() for part in (*vars(child).values(), *child.buffers(recurse=False))]
    cut = {id(part): part.detach().clone() for part in parts if isinstance(part, Tensor) and not part.is_leaf}
    try:
        return copy.deepcopy(module, cut)
    except Exception as error:  # whatever the module holds
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"the module cannot be copied ({reason}); give one that copy.deepcopy copies") from None


def _traced(module: nn.Module, x: Tensor) -> tuple[fx.GraphModule, list[Any]]:
    """Return the graph of a module, and the values of its inputs but for x, which is None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, (x,), strict=False).run_decompositions({})  # the default from 2.7 on
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
        return without_products(None, value)

    def _call(self, node: fx.Node, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if not any(isinstance(part, Value | First) for part in flat(arguments)):
            with torch.no_grad():
                return node.target(*arguments, **keywords)  # type: ignore[operator]  # a function, as every call here
        return result(Call(node.target, _layer(node), arguments, keywords))


def _compare(net: Imported, module: nn.Module, x: Tensor, tolerance: float) -> None:
    """Raise a ModelError where the network has other values than the module."""
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn((len(SPREADS) * POINTS, *x.shape), generator=draw, dtype=torch.float64)
    scale = torch.tensor(SPREADS, dtype=torch.float64).repeat_interleave(POINTS).reshape(-1, *[1] * x.ndim)
    points = torch.cat([x[None], x + scale * noise])
    with torch.no_grad():
        values = torch.stack([module(point).reshape(()) for point in points])
    far = disagreement(net, points.reshape(len(points), -1), values, tolerance)
    if far is not None:
        at, ours, theirs, _ = far
        raise ModelError(f"the network read has {ours:.9g} at point {at} of the comparison, the module {theirs:.9g}")


def _layer(node: fx.Node) -> str:
    """Return the layer of a node, as the user's module calls it."""
    stack = node.meta.get("nn_module_stack") or {}
    path, kind = list(stack.values())[-1] if stack else ("", "")
    label = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    label = label.rpartition(".")[2]
    return f"layer '{path}' ({label})" if path else (f"the module itself ({label})" if label else f"node {node.name}")
