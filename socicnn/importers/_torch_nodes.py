"""What each kind of node of a traced torch module does to affine expressions of x and convex atoms."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from socicnn._arrays import IntArray
from socicnn.importers._contraction import einsum, stacked_product
from socicnn.importers._entries import broadcast, joined, plus
from socicnn.importers._forms import product
from socicnn.importers._place import squared
from socicnn.importers._torch_call import Call, First, Handler, array, tensors
from socicnn.importers._torch_terms import TERMS
from socicnn.importers._value import Value

# what only moves entries about: done to the entries' places
MOVES = {
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "squeeze", "unsqueeze", "select", "slice",
    "expand", "alias", "clone", "detach", "flatten", "contiguous", "_to_copy", "to", "lift_fresh_copy", "flip",
    "roll", "index", "index_select", "diagonal", "repeat", "tile", "repeat_interleave", "unfold", "rot90", "take",
    "gather", "take_along_dim", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "view_as", "expand_as",
    "type_as",
}  # fmt: skip
SEVERAL = {"split", "split_with_sizes", "chunk", "tensor_split", "unbind", "hsplit", "vsplit", "dsplit"}  # moves too
JOINS = ("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "row_stack")
SHAPED = {"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"}  # constants of a value's shape
# what is affine in its one input that depends on x: its matrix is its derivative
AFFINE = {
    "linear", "addmm", "mm", "matmul", "mv", "dot", "bmm", "sum", "mean", "mul", "div", "neg", "add", "sub", "rsub",
    "convolution", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "_adaptive_avg_pool3d", "constant_pad_nd", "dropout", "cumsum",
    "_native_batch_norm_legit_no_training", "native_batch_norm", "batch_norm", "addbmm", "tensordot", "inner",
    "outer", "ger", "kron", "tril", "triu", "diag", "diag_embed", "diff", "trace", "im2col", "col2im",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d",
    "upsample_trilinear3d", "upsample_bicubic2d",
}  # fmt: skip


def result(call: Call) -> Any:
    """Return what a call makes of its arguments, one of which depends on x."""
    name, values = call.name, call.values
    if call.target is operator.getitem and isinstance(call.arguments[0], First) and call.arguments[1] == 0:
        return call.arguments[0].value
    if call.target is operator.getitem and isinstance(call.arguments[0], list):
        return call.arguments[0][call.arguments[1]]
    if not values:
        raise call.refused("reads more than the first result of an operation, which is not read")
    if name == "_assert_tensor_metadata":  # stands beside `x.to(other)`, and has no result
        return None
    if name in SHAPED or (name in MOVES and not isinstance(call.arguments[0], Value)):
        return call.target(*_emptied(call.arguments, values, torch.float64), **call.keywords)
    if name in MOVES:
        return values[0].picked(_moved(call, values[0]).numpy())
    if name in SEVERAL:
        return [values[0].picked(places.numpy()) for places in _moved(call, values[0])]
    if name in HANDLERS:
        return HANDLERS[name](call)
    if name in AFFINE and len(values) == 1:
        return _affine(call, values[0])
    if name in AFFINE:
        raise call.refused(f"multiplies or divides two tensors that depend on x ({name})")
    raise call.refused(f"is {name}, which is not known to be convex and conic here")


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
    others = [part for part in call.values if part is not value]
    arguments = _replaced(call.arguments, value, torch.from_numpy(value.index))
    return call.target(*_emptied(arguments, others, torch.int64), **keywords)


def _emptied(arguments: Any, values: list[Value], kind: torch.dtype) -> Any:
    """Return arguments with zeros in place of values that only lend their shape."""
    for value in values:
        arguments = _replaced(arguments, value, torch.zeros(value.shape, dtype=kind))
    return arguments


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
        return call.target([torch.as_tensor(part) for part in numbers], *rest, **call.keywords).numpy()

    return joined(tensors(parts), join)


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
        return call.values[0].times(array(factor))
    if first is second:
        return squared(call, first)
    return product(call, *broadcast([first, second]))


def _matrix_product(call: Call) -> Any:
    if len(call.values) < 2:
        return _affine(call, call.values[0])
    made = stacked_product(call, *call.arguments[:2])
    return made.reshaped(()) if call.name == "dot" else made


def _einsum(call: Call) -> Value:
    equation, parts = call.arguments[:2]
    return einsum(call, equation, tensors(parts))


def _add_product(call: Call) -> Any:
    """Return beta c + alpha A B, a product of matrices or (addcmul) of entries; one of the three alone is affine."""
    if len(call.values) < 2:
        return _affine(call, call.values[0])
    first, *factors = call.arguments[:3]
    entries = call.name == "addcmul"
    target = torch.mul if entries else torch.matmul
    part = replace(call, target=target, arguments=tuple(factors), keywords={})
    multiplied = (_product if entries else _matrix_product)(part) if part.values else target(*factors)
    alpha, beta = (array(call.keywords.get(name, 1)) for name in ("value" if entries else "alpha", "beta"))
    return _combined((first, beta), (multiplied, alpha))


def _broadcast(call: Call) -> list[Any]:
    parts = broadcast(tensors(call.arguments[0]))
    return [part if isinstance(part, Value) else torch.as_tensor(np.array(part)) for part in parts]


def _where(call: Call) -> Any:
    """Choose between two tensors by a constant mask."""
    mask, first, second = call.arguments
    if call.name == "masked_fill":
        mask, first, second = first, second, mask
    if isinstance(mask, Value):
        raise call.refused("chooses by a condition that depends on x")
    chosen = array(mask)
    return _combined((first, chosen), (second, 1.0 - chosen))


def _lerp(call: Call) -> Any:
    """Return a + w (b - a) with a constant w."""
    first, second, weight = call.arguments
    if isinstance(weight, Value):
        raise call.refused("has a weight that depends on x")
    share = array(weight)
    return _combined((first, 1.0 - share), (second, share))


def _combined(*parts: tuple[Any, Any]) -> Any:
    """Return the sum of two tensors, each times constant factors."""

    def scaled(part: Any, factor: Any) -> Any:
        if isinstance(part, Value):
            return part.times(factor)
        return np.where(factor == 0, 0.0, array(part)) * factor  # a fill of infinity that nothing takes

    return plus(*(scaled(part, factor) for part, factor in parts))


HANDLERS: dict[str, Handler] = {
    **TERMS,
    **dict.fromkeys(("add", "sub"), _sum),
    **dict.fromkeys(("mm", "bmm", "matmul", "dot", "mv"), _matrix_product),
    **dict.fromkeys(("addmm", "baddbmm", "addmv", "addcmul"), _add_product),
    "mul": _product,
    "einsum": _einsum,
    **dict.fromkeys(("where", "masked_fill"), _where),
    "broadcast_tensors": _broadcast,
    "lerp": _lerp,
    **dict.fromkeys(JOINS, _cat),
    "pad": _pad,
}
