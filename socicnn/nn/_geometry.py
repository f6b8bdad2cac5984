"""Linear maps of images: what a user writes (`Conv`, `AveragePool`), and the same map in torch and as a matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any, Literal, cast, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from socicnn._arrays import Array
from socicnn._integers import as_integer, is_integer
from socicnn.errors import ModelError
from socicnn.nn import _operators as operators
from socicnn.positivity._base import is_batched

Size = int | Sequence[int]


@final
@dataclass(frozen=True)
class Conv:
    """A convolution: a hidden layer, or the map of a branch.

    Args:
        channels: number of output channels.
        kernel: kernel size, one number, or one per axis.
        stride: stride.
        padding: zeros on both sides, or "same": enough to keep the size at stride 1 (an odd zero is added at the end).
        dilation: distance between taps.
        transposed: whether it is a transposed convolution ("same": the size is multiplied by the stride).
        group: in a norm or log-sum-exp branch, how many channels of one position are taken together; the whole tensor
            if omitted.
        per_position: whether a quadratic or norm branch has a weight per position, which a context that is an image or
            a sequence sets, in place of one weight.
    """

    channels: int
    kernel: Size = 3
    stride: Size = 1
    padding: Size | Literal["same"] = "same"
    dilation: Size = 1
    transposed: bool = False
    group: int | None = None
    per_position: bool = False

    def __post_init__(self) -> None:
        """Hold Python's integers; what is not an integer is refused by the network that takes the convolution."""
        for name in ("channels", "group"):
            if is_integer(getattr(self, name)):
                object.__setattr__(self, name, int(getattr(self, name)))


@final
@dataclass(frozen=True)
class AveragePool:
    """Average pooling between layers, padded zeros counted.

    Args:
        kernel: window size, one number, or one per axis.
        stride: stride; the window size if omitted.
        padding: zeros on both sides.
    """

    kernel: Size
    stride: Size | None = None
    padding: Size = 0


class ImageMap(ABC):
    """A linear map from images of one size to images of another; where it has a kernel, that is given with each call.

    Args:
        in_channels: channels of x.
        size: spatial size of x.
    """

    in_channels: int
    out_channels: int
    size: tuple[int, ...]
    out_size: tuple[int, ...]

    @abstractmethod
    def apply(self, x: Tensor, kernel: Tensor | None) -> Tensor:
        """Return the image of x, shape `(*batch, in_channels, *size)`."""

    @abstractmethod
    def matrix(self, kernel: Array | None) -> sparse.csr_array:
        """Return the map as a matrix on flattened images."""


