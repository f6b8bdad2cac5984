"""Standardisation that a network carries: f(x, theta) = y_mean + y_scale g((x - x_mean) / x_scale, ...)."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from socicnn._arrays import Array, as_float64
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Output
from socicnn.frozen._composition import composed_layer, composed_term
from socicnn.frozen._network import BRANCHES


@final
class Standardisation(nn.Module):
    """Means and scales as buffers, 0 and 1 until set.

    Each mean has a second buffer, what its first lost to the network's type: means of data far from zero keep their
    digits in float32 too. In float64 it is zero, unless the network came there from a narrower type.

    A conversion to a type that does not hold the mean splits it again, and so does a wider state that is loaded: what
    the first buffer loses, the second takes.

    Args:
        x_shape: shape that broadcasts to x: of x itself, or with ones where one number serves a whole axis.
        context_shape: the same for the context; None without a context.
    """

    x_mean: Tensor
    x_mean_low: Tensor
    x_scale: Tensor
    y_mean: Tensor
    y_mean_low: Tensor
    y_scale: Tensor

    def __init__(self, x_shape: tuple[int, ...], context_shape: tuple[int, ...] | None) -> None:
        super().__init__()
        shapes = {"x": x_shape, "y": ()} | ({} if context_shape is None else {"context": context_shape})
        for name, shape in shapes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(shape))
            self.register_buffer(f"{name}_mean_low", torch.zeros(shape))
            self.register_buffer(f"{name}_scale", torch.ones(shape))

    @torch.no_grad()
    def assign(self, name: str, mean: object, scale: object) -> None:
        """Set a mean and a scale (> 0), each of the full shape or broadcast to it.

        Raises:
            ModelError: a scale that is not positive, an entry that is not finite, both in the network's type too, or a
                shape that does not fit.
        """
        buffers = dict(self.named_buffers())
        for part, value in (("mean", mean), ("scale", scale)):
            key = f"{name}_{part}"
            if value is None:
                continue
            if key not in buffers:
                raise ModelError(f"{key} was given, but the network takes no {name}; leave it out")
            target = buffers[key]
            numbers = torch.tensor(as_float64(value, key))
            cast = f" in {target.dtype}, so use another unit or `model.double()`"
            for held, where in ((numbers, ""), (numbers.to(target.dtype), cast)):
                if not torch.isfinite(held).all() or (part == "scale" and not (held > 0).all()):
                    kind = "finite and positive" if part == "scale" else "finite"
                    raise ModelError(f"{key} must be {kind}{where}; received {numbers.flatten().tolist()[:5]}")
            try:
                target.copy_(numbers.expand(target.shape))
                if part == "mean":
                    buffers[f"{key}_low"].copy_(numbers.to(target.device).expand(target.shape) - target.double())
            except RuntimeError:
                wanted = tuple(target.shape)
                raise ModelError(
                    f"{key} must broadcast to shape {wanted}; received shape {tuple(numbers.shape)}"
                ) from None

    def x(self, x: Tensor) -> Tensor:
        """Return (x - x_mean) / x_scale."""
        return (x - self.x_mean - self.x_mean_low) / self.x_scale

    def context(self, context: Tensor) -> Tensor:
        """Return (theta - theta_mean) / theta_scale."""
        centred = context - self.get_buffer("context_mean") - self.get_buffer("context_mean_low")
        return centred / self.get_buffer("context_scale")

    def y(self, value: Tensor) -> Tensor:
        """Return y_mean + y_scale value."""
        return self.y_mean + (self.y_mean_low + self.y_scale * value)

    def exact_mean(self, name: str) -> Tensor:
        """Return the mean of x, context or y in float64, with all the digits that are held."""
        return self.get_buffer(f"{name}_mean").double() + self.get_buffer(f"{name}_mean_low").double()

    def exact(self, name: str, values: Tensor) -> Tensor:
        """Return (values - mean) / scale of float64 values of x or context, in float64 on their own device."""
        mean, scale = self.exact_mean(name), self.get_buffer(f"{name}_scale").double()
        return (values - mean.to(values.device)) / scale.to(values.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Standardisation:
        """Convert or move, with means split again where their type no longer holds them."""
        before = {key: (self.get_buffer(key), self.get_buffer(f"{key}_low")) for key in self._means()}
        super()._apply(fn, recurse)
        for key, (mean, low) in before.items():
            converted = self.get_buffer(key)
            if _narrows(mean, converted):
                self._buffers[key], self._buffers[f"{key}_low"] = _split(mean, low, converted)
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *arguments: Any
    ) -> None:
        """Take wider states, and those of older versions too, whose means have no second buffer."""
        replaced = local_metadata.get("assign_to_params_buffers", False)  # the state's tensors become the buffers
        for key in self._means():
            mean, own = state_dict.get(prefix + key), self.get_buffer(key)
            if not isinstance(mean, Tensor):
                continue
            low = state_dict.setdefault(f"{prefix}{key}_low", torch.zeros_like(mean))
            if not replaced and isinstance(low, Tensor) and low.shape == mean.shape and _narrows(mean, own):
                state_dict[prefix + key], state_dict[f"{prefix}{key}_low"] = _split(mean, low, own)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *arguments)

    def _means(self) -> list[str]:
        """Return the names of the means, each of which has a second buffer."""
        return [name.removesuffix("_low") for name in self._buffers if name.endswith("_low")]

    def numbers(self, input_shape: tuple[int, ...]) -> tuple[Array, Array, float, float]:
        """Return mean and scale of each entry of x, and those of y, in float64."""
        m, s = (
            np.broadcast_to(as_float64(part.double()), input_shape).reshape(-1)
            for part in (self.exact_mean("x"), self.x_scale)
        )
        return m, s, float(self.exact_mean("y")), float(self.y_scale)

    def fold(self, net: FrozenNet, contexts: int | None = None) -> FrozenNet:
        """Return the network, or a stack, in the user's own units, folded in float64: U <- U / s, b <- b - U m / s."""
        assert net.input_shape is not None
        m, s, y_mean, y_scale = self.numbers(net.input_shape)
        if not m.any() and (s == 1).all() and (y_mean, y_scale) == (0.0, 1.0):
            own = net if net.contexts == contexts else copy(net)  # a stack of one: nothing is checked again
            object.__setattr__(own, "contexts", contexts)
            return own
        layers = [composed_layer(layer, s, m) for layer in net.layers]
        terms = {name: [composed_term(term, s, m, y_scale) for term in getattr(net, name)] for name in BRANCHES}
        branches: dict[str, Any] = terms
        out = net.output
        output = Output(y_scale * out.w, y_scale * out.v / s, y_mean + y_scale * (out.c - out.v @ (m / s)))
        return replace(net, layers=layers, output=output, contexts=contexts, **branches)


def _narrows(tensor: Tensor, target: Tensor) -> bool:
    """Return whether the type of a target does not hold all numbers of the tensor's type."""
    if tensor.dtype == target.dtype or not (tensor.is_floating_point() and target.is_floating_point()):
        return False
    own, other = torch.finfo(tensor.dtype), torch.finfo(target.dtype)
    return own.eps < other.eps or own.max > other.max


@torch.no_grad()
def _split(mean: Tensor, low: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return a mean in the type and at the place of a target, and what it lost; their sum is mean + low."""
    exact = mean.double() + low.double()
    rounded = exact.to(target.dtype)
    back = rounded.double()
    lost = torch.where(back.isfinite(), exact - back, 0.0)  # an overflow leaves an infinite mean
    return rounded.to(target.device), lost.to(target)
