"""Convex functions of torch with kinks, written in the two kinds that are known here: relu and Euclidean norms.

    |a| = relu(a) + relu(-a)        max(a, b) = a + relu(b - a)        leaky_relu(a) = s a + (1 - s) relu(a)

Both are smoothed by `Smoothing` and held by the pieces of a `DecisionLayer`. Whether a call can be rewritten
depends on types and numbers of its arguments alone, so that every piece of a module has the same calls in one order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

FAR = 1e6  # a bound that is as far below is never added to x, whose digits it would take
RELUS = (torch.relu, nn.functional.relu, Tensor.relu)
_ABSOLUTE = {torch.abs, torch.absolute, Tensor.abs, Tensor.absolute, Tensor.__abs__}
_LARGER = {torch.maximum, Tensor.maximum, torch.max, Tensor.max}
_CLAMPED = {torch.clamp, torch.clip, Tensor.clamp, Tensor.clip, torch.clamp_min, Tensor.clamp_min}
BOUNDED = _LARGER | _CLAMPED  # what follows, a square for instance, may need them above their bound
_NORMS = {torch.norm: "p", Tensor.norm: "p", torch.linalg.norm: "ord", torch.linalg.vector_norm: "ord"}
_OTHERS = {  # have kinks, and are not rewritten
    *(torch.max, Tensor.max, torch.amax, Tensor.amax, torch.min, Tensor.min, torch.amin, Tensor.amin, torch.minimum),
    *(Tensor.minimum, torch.sort, Tensor.sort, torch.topk, Tensor.topk, torch.kthvalue, Tensor.kthvalue, torch.median),
    *(Tensor.median, torch.relu_, Tensor.relu_, torch.abs_, Tensor.abs_, torch.clamp_, Tensor.clamp_, torch.prelu),
    *(nn.functional.l1_loss, nn.functional.hardtanh, nn.functional.relu6, nn.functional.prelu, torch.cdist),
    *(nn.functional.max_pool1d, nn.functional.max_pool2d, nn.functional.threshold, nn.functional.leaky_relu),
    *(*_ABSOLUTE, *_CLAMPED, *_LARGER),
}


def in_known_kinks(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Tensor] | None:
    """Return how to compute a call by relu and Euclidean norms alone; None where that is not known here.

    Args:
        func: function of torch, as a `TorchFunctionMode` is told.
        args: its arguments.
        kwargs: its arguments by name.
    """
    if not args or not isinstance(args[0], Tensor) or not args[0].dtype.is_floating_point:
        return None
    a = args[0]
    if func in _ABSOLUTE and len(args) == 1 and not kwargs:
        return lambda: torch.relu(a) + torch.relu(-a)
    if func in _LARGER and not kwargs and len(args) == 2 and isinstance(args[1], Tensor):
        return lambda: a + torch.relu(args[1] - a)
    if func in _CLAMPED:
        return _clamped(a, *args[1:], **kwargs)
    if func is nn.functional.leaky_relu:
        return _leaky(a, *args[1:], **kwargs)
    return _norm(_NORMS[func], a, *args[1:], **kwargs) if func in _NORMS else None


def constant_first(func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments of a maximum of x and a constant, the constant first: a smoothed maximum is at least that.

    As in max(a, 0)^2, which rises only where its argument is >= 0.
    """
    if func in _LARGER and len(args) == 2 and not depends(args[1:]):
        other = args[1]
        if isinstance(other, Tensor) and other.dtype.is_floating_point and bool((other > -FAR).all()):
            return other, args[0]
    return args


def is_unknown(func: Any) -> bool:
    """Return whether a function has kinks that are not known here, unless `in_known_kinks` rewrites the call."""
    return func in _OTHERS


def depends(args: Sequence[Any]) -> bool:
    """Return whether an argument of a call requires a gradient, as x does and what is computed from it."""
    return any(isinstance(argument, Tensor) and argument.requires_grad for argument in args)


def _clamped(a: Tensor, min: Any = None, max: Any = None) -> Callable[[], Tensor] | None:  # torch's own names
    if min is None or max is not None:
        return None  # from above it bends down
    if not isinstance(min, Tensor) and min <= -FAR:
        return (lambda: a) if min == -math.inf else lambda: a + torch.relu(min - a)
    if isinstance(min, Tensor) or min != 0:
        return lambda: min + torch.relu(a - min)
    return lambda: torch.relu(a)


def _leaky(a: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Callable[[], Tensor] | None:
    if inplace or negative_slope > 1:
        return None  # or concave
    return lambda: negative_slope * a + (1 - negative_slope) * torch.relu(a)


def _norm(named: str, a: Tensor, *more: Any, **kwargs: Any) -> Callable[[], Tensor] | None:
    """Return a norm of order 2 or 1 along one axis."""
    asked = dict(zip((named, "dim", "keepdim"), more, strict=False)) | kwargs
    order, dim, keepdim = asked.pop(named, None), asked.pop("dim", None), asked.pop("keepdim", False)
    if isinstance(dim, list | tuple) and len(dim) == 1:
        dim = dim[0]
    if not isinstance(dim, int) or any(value is not None for value in asked.values()):
        return None  # over two axes, some orders are those of a matrix
    if order in (None, 2, "fro"):
        return lambda: torch.linalg.vector_norm(a, dim=dim, keepdim=keepdim)
    if order == 1:
        return lambda: torch.abs(a).sum(dim=dim, keepdim=keepdim)
    return None
