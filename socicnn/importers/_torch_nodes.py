"""What each kind of node of a traced torch module does to affine expressions of x and convex atoms."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from socicnn._arrays import IntArray
from socicnn.errors import ModelError
from socicnn.importers._contraction import einsum, stacked_product
from socicnn.importers._entries import broadcast, groups, joined, summed
from socicnn.importers._forms import product
from socicnn.importers._norms import norms, root
from socicnn.importers._piecewise import (
    absolute,
    largest_of,
    leaky,
    log_sum_exp,
    log_sum_exp_of,
    max_pool,
    maximum,
    unit,
)
from socicnn.importers._place import squared
from socicnn.importers._value import Value

# what only moves entries about: done to the entries' places
MOVES = {
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "squeeze", "unsqueeze", "select", "slice",
    "expand", "alias", "clone", "detach", "flatten", "contiguous", "_to_copy", "to", "lift_fresh_copy", "flip",
    "roll", "index", "index_select", "diagonal",
}  # fmt: skip
# what is affine in its one input that depends on x: its matrix is its derivative
AFFINE = {
    "linear", "addmm", "mm", "matmul", "mv", "dot", "bmm", "sum", "mean", "mul", "div", "neg", "add", "sub", "rsub",
    "convolution", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "_adaptive_avg_pool3d", "constant_pad_nd", "dropout", "cumsum",
    "_native_batch_norm_legit_no_training", "native_batch_norm", "batch_norm",
}  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One node of the graph.

    Args:
        target: the operation.
        words: the layer that it stands in, as the module calls it.
        arguments: tensors, values that depend on x, numbers.
        keywords: the same by name.
    """

    target: Any
    words: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]

    def refused(self, why: str, level: int | None = None) -> ModelError:
        """Return an error that names the layer."""
        return ModelError(f"{self.words} {why}")

    @property
    def name(self) -> str:
        """The operation's name, without its variant."""
        packet = getattr(self.target, "overloadpacket", self.target)
        return str(getattr(packet, "__name__", packet)).rpartition(".")[2]

    @property
    def values(self) -> list[Value]:
        """The arguments that depend on x."""
        return [part for part in flat(self.arguments) if isinstance(part, Value)]

    def option(self, at: int, name: str, default: Any) -> Any:
        """Return an argument by its place or name."""
        return self.arguments[at] if len(self.arguments) > at else self.keywords.get(name, default)

    def groups(self, at: int) -> tuple[IntArray, tuple[int, ...]]:
        """Return what a reduction reads, over the axes that argument `at` names (all if omitted), and its shape."""
        value, axes = self.values[0], self.option(at, "dim", ())
        rank = len(value.shape)
        reduced = sorted({axis % rank for axis in ([axes] if isinstance(axes, int) else axes or ())})
        return groups(value, reduced or range(rank), keep=bool(self.option(at + 1, "keepdim", False)))


Handler: TypeAlias = Callable[[Call], Any]


@dataclass(frozen=True)
class First:
    """The first of several results, the only one that is read."""

    value: Value


def result(call: Call) -> Any:
    """Return what a call makes of its arguments, one of which depends on x."""
    name, values = call.name, call.values
    if call.target is operator.getitem and isinstance(call.arguments[0], First) and call.arguments[1] == 0:
        return call.arguments[0].value
    if not values:
        raise call.refused("reads more than the first result of an operation, which is not read")
    if name in MOVES:
        return values[0].picked(_moved(call, values[0]))
    if name in HANDLERS:
        return HANDLERS[name](call)
    if name in AFFINE and len(values) == 1:
        return _affine(call, values[0])
    if name in AFFINE:
        raise call.refused(f"multiplies or divides two tensors that depend on x ({name})")
    raise call.refused(f"is {name}, which is not known to be convex and conic here")


def flat(arguments: Any) -> list[Any]:
    """Return the arguments, those inside lists too."""
    if isinstance(arguments, list | tuple):
        return [part for argument in arguments for part in flat(argument)]
    return [arguments]


