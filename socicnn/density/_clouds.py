"""Laws in the plane that are not log-concave: what potential flows are shown on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import torch
from torch import Tensor

from socicnn._moved import accepts_renamed
from socicnn._registry import Registry
from socicnn.density._targets import Law


@final
@dataclass(frozen=True)
class EightGaussians(Law):
    """Eight normal laws of equal mass on a circle of radius 4, of standard deviation 0.5, all divided by 1.414."""

    name = "eight_gaussians"
    features = 2

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw a centre, then a point around it."""
        angle = torch.randint(8, (count,), generator=generator).double() * (math.pi / 4)
        centres = 4 * torch.stack([angle.cos(), angle.sin()], dim=1)
        return (centres + 0.5 * torch.randn((count, 2), generator=generator, dtype=torch.float64)) / 1.414


@final
@dataclass(frozen=True)
class TwoSpirals(Law):
    """Two arms wound one and a half times around the origin, blurred (Grathwohl et al., FFJORD, 2019).

    With r = 3 pi sqrt(u), u uniform: +-(-r cos r + v_1, r sin r + v_2) / 3 + 0.1 N(0, I), v uniform on [0, 1/2]^2.
    """

    name = "two_spirals"
    features = 2

    def draw(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw a radius, a blur and an arm."""
        u = torch.rand((count, 3), generator=generator, dtype=torch.float64)
        r = 3 * math.pi * u[:, 0].sqrt()
        arm = torch.stack([-r * r.cos(), r * r.sin()], dim=1) + 0.5 * u[:, 1:]
        sign = 2.0 * torch.randint(2, (count, 1), generator=generator) - 1
        return sign * arm / 3 + 0.1 * torch.randn((count, 2), generator=generator, dtype=torch.float64)


LawName: TypeAlias = Literal["eight_gaussians", "two_spirals"]
CLOUDS: Registry[Callable[[], Law]] = Registry("law", {kind.name: kind for kind in (EightGaussians, TwoSpirals)})


@accepts_renamed(given="law")
def cloud(law: Law | LawName) -> Law:
    """Return a law in the plane, from itself or from its name.

    Raises:
        ModelError: the name is unknown (the message lists what there is).

    >>> cloud("two_spirals").sample(4).shape
    torch.Size([4, 2])
    """
    return law if isinstance(law, Law) else CLOUDS[law]()
