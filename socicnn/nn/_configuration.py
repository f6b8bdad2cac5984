"""Recipes and initialisers as JSON values, and the start of a network whose tensors are about to be loaded."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, final

import torch
from torch import Tensor

from socicnn._integers import is_integer
from socicnn.nn import _geometry as geometry
from socicnn.nn._options import NetOptions
from socicnn.positivity._base import Recipe
from socicnn.positivity._initial import Initialiser


@final
class Blank(Initialiser):
    """Constant weights that mean nothing, for a network whose tensors are about to be loaded."""

    name = "blank"

    def weight(self, shape: Sequence[int], fan_in: int, activation: str, generator: torch.Generator | None) -> Tensor:
        """Return one half everywhere."""
        return torch.full(tuple(shape), 0.5, dtype=torch.float64, device="cpu")

    def bias(self, fan_in: int, activation: str) -> float:
        """Return zero."""
        return 0.0

    def input_variances(self, fans: Sequence[int], activations: Sequence[str]) -> list[float]:
        """Return zeros."""
        return [0.0] * len(fans)


def described(strategy: Recipe | Initialiser) -> dict[str, Any]:
    """Return a recipe or an initialiser as JSON values, from which it is made again: `recipe(**described(r))`."""
    return {"name": strategy.name, **strategy.config()}


def plain(value: Any) -> Any:
    """Return a configuration as JSON has it: NumPy's integers as Python's, tuples as lists.

    >>> import numpy as np
    >>> plain({"hidden_features": (np.int64(4), 8), "passthrough": True})
    {'hidden_features': [4, 8], 'passthrough': True}
    """
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return operator.index(value) if is_integer(value) else value


SIZES = ("in_features", "input_shape", "hidden_features", "quadratic", "norm")  # shown in any case


def shown(network: Any) -> dict[str, str]:
    """Return the arguments of a network as text, sizes first, without options that have their defaults, for its repr.

    >>> from socicnn.nn import ICNN
    >>> shown(ICNN(3, (8,), context_features=2, positivity="softplus"))
    {'in_features': '3', 'hidden_features': '(8,)', 'context_features': '2', 'positivity': 'Softplus()'}
    """
    defaults = {field.name: field.default for field in fields(NetOptions)} | {
        name: parameter.default for name, parameter in inspect.signature(type(network).__init__).parameters.items()
    }
    entries: dict[str, Any] = network.architecture()
    if isinstance(entries.get("activation"), list):
        kinds = set(entries["activation"]) or {"relu"}
        entries["activation"] = kinds.pop() if len(kinds) == 1 else entries["activation"]
    if not entries.get("context_features") and not entries.get("context_channels"):
        entries = {name: value for name, value in entries.items() if not name.startswith("context")}
    ordered = [name for name in SIZES if name in entries] + [name for name in entries if name not in SIZES]
    texts = {name: _text(entries[name]) for name in ordered if name in SIZES or entries[name] != defaults.get(name)}
    for name in ("positivity", "readout", "initialiser"):
        strategy = getattr(network, name)
        inherited = name == "readout" and strategy is network.positivity
        if not inherited and strategy.name != defaults[name]:
            texts[name] = repr(strategy)
    return texts


def _text(value: Any) -> str:
    """Return an entry of an architecture as one would write it."""
    if isinstance(value, list):
        return f"({', '.join(map(_text, value))}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        defaults = {field.name: field.default for field in fields(getattr(geometry, value["kind"]))}
        changed = {name: entry for name, entry in value.items() if name != "kind" and entry != defaults[name]}
        return f"{value['kind']}({', '.join(f'{name}={entry!r}' for name, entry in changed.items())})"
    return repr(value)
