"""Ways to keep weights non-negative (recipes) and to start them (initialisers), by value or by short name.

A class is imported when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from socicnn.errors import ModelError

if TYPE_CHECKING:
    from socicnn.positivity.admm import ADMM as ADMM
    from socicnn.positivity.base import Recipe as Recipe
    from socicnn.positivity.base import Shared as Shared
    from socicnn.positivity.base import Weight as Weight
    from socicnn.positivity.controls import Biased as Biased
    from socicnn.positivity.controls import Noisy as Noisy
    from socicnn.positivity.hypernetwork import HyperNetwork as HyperNetwork
    from socicnn.positivity.initial import Folded as Folded
    from socicnn.positivity.initial import Initialiser as Initialiser
    from socicnn.positivity.initial import Principled as Principled
    from socicnn.positivity.initial import XavierSoftplus as XavierSoftplus
    from socicnn.positivity.initial import ZeroMeanClipped as ZeroMeanClipped
    from socicnn.positivity.lift import Lift as Lift
    from socicnn.positivity.projected import Projected as Projected
    from socicnn.positivity.readouts import Exp as Exp
    from socicnn.positivity.readouts import ReLUReadout as ReLUReadout
    from socicnn.positivity.readouts import Square as Square
    from socicnn.positivity.softplus import Softplus as Softplus

# short name -> (class, module); one line a recipe
RECIPES: dict[str, tuple[str, str]] = {
    "admm": ("ADMM", "socicnn.positivity.admm"),
    "biased": ("Biased", "socicnn.positivity.controls"),
    "exp": ("Exp", "socicnn.positivity.readouts"),
    "lift": ("Lift", "socicnn.positivity.lift"),
    "noisy": ("Noisy", "socicnn.positivity.controls"),
    "projected": ("Projected", "socicnn.positivity.projected"),
    "relu": ("ReLUReadout", "socicnn.positivity.readouts"),
    "softplus": ("Softplus", "socicnn.positivity.softplus"),
    "square": ("Square", "socicnn.positivity.readouts"),
}

INITIALISERS: dict[str, tuple[str, str]] = {
    "principled": ("Principled", "socicnn.positivity.initial"),
    "folded": ("Folded", "socicnn.positivity.initial"),
    "xavier_softplus": ("XavierSoftplus", "socicnn.positivity.initial"),
    "zero_mean_clipped": ("ZeroMeanClipped", "socicnn.positivity.initial"),
}

# further public names of this package and their modules
_OTHERS = {
    "HyperNetwork": "socicnn.positivity.hypernetwork",
    "Recipe": "socicnn.positivity.base",
    "Shared": "socicnn.positivity.base",
    "Weight": "socicnn.positivity.base",
    "Initialiser": "socicnn.positivity.initial",
}

_HOMES = {**_OTHERS, **dict(RECIPES.values()), **dict(INITIALISERS.values())}

__all__ = sorted([*_HOMES, "INITIALISERS", "RECIPES", "initialiser", "recipe"])


def _made(given: Any, kind: str, registry: Mapping[str, tuple[str, str]], settings: dict[str, Any]) -> Any:
    if not isinstance(given, str):
        if settings:
            raise ModelError(f"settings {sorted(settings)} belong to a short name; make the {kind} with them instead")
        return given
    if given not in registry:
        raise ModelError(f"unknown {kind} '{given}'; there are: {', '.join(sorted(registry))}")
    name, module = registry[given]
    try:
        return getattr(import_module(module), name)(**settings)
    except TypeError as error:
        raise ModelError(f"{kind} '{given}' does not take these settings: {error}") from None


def recipe(given: Recipe | str, **settings: Any) -> Recipe:
    """Return a recipe, from itself or from its short name and settings.

    Raises:
        ModelError: the name is unknown (the message lists what there is), or it has no such setting.

    >>> recipe("projected", floor=1e-3)
    Projected(floor=0.001)
    """
    from socicnn.positivity.base import Recipe

    made = _made(given, "recipe", RECIPES, settings)
    if not isinstance(made, Recipe):
        raise ModelError(f"positivity must be a recipe or its short name; received {type(made).__name__}")
    return made


def initialiser(given: Initialiser | str, **settings: Any) -> Initialiser:
    """Return an initialiser, from itself or from its short name and settings.

    Raises:
        ModelError: the name is unknown (the message lists what there is), or it has no such setting.
    """
    from socicnn.positivity.initial import Initialiser

    made = _made(given, "initialiser", INITIALISERS, settings)
    if not isinstance(made, Initialiser):
        raise ModelError(f"initialiser must be an Initialiser or its short name; received {type(made).__name__}")
    return made


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'socicnn.positivity' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