def _affine(call: Call, value: Value) -> Any:
    """Return an affine operation of a value, its matrix the derivative at zero."""
    if call.name == "div" and isinstance(call.arguments[1], Value):
        raise call.refused("divides by a tensor that depends on x")
    several = False

    def applied(entries: Tensor) -> Tensor:
        nonlocal several
        made = call.target(*_replaced(call.arguments, value, entries.reshape(value.shape)), **call.keywords)
        several = isinstance(made, tuple | list)
        first: Tensor = made[0] if several else made
        return first

    zero = torch.zeros(value.size, dtype=torch.float64)
    with torch.no_grad():
        constant = applied(zero)
    jacobian: Any = torch.autograd.functional.jacobian(applied, zero, vectorize=True)
    matrix = jacobian.reshape(constant.numel(), value.size).detach().numpy()
    made = value.mapped(matrix, tuple(constant.shape), call.words).plus(constant.detach().numpy())
    return First(made) if several else made


def _moved(call: Call, value: Value) -> Any:
    keywords = {name: entry for name, entry in call.keywords.items() if name != "dtype"}
    return call.target(*_replaced(call.arguments, value, torch.from_numpy(value.index)), **keywords).numpy()


def _replaced(arguments: Any, value: Value, part: Tensor) -> Any:
    if isinstance(arguments, list | tuple):
        return type(arguments)(_replaced(argument, value, part) for argument in arguments)
    return part if arguments is value else arguments


def _pad(call: Call) -> Value:
    """Pad with entries of the tensor (modes circular, reflect and replicate), or with a constant."""
    value = call.values[0]
    if call.option(2, "mode", "constant") == "constant":
        made: Value = _affine(call, value)
        return made
    places = torch.from_numpy(value.index.astype(np.float64))  # integers have no reflection in torch
    index = call.target(*_replaced(call.arguments, value, places), **call.keywords).numpy()
    return value.picked(np.rint(index).astype(np.int64))


def _cat(call: Call) -> Any:
    parts, *rest = call.arguments

    def join(numbers: list[IntArray]) -> Any:
        return call.target([torch.from_numpy(part) for part in numbers], *rest, **call.keywords).numpy()

    return joined(_tensors(parts), join)


def _sum(call: Call) -> Any:
    """Add or subtract two tensors that depend on x; one alone is affine."""
    if len(call.values) < 2:
        return _affine(call, call.values[0])
    factor = float(call.keywords.get("alpha", 1)) * (-1 if call.name == "sub" else 1)
    first, second = call.arguments[:2]
    return first.plus(second.times(np.asarray(factor)))


def _product(call: Call) -> Any:
    first, second = call.arguments[:2]
    if len(call.values) < 2:
        factor = second if isinstance(first, Value) else first
        return call.values[0].times(_array(factor))
    if first is second:
        return squared(call, first)
    return product(call, *broadcast([first, second]))


def _matrix_product(call: Call) -> Any:
    if len(call.values) < 2:
        return _affine(call, call.values[0])
    made = stacked_product(call, *call.arguments[:2])
    return made.reshaped(()) if call.name == "dot" else made


def _einsum(call: Call) -> Value:
    equation, tensors = call.arguments[:2]
    return einsum(call, equation, _tensors(tensors))


def _power(call: Call) -> Value:
    value, exponent = call.values[0], call.option(1, "exponent", 2)
    if isinstance(exponent, Value):
        raise call.refused("has an exponent that depends on x; 2, 1 and, of a sum of squares, 0.5 are read")
    value, powers = broadcast([value, _array(exponent)])
    kinds = np.unique(powers).tolist()
    if kinds == [1]:
        return value
    if kinds == [0.5]:
        return root(call, value)
    if kinds != [2]:
        listed = ", ".join(f"{kind:g}" for kind in kinds)
        raise call.refused(f"has exponent {listed}; 2, 1 and, of a sum of squares, 0.5 are read")
    return squared(call, value)


def _softplus(call: Call) -> Value:
    """Read softplus of sharpness beta by its exact formula; torch drops its tail beyond a threshold."""
    return unit(call, call.values[0], 1.0 / float(call.option(1, "beta", 1.0)))


