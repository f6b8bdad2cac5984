"""The activations of the layers, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from socicnn._registry import choose
from socicnn.errors import ModelError

EXACT = 50.0  # log(1 + exp(a)) = a in float64 from there on


def softplus(a: Tensor) -> Tensor:
    """Return log(1 + exp(a)); torch's own turns linear above 20, with a jump of 2e-9 that is not convex."""
    return nn.functional.softplus(a, threshold=EXACT)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "softplus": softplus}
SMOOTHING = {"relu": 0.0, "softplus": 1.0}  # of a frozen layer with these units


def activation_names(activation: str | Sequence[str], layers: int) -> tuple[str, ...]:
    """Return one name per layer, from one name or one per layer.

    Raises:
        ModelError: a name is unknown, or the number of names is not the number of layers.
    """
    names = (activation,) if isinstance(activation, str) else tuple(activation)
    for name in names:
        choose("activation", name, ACTIVATIONS)
    names = names * layers if isinstance(activation, str) else names
    if len(names) != layers:
        raise ModelError(f"activation must be one name or one per layer ({layers}); received {len(names)}")
    return names
