"""What may be given to a network: shapes and types of x and of the context, devices; refusals in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from socicnn._arrays import as_float64
from socicnn._integers import as_integer
from socicnn.errors import ModelError
from socicnn.positivity._base import Recipe

Shape = tuple[int, ...]


def check_call(x: Tensor, context: Tensor | None, input_shape: Shape, context_shape: Shape | None, dtype: Any) -> None:
    """Raise a ModelError where x or the context does not fit a network of these shapes and this type."""
    _check_tensor(x, "x", dtype)
    shape = x.shape
    lead = len(shape) - len(input_shape)
    if lead < 0 or shape[lead:] != input_shape:
        raise ModelError(f"x must have shape (*batch, {_listed(input_shape)}); received {tuple(shape)}")
    if x.dtype != dtype:
        raise ModelError(f"x has type {x.dtype}, the network {dtype}; convert one of them")
    check_presence(context, context_shape)
    if context is None or context_shape is None:
        return
    _check_tensor(context, "context", dtype)
    if torch.promote_types(context.dtype, dtype) != dtype:  # narrower numbers are lifted exactly
        raise ModelError(f"context has type {context.dtype}, the network {dtype}; convert one of them")
    at = context.ndim - len(context_shape)
    if at < 0 or context.shape[at:] != context_shape:
        raise ModelError(f"context must have shape (*lead, {_listed(context_shape)}); received {tuple(context.shape)}")
    fits = all(a == b or a == 1 or b == 1 for a, b in zip(shape[:lead], context.shape[:at], strict=False))
    if at and lead and (at != lead or not fits):
        raise ModelError(
            f"context has leading shape {tuple(context.shape[:at])}, x {tuple(shape[:lead])}: they must broadcast "
            "axis by axis; give candidates an axis with context.unsqueeze(1)"
        )


def _check_tensor(value: Any, name: str, dtype: torch.dtype) -> None:
    if not isinstance(value, Tensor):
        raise ModelError(
            f"{name} must be a torch tensor; received {type(value).__name__}: make one by "
            f"torch.tensor(np.asarray({name}), dtype={dtype})"
        )


def check_weights(recipe: Recipe, tensors: Mapping[str, Tensor]) -> None:
    """Raise a ModelError where the weights of a network cannot be exported as they are."""
    if recipe.needs_data:
        raise ModelError(
            f"the weights of the '{recipe.name}' recipe depend on data, so that the network is not convex in x yet; "
            "call `model.finalise(train_data)` and freeze what it returns"
        )
    for name, tensor in tensors.items():
        if tensor.is_meta:
            raise ModelError(
                "the network is on the meta device, where weights have no values; call "
                "model.to_empty(device='cpu') and load its weights"
            )
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise ModelError(f"{name} has {bad} non-finite entries; train again from the last finite weights")


def check_presence(context: Any, context_shape: Shape | None) -> None:
    """Raise a ModelError where a context is missing or superfluous."""
    if context is None and context_shape is not None:
        raise ModelError(f"context is missing: the network needs one of shape (*lead, {_listed(context_shape)})")
    if context is not None and context_shape is None:
        raise ModelError("context was given, but the network takes none (context_features is 0); leave it out")


def check_joint_offsets(joint: bool, quadratics: bool, offset: bool) -> None:
    """Raise a ModelError where a joint context has no way into the quadratics."""
    if joint and quadratics and not offset:
        raise ModelError("a joint context enters the quadratics through their offsets; leave quadratic_offset True")


def context_shape(features: int, channels: int, size: Shape, what: str = "an image") -> Shape | None:
    """Return the shape of a context: a vector, or channels that go with x's own axes; None for none.

    Args:
        features: length of the vector, or 0.
        channels: number of channels, or 0.
        size: x's own axes.
        what: what a context with channels is, for messages.
    """
    for name, value in (("context_features", features), ("context_channels", channels)):
        as_integer(name, value, 0)
    if features and channels:
        raise ModelError(f"give context_features (a vector) or context_channels ({what}), not both")
    return (features,) if features else (channels, *size) if channels else None


def one_or_many(context: Any, context_shape: Shape | None) -> Tensor | None:
    """Return one context, or a stack of them, as a float64 tensor.

    Raises:
        ModelError: it is missing or superfluous, of another shape, or not finite.
    """
    check_presence(context, context_shape)
    if context is None or context_shape is None:
        return None
    theta = torch.tensor(as_float64(context, "context"))
    lead = theta.ndim - len(context_shape)
    if lead not in (0, 1) or tuple(theta.shape[lead:]) != context_shape:
        wanted = _listed(context_shape)
        raise ModelError(f"context must have shape ({wanted}) or (contexts, {wanted}); received {tuple(theta.shape)}")
    bad = int((~torch.isfinite(theta)).sum())
    if bad:
        raise ModelError(f"context has {bad} non-finite entries; remove or replace them")
    return theta


def _listed(shape: Shape) -> str:
    return ", ".join(map(str, shape))


def as_device(device: torch.device | str | None) -> torch.device:
    """Return a device that exists; torch's default if None.

    Raises:
        ModelError: torch does not know the name, or sees no such device.

    >>> as_device("cpu")
    device(type='cpu')
    """
    if device is None:
        return torch.empty(0).device  # torch.get_default_device does not see `with torch.device(...)` in old versions
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise ModelError(f"device must be a torch device such as 'cpu' or 'cuda'; received {device!r}") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"device {str(chosen)!r} asks for a GPU, and torch sees {torch.cuda.device_count()}; leave device out, or "
            "install a build of torch for your GPU"
        )
    return chosen


def as_dtype(dtype: torch.dtype | None) -> torch.dtype:
    """Return a floating type; torch's default if None.

    Raises:
        ModelError: it is not a floating type of torch.

    >>> as_dtype(torch.float64)
    torch.float64
    """
    if dtype is None:
        return torch.get_default_dtype()
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ModelError(f"dtype must be a floating type of torch, such as torch.float32; received {dtype!r}")
    return dtype


def narrowed(values: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    """Return finite numbers in another floating type, without a number that overflows or vanishes there.

    A number may become 0 beside a much larger one in the same tensor, where it is less than rounding.

    Raises:
        ModelError: the type does not hold the numbers.
    """
    held, sizes = values.to(dtype), values.abs()
    kind, limits = str(dtype).removeprefix("torch."), torch.finfo(dtype)
    mend = "take a wider type, or other units of x and f"
    if bool((values.isfinite() & ~held.isfinite()).any()):
        raise ModelError(f"{name} holds {float(sizes.max()):.3g}, more than {kind} holds ({limits.max:.3g}); {mend}")
    if values.numel():
        lost = sizes[(held == 0) & (sizes > limits.eps * sizes.max())]
        if lost.numel():
            raise ModelError(f"{name} holds {float(lost.max()):.3g}, which is 0 in {kind}; {mend}")
    return held