def _log_sum_exp(call: Call) -> Value:
    if call.name == "logaddexp":
        return log_sum_exp(call, broadcast(_tensors(call.arguments[:2])))
    return log_sum_exp_of(call, call.values[0], *call.groups(1))


def _p_relu(call: Call) -> Value:
    if isinstance(call.arguments[1], Value):
        raise call.refused("has slopes that depend on x; only constant ones keep the network convex")
    value, slope = call.values[0], _array(call.arguments[1])
    if slope.ndim == 1 and slope.size > 1:  # one per channel
        slope = slope.reshape(-1, *(1 for _ in value.shape[2:]))
    return leaky(call, value, np.broadcast_to(slope, value.shape))


def _clamp(call: Call) -> Value:
    low, high = call.option(1, "min", None), call.option(2, "max", None)
    if high is not None:
        raise call.refused("clamps from above: min(a, c) bends down, so that it is not convex")
    return maximum(call, broadcast(_tensors([call.arguments[0], low])))


def _maximum(call: Call) -> Any:
    """Return the maximum of two tensors, or over axes; the indices of the entries are not read."""
    if call.name in ("amax", "max") and len(call.values) == 1 and not isinstance(call.option(1, "other", None), Tensor):
        made = largest_of(call, call.values[0], *call.groups(1))
        return First(made) if call.name == "max" and isinstance(call.option(1, "dim", ()), int) else made
    return maximum(call, broadcast(_tensors(call.arguments[:2])))


def _max_pool(call: Call) -> Any:
    value = call.values[0]
    rank = len(value.shape) - 2
    kernel, strides, pads, dilations = (
        _per_axis(call.option(at, name, default), rank)
        for at, name, default in ((1, "kernel_size", 1), (2, "stride", []), (3, "padding", 0), (4, "dilation", 1))
    )
    settings = {
        "kernel_shape": kernel,
        "strides": strides or kernel,
        "pads": [*pads, *pads],
        "dilations": dilations,
        "ceil_mode": int(bool(call.option(5, "ceil_mode", False))),
    }
    made = max_pool(call, value, settings)
    return First(made) if "indices" in call.name else made


def _vector_norm(call: Call) -> Value:
    value, order = call.values[0], float(call.option(1, "ord", 2))
    if order not in (1, 2):
        raise call.refused(f"is a norm of order {order:g}; the 1-norm and the 2-norm are read")
    reduced = call.groups(2)
    return norms(call, value, *reduced) if order == 2 else summed(absolute(call, value), *reduced)


def _per_axis(setting: Any, rank: int) -> list[int]:
    listed = [setting] if isinstance(setting, int) else list(setting)
    return listed * rank if len(listed) == 1 else listed


def _tensors(parts: Any) -> list[Any]:
    """Return tensors as they are read: constants as arrays."""
    return [part if isinstance(part, Value) else _array(part) for part in parts]


def _array(part: Any) -> Any:
    return np.asarray(part.detach().numpy() if isinstance(part, Tensor) else part, dtype=np.float64)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("add", "sub"), _sum),
    **dict.fromkeys(("mm", "bmm", "matmul", "dot", "mv"), _matrix_product),
    **dict.fromkeys(("relu", "relu_"), lambda call: unit(call, call.values[0])),
    **dict.fromkeys(
        ("leaky_relu", "leaky_relu_"),
        lambda call: leaky(call, call.values[0], _array(call.option(1, "negative_slope", 0.01))),
    ),
    **dict.fromkeys(("prelu", "_prelu_kernel"), _p_relu),
    **dict.fromkeys(("clamp", "clamp_", "clamp_min"), _clamp),
    **dict.fromkeys(("maximum", "max", "amax"), _maximum),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool2d_with_indices"), _max_pool),
    **dict.fromkeys(("pow", "square"), _power),
    "softplus": _softplus,
    **dict.fromkeys(("logsumexp", "logaddexp"), _log_sum_exp),
    "sqrt": lambda call: root(call, call.values[0]),
    "linalg_vector_norm": _vector_norm,
    "mul": _product,
    "einsum": _einsum,
    "abs": lambda call: absolute(call, call.values[0]),
    "cat": _cat,
    "pad": _pad,
}
