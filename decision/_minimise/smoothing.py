"""Kinks made smooth: the one formula, and convex torch modules evaluated with it.

    (a + sqrt(a^2 + 4 delta^2)) / 2 - delta  <=  relu(a)  <=  (a + sqrt(a^2 + 4 delta^2)) / 2
    sqrt(||u||^2 + delta^2) - delta          <=  ||u||    <=  sqrt(||u||^2 + delta^2)
    tau log(1 + exp(a / tau))                <=  width log(1 + exp(a / width))   for width >= tau

Source: Nesterov, "Smooth minimization of non-smooth functions", 2005. The curvature of neither has a jump that Newton's
method could be caught at; softplus units are made smoother where tau is small. Networks as arrays are smoothed from
above: their multipliers give a bound from below all the same. A module has no multipliers, and is smoothed from below.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from decision._minimise.kinks import BOUNDED, RELUS, constant_first, depends, in_known_kinks
from socicnn.errors import ModelError

NARROW = 1e-150  # a width that no value in float64 feels, but whose square is not 0
TAIL = 40.0  # exp(-40) is nothing beside 1
LEAST = 1e-300  # width whose inverse is finite


def smooth_relu(a: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """Return (a + root) / 2 and root = sqrt(a^2 + 4 delta^2); the slope is the first over the second.

    Args:
        a: any shape.
        delta: width, > 0, broadcast against a.
    """
    root = a.square().add_(4.0 * delta.square()).sqrt_()
    return (a + root).mul_(0.5), root  # never negative: the root is at least |a|, in floats too


def smooth_length(square: Tensor, delta: Tensor) -> Tensor:
    """Return sqrt(square + delta^2), `square` being the sum of the squares of a vector's entries."""
    return (square + delta.square()).sqrt()


def smooth_hinge(a: Tensor, delta: Tensor) -> Tensor:
    """Return a convex function of a with two derivatives, between relu(a) - delta and relu(a): 0 up to a = 0.

        2 delta (t^3 - t^4 / 2)   for t = a / (2 delta) in [0, 1]

    It keeps the range of relu, so that a square or a power of 1.5 may follow; its curvature is three times as large.

    Args:
        a: any shape.
        delta: width, > 0, broadcast against a; from a = 2 delta on the function is a - delta.
    """
    width = 2.0 * delta
    t = (a / width).clamp(0.0, 1.0)
    return torch.where(a >= width, a - delta, width * t**3 * (1.0 - 0.5 * t))


def softplus(a: Tensor, width: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return width log(1 + exp(a / width)), to full precision, and t = a / width; the slope is sigmoid(t)."""
    t = a / width
    if isinstance(width, float) and width > LEAST:  # torch's own, five times as fast, with a tail that float64 feels
        return nn.functional.softplus(a, 1.0 / width, TAIL), t
    return a.relu() + width * t.abs().neg_().exp_().log1p_(), t


def entropy(t: Tensor) -> Tensor:
    """Return H(p) = -p log p - (1 - p) log(1 - p) at p = sigmoid(t), without cancellation."""
    size = t.abs()
    e = (-size).exp_()
    return e.log1p() + size * (e / (1.0 + e))


@final
class Smoothing(TorchFunctionMode):
    """While it is entered, relu and Euclidean norms of x are evaluated smoothed, never above their own values.

    So are abs, maximum, clamp from below, leaky_relu and norms of order 1, which are rewritten (`in_known_kinks`).
    Maxima and clamps stay above their bounds.

    Only tensors that require a gradient, as x does and what is computed from it, are smoothed: a context's part in a
    network is neither convex nor increasing, and a smaller relu there could raise f. If a network whose later layers
    are non-decreasing is evaluated, it becomes a smooth f_delta <= f.

    Args:
        delta: width, > 0, one per row of what is evaluated; results with another first axis take the least of them.

    >>> with Smoothing(torch.tensor([0.25])):
    ...     torch.relu(torch.tensor([0.25, 2.0], requires_grad=True)).detach()
    tensor([0.1545, 1.7808])
    """

    def __init__(self, delta: Tensor) -> None:
        super().__init__()
        self.delta = delta
        self._least = delta.min() if len(delta) else delta.new_ones(())
        self._bounded = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace what is smoothed, pass on the rest."""
        kwargs = kwargs or {}
        if (func is not torch.linalg.vector_norm or len(args) > 1 or "ord" in kwargs) and depends(args):
            rewritten = in_known_kinks(func, constant_first(func, args), kwargs)
            if rewritten is not None:
                self._bounded = func in BOUNDED
                try:
                    with self:
                        return rewritten()
                finally:
                    self._bounded = False
        moves = bool(args) and isinstance(args[0], Tensor) and args[0].requires_grad
        if func in RELUS and moves:
            delta = self._width(args[0])
            return smooth_hinge(args[0], delta) if self._bounded else smooth_relu(args[0], delta)[0] - delta
        if func is torch.linalg.vector_norm and moves:
            if set(kwargs) - {"dim", "keepdim"} or len(args) != 1:
                raise ModelError(
                    "only Euclidean norms can be smoothed, torch.linalg.vector_norm(u, dim=..., keepdim=...); received "
                    f"further arguments {sorted(set(kwargs) - {'dim', 'keepdim'})}"
                )
            square = args[0].square().sum(**kwargs)
            delta = self._width(square)
            return smooth_length(square, delta) - delta
        return func(*args, **kwargs)

    def _width(self, result: Tensor) -> Tensor:
        """Return the widths, shaped for a result: any positive widths keep f_delta below f."""
        if result.ndim and len(result) == len(self.delta):
            return self.delta.reshape(-1, *(1,) * (result.ndim - 1))
        return self._least
