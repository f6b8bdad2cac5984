"""Where windows that slide over images read: convolutions and pooling."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from socicnn._arrays import IntArray
from socicnn.errors import ModelError


def windows(
    shape: tuple[int, ...], settings: dict[str, Any], refused: Callable[[str], ModelError]
) -> tuple[IntArray, tuple[int, ...]]:
    """Return the positions that each entry of a pooled tensor reads, one row each (-1: padding), and its shape."""
    if settings.get("ceil_mode", 0):
        raise refused("has ceil_mode 1, which is not read; pad the input instead")
    seen, space = reads(shape, tuple(settings["kernel_shape"]), settings, refused)
    starts = prod(shape[1:]) * np.arange(shape[0])[:, None, None, None]
    together = np.where(seen >= 0, starts + seen, -1).reshape(-1, seen.shape[2])
    if together.max(axis=1, initial=-1).min(initial=0) < 0:
        raise refused("has windows that lie in the padding alone")
    return together, (*shape[:2], *space)


def reads(
    shape: tuple[int, ...], kernel: tuple[int, ...], settings: dict[str, Any], refused: Callable[[str], ModelError]
) -> tuple[IntArray, tuple[int, ...]]:
    """Return where each output position reads in one image (-1: padding), `(channels, positions, kernel entries)`."""
    rank = len(shape) - 2
    strides = settings.get("strides") or [1] * rank
    dilations = settings.get("dilations") or [1] * rank
    if len(kernel) != rank:
        raise refused(f"has a kernel of shape {kernel} for an input of shape {shape}")
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    before, after = _padding(shape[2:], reach, strides, settings, refused)
    index = np.arange(prod(shape[1:])).reshape(shape[1:])
    padded = np.pad(index, [(0, 0), *zip(before, after, strict=True)], constant_values=-1)
    if any(size < span for size, span in zip(padded.shape[1:], reach, strict=True)):
        raise refused(f"has a kernel that reaches {reach} over a padded input of shape {padded.shape[1:]}")
    seen = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=tuple(range(1, rank + 1)))
    seen = seen[(slice(None), *(slice(None, None, s) for s in strides), *(slice(None, None, d) for d in dilations))]
    space = seen.shape[1 : rank + 1]
    return seen.reshape(shape[1], prod(space), -1), space


def _padding(
    space: tuple[int, ...], reach: list[int], strides: list[int], settings: dict[str, Any], refused: Any
) -> tuple[list[int], list[int]]:
    """Return the zeros before and after each axis."""
    mode = settings.get("auto_pad", "NOTSET")
    rank = len(space)
    if mode == "NOTSET":
        pads = list(settings.get("pads") or [0] * (2 * rank))
        return pads[:rank], pads[rank:]
    if mode == "VALID":
        return [0] * rank, [0] * rank
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise refused(f"has auto_pad '{mode}', which is not read")
    sizes = zip(space, reach, strides, strict=True)
    total = [max(0, (-(-size // stride) - 1) * stride + span - size) for size, span, stride in sizes]
    less = [amount // 2 for amount in total]
    more = [amount - half for amount, half in zip(total, less, strict=True)]
    return (less, more) if mode == "SAME_UPPER" else (more, less)
