"""The activations of the layers, by name, and what each makes of pre-activations.

relu: max(a, 0); softplus: log(1 + exp(a)); leaky_relu: max(a, s a) = s a + (1 - s) relu(a), slope s in [0, 1]
maxout: max(W z + U x + b, V x + d) = V x + d + relu(W z + (U - V) x + b - d), two pieces of which one is affine in x
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from socicnn._registry import choose
from socicnn.errors import ModelError
from socicnn.nn._options import Activation

EXACT = 50.0  # log(1 + exp(a)) = a in float64 from there on
SMOOTHING = {"softplus": 1.0}  # of a frozen layer with these units; 0 for others


def softplus(a: Tensor) -> Tensor:
    """Return log(1 + exp(a)); torch's own turns linear above 20, with a jump of 2e-9 that is not convex."""
    return nn.functional.softplus(a, threshold=EXACT)


@dataclass(frozen=True)
class LayerUnits:
    """The units of one layer.

    Args:
        name: their activation.
        slope: s of leaky units.

    >>> LayerUnits("leaky_relu", 0.1)(torch.tensor([-2.0, 2.0])).tolist()
    [-0.20000000298023224, 2.0]
    >>> LayerUnits("maxout")(torch.tensor([-2.0, 2.0, 1.0, 1.0])).tolist()
    [1.0, 2.0]
    """

    name: str
    slope: float = 0.0

    @property
    def law(self) -> str:
        """The activation as laws of the start know it, slope included."""
        return f"{self.name}({self.slope!r})" if self.name == "leaky_relu" else self.name

    @property
    def pieces(self) -> int:
        """Affine functions of x for each unit: two of maxout units, the second without W z."""
        return 2 if self.name == "maxout" else 1

    @property
    def smoothing(self) -> float:
        """Smoothing of a frozen layer of these units."""
        return SMOOTHING.get(self.name, 0.0)

    @property
    def plain(self) -> bool:
        """Whether they are the units of a frozen layer as they are; others can be negative."""
        return self.name in ("relu", "softplus")

    def __call__(self, a: Tensor, below: Tensor | None = None, axis: int = -1) -> Tensor:
        """Return z.

        Args:
            a: U x + b of each piece, the pieces one after the other along `axis`.
            below: W z of the layer before; None in the first layer.
            axis: that of the units.
        """
        other: Tensor | None = None
        if self.pieces > 1:
            a, other = a.chunk(2, dim=axis)
        a = a if below is None else below + a
        if self.name == "softplus":
            return softplus(a)
        if other is not None:
            return other + torch.relu(a - other)
        return self.slope * a + (1.0 - self.slope) * torch.relu(a) if self.name == "leaky_relu" else torch.relu(a)


def layer_units(activation: str | Sequence[str], layers: int, slope: float) -> tuple[LayerUnits, ...]:
    """Return the units of each layer, from one name or one per layer.

    Args:
        activation: the name, or names.
        layers: number of layers.
        slope: of leaky units.

    Raises:
        ModelError: a name is unknown, the number of names is not the number of layers, or the slope is not in [0, 1].
    """
    names = (activation,) if isinstance(activation, str) else tuple(activation)
    for name in names:
        choose("activation", name, get_args(Activation))
    names = names * layers if isinstance(activation, str) else names
    if len(names) != layers:
        raise ModelError(f"activation must be one name or one per layer ({layers}); received {len(names)}")
    if isinstance(slope, bool) or not isinstance(slope, int | float) or not 0 <= slope <= 1:
        raise ModelError(f"negative_slope must be a number in [0, 1], so that the units are convex; received {slope!r}")
    return tuple(LayerUnits(name, float(slope) if name == "leaky_relu" else 0.0) for name in names)


def refuse_negative(units: Sequence[LayerUnits]) -> None:
    """Raise a ModelError where units that can be negative would make up a network that must not be."""
    wrong = next((unit.name for unit in units if not unit.plain), None)
    if wrong:
        raise ModelError(f"a non-negative network needs relu or softplus units; {wrong} units can be negative")


def described_slope(units: Sequence[LayerUnits]) -> dict[str, float]:
    """Return the slope of leaky units as an argument of a network; nothing without such units."""
    slopes = {unit.slope for unit in units if unit.name == "leaky_relu"}
    return {"negative_slope": slopes.pop()} if slopes else {}
