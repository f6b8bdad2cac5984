"""Recipes and initialisers as JSON values and back, and the law of a network whose tensors are about to be loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from socicnn.positivity.base import Recipe
from socicnn.positivity.initial import Initialiser


@final
class Blank(Initialiser):
    """Constant weights that mean nothing."""

    name = "blank"

    def weight(self, shape: Sequence[int], fan_in: int, activation: str, generator: torch.Generator | None) -> Tensor:
        """Return one half everywhere."""
        return torch.full(tuple(shape), 0.5, dtype=torch.float64)

    def bias(self, fan_in: int, activation: str) -> float:
        """Return zero."""
        return 0.0

    def input_variances(self, fans: Sequence[int], activations: Sequence[str]) -> list[float]:
        """Return zeros."""
        return [0.0] * len(fans)


def described(strategy: Recipe | Initialiser) -> dict[str, Any]:
    """Return a recipe or an initialiser as JSON values."""
    return {"name": strategy.name, **strategy.config()}


def named(description: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that make it again: `recipe(**named(described(r)))`."""
    return {"given": description["name"], **{k: v for k, v in description.items() if k != "name"}}