@final
class Convolution(ImageMap):
    """The map of a `Conv`; `kernel_shape` is the shape of its kernel, as torch has it."""

    def __init__(self, spec: Conv, in_channels: int, size: tuple[int, ...]) -> None:
        axes = len(size)
        self.spec, self.in_channels, self.out_channels, self.size = spec, in_channels, spec.channels, size
        k, s, d = (_each(name, getattr(spec, name), axes, 1) for name in ("kernel", "stride", "dilation"))
        as_integer("channels of a convolution", spec.channels)
        self.kernel, self.stride, self.dilation = k, s, d
        spans = [di * (ki - 1) for di, ki in zip(d, k, strict=True)]
        self.padding: tuple[tuple[int, int], ...]
        if spec.padding == "same" and spec.transposed:
            # 2 p - output_padding = span + 1 - s makes the size N s
            low = tuple(max(0, -((si - 1 - span) // 2)) for span, si in zip(spans, s, strict=True))
            self.padding = tuple((p, p) for p in low)
            self.output_padding = tuple(2 * p - span - 1 + si for p, span, si in zip(low, spans, s, strict=True))
        elif spec.padding == "same":
            self.padding = tuple((span // 2, span - span // 2) for span in spans)
            self.output_padding = (0,) * axes
        else:
            if isinstance(spec.padding, str):
                raise ModelError(f"padding must be 'same' or a number of zeros; received {spec.padding!r}")
            self.padding = tuple((p, p) for p in _each("padding", spec.padding, axes, 0))
            self.output_padding = (0,) * axes
        if spec.transposed:
            self.out_size = tuple(
                (N - 1) * si - 2 * p + span + 1 + more
                for N, si, (p, _), span, more in zip(size, s, self.padding, spans, self.output_padding, strict=True)
            )
            self.kernel_shape = (in_channels, spec.channels, *k)
        else:
            self.out_size = tuple(operators.out_size(size, k, s, self.padding, d))
            self.kernel_shape = (spec.channels, in_channels, *k)
        if any(more >= max(si, di) for more, si, di in zip(self.output_padding, s, d, strict=True)):
            raise ModelError(f"{spec} cannot keep the size: a transposed 'same' needs an odd kernel or a larger stride")
        if min(self.out_size) < 1:
            raise ModelError(f"{spec} leaves nothing of an image of size {size}; use a smaller kernel or more padding")
        # entries that each output sums over, boundaries apart
        self.fan_in = max(1, in_channels * int(np.prod(k)) // (int(np.prod(s)) if spec.transposed else 1))

    def apply(self, x: Tensor, kernel: Tensor | None) -> Tensor:
        """Return the convolution of x."""
        assert kernel is not None
        batch = x.shape[: x.ndim - 1 - len(self.size)]
        flat = x.reshape(-1, self.in_channels, *self.size)
        flat = channels_last(flat, axes=len(self.size)) if self.in_channels > 1 else flat
        low = [p for p, _ in self.padding]
        functional: Any = nn.functional
        name = f"conv{'_transpose' if self.spec.transposed else ''}{len(self.size)}d"
        if self.spec.transposed:
            out = getattr(functional, name)(flat, kernel, None, self.stride, low, self.output_padding, 1, self.dilation)
        else:
            if any(a != b for a, b in self.padding):
                flat = functional.pad(flat, [side for pair in reversed(self.padding) for side in pair])
                low = [0] * len(low)
            out = getattr(functional, name)(flat, kernel, None, self.stride, low, self.dilation)
        return out.reshape(*batch, self.out_channels, *self.out_size)

    def matrix(self, kernel: Array | None) -> sparse.csr_array:
        """Return the convolution as a matrix; a transposed one is the transpose of the convolution the other way."""
        assert kernel is not None
        size = self.out_size if self.spec.transposed else self.size
        built = operators.convolution(kernel, size, self.stride, self.padding, self.dilation)
        return sparse.csr_array(built.T) if self.spec.transposed else built


@final
class Pooling(ImageMap):
    """The map of an `AveragePool`."""

    def __init__(self, spec: AveragePool, in_channels: int, size: tuple[int, ...]) -> None:
        self.spec = spec
        self.in_channels = self.out_channels = in_channels
        self.size = size
        self.kernel = _each("kernel", spec.kernel, len(size), 1)
        self.stride = self.kernel if spec.stride is None else _each("stride", spec.stride, len(size), 1)
        self.padding = _each("padding", spec.padding, len(size), 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise ModelError(f"padding of {spec} must be at most half of the kernel")
        self.out_size = tuple(operators.out_size(size, self.kernel, self.stride, self._both, (1,) * len(size)))
        if min(self.out_size) < 1:
            raise ModelError(f"{spec} leaves nothing of an image of size {size}; use a smaller kernel")

    @property
    def _both(self) -> tuple[tuple[int, int], ...]:
        return tuple((p, p) for p in self.padding)

    def apply(self, x: Tensor, kernel: Tensor | None = None) -> Tensor:
        """Return the averages."""
        batch = x.shape[: x.ndim - 1 - len(self.size)]
        functional: Any = nn.functional
        pool = getattr(functional, f"avg_pool{len(self.size)}d")
        out = pool(x.reshape(-1, self.in_channels, *self.size), self.kernel, self.stride, self.padding)
        return out.reshape(*batch, self.out_channels, *self.out_size)

    def matrix(self, kernel: Array | None = None) -> sparse.csr_array:
        """Return the averages as a matrix."""
        return operators.average_pool(self.in_channels, self.size, self.kernel, self.stride, self._both)


@final
class Resizing(ImageMap):
    """Adaptive average pooling to a given size, so that x reaches a layer of any size."""

    def __init__(self, in_channels: int, size: tuple[int, ...], out_size: tuple[int, ...]) -> None:
        self.in_channels = self.out_channels = in_channels
        self.size, self.out_size = size, out_size

    def apply(self, x: Tensor, kernel: Tensor | None = None) -> Tensor:
        """Return the resized image."""
        if self.size == self.out_size:
            return x
        batch = x.shape[: x.ndim - 1 - len(self.size)]
        functional: Any = nn.functional
        pool = getattr(functional, f"adaptive_avg_pool{len(self.size)}d")
        out = pool(x.reshape(-1, self.in_channels, *self.size), self.out_size)
        return out.reshape(*batch, self.out_channels, *self.out_size)

    def matrix(self, kernel: Array | None = None) -> sparse.csr_array:
        """Return the resizing as a matrix."""
        return operators.resize(self.in_channels, self.size, self.out_size)


@final
class Chain(ImageMap):
    """Maps one after the other, at most one of which has a kernel."""

    def __init__(self, maps: Sequence[ImageMap], in_channels: int, size: tuple[int, ...]) -> None:
        self.maps = tuple(maps)
        self.in_channels, self.size = in_channels, size
        last: ImageMap | None = self.maps[-1] if self.maps else None
        self.out_channels = last.out_channels if last else in_channels
        self.out_size = last.out_size if last else size

    @property
    def convolution(self) -> Convolution:
        """The convolution of the chain."""
        return next(part for part in self.maps if isinstance(part, Convolution))

    def apply(self, x: Tensor, kernel: Tensor | None = None) -> Tensor:
        """Return the image of x under all of them."""
        for part in self.maps:
            x = part.apply(x, kernel)
        return x

    def matrix(self, kernel: Array | None = None) -> sparse.csr_array:
        """Return the product of their matrices."""
        moving = [part for part in self.maps if not (isinstance(part, Resizing) and part.size == part.out_size)]
        if not moving:
            return sparse.eye_array(self.in_channels * int(np.prod(self.size)), format="csr")
        first, *others = moving
        return sparse.csr_array(
            reduce(lambda product, part: part.matrix(kernel) @ product, others, first.matrix(kernel))
        )


def channels_last(images: Tensor, axes: int) -> Tensor:
    """Return the same images with channels last in memory where that is faster: float32, two axes, on a processor.

    Convolutions of ten channels take a third of the time there, as long as what lies between them keeps the order.
    `torch.func.vmap` knows no such order: what it maps over is left as it is.

    Args:
        images: shape `(*batch, channels, *size)`, with at least one axis of the batch.
        axes: number of sizes.
    """
    if axes != 2 or images.ndim < 4 or images.dtype != torch.float32 or images.device.type != "cpu":
        return images
    if is_batched(images):
        return images
    moved = images.flatten(0, -4).contiguous(memory_format=torch.channels_last)
    return moved.reshape(images.shape)


def _each(name: str, value: Any, axes: int, least: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, Iterable) and not is_integer(value) else (value,) * axes
    if len(values) != axes or any(not is_integer(v) or v < least for v in values):
        raise ModelError(f"{name} must be an integer >= {least}, or one for each of {axes} axes; received {value!r}")
    return tuple(int(v) for v in values)


def described(spec: Conv | AveragePool) -> dict[str, Any]:
    """Return a spec as JSON values."""
    entries = {"kind": type(spec).__name__, **asdict(spec)}
    return {name: value for name, value in entries.items() if (name, value) != ("per_position", False)}


def specified(entry: Any, argument: str, *, pools: bool = False) -> Conv | AveragePool:
    """Return a spec from itself or from its JSON values.

    Raises:
        ModelError: neither a `Conv` nor (where allowed) an `AveragePool`.
    """
    kinds: dict[str, Any] = {"Conv": Conv} | ({"AveragePool": AveragePool} if pools else {})
    if isinstance(entry, dict) and entry.get("kind") in kinds:
        try:
            entry = kinds[entry["kind"]](**{k: v for k, v in entry.items() if k != "kind"})
        except TypeError as error:
            raise ModelError(f"{argument} has an invalid entry: {error}") from None
    if not isinstance(entry, tuple(kinds.values())):
        raise ModelError(f"each entry of {argument} must be {' or '.join(kinds)}; received {entry!r}")
    return cast("Conv | AveragePool", entry)


__all__ = ["AveragePool", "Chain", "Conv", "Convolution", "ImageMap", "Pooling", "Resizing", "described", "specified"]
