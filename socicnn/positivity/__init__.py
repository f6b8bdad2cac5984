"""Ways to keep weights non-negative (recipes) and to start them (initialisers), by value or by short name.

A class is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from socicnn._faces import face
from socicnn.errors import ModelError
from socicnn.registry import Registry

if TYPE_CHECKING:
    from socicnn.positivity import diagnostics as diagnostics
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

RecipeName: TypeAlias = Literal["admm", "biased", "exp", "lift", "noisy", "projected", "relu", "softplus", "square"]
InitialiserName: TypeAlias = Literal["principled", "folded", "xavier_softplus", "zero_mean_clipped"]

RECIPES: Registry[Any] = Registry(
    "recipe",
    {
        "admm": "socicnn.positivity.admm:ADMM",
        "biased": "socicnn.positivity.controls:Biased",
        "exp": "socicnn.positivity.readouts:Exp",
        "lift": "socicnn.positivity.lift:Lift",
        "noisy": "socicnn.positivity.controls:Noisy",
        "projected": "socicnn.positivity.projected:Projected",
        "relu": "socicnn.positivity.readouts:ReLUReadout",
        "softplus": "socicnn.positivity.softplus:Softplus",
        "square": "socicnn.positivity.readouts:Square",
    },
)

INITIALISERS: Registry[Any] = Registry(
    "initialiser",
    {
        "principled": "socicnn.positivity.initial:Principled",
        "folded": "socicnn.positivity.initial:Folded",
        "xavier_softplus": "socicnn.positivity.initial:XavierSoftplus",
        "zero_mean_clipped": "socicnn.positivity.initial:ZeroMeanClipped",
    },
)


def recipe(name: Recipe | RecipeName, **settings: Any) -> Recipe:
    """Return a recipe, from itself or from its short name and settings.

    Raises:
        ModelError: the name is unknown (the message lists what there is), or it has no such setting.

    >>> recipe("projected", floor=1e-3)
    Projected(floor=0.001)
    """
    from socicnn.positivity.base import Recipe

    made = RECIPES.make(name, **settings)
    if not isinstance(made, Recipe):
        raise ModelError(f"positivity must be a recipe or its short name; received {type(made).__name__}")
    return made


def initialiser(name: Initialiser | InitialiserName, **settings: Any) -> Initialiser:
    """Return an initialiser, from itself or from its short name and settings.

    Raises:
        ModelError: the name is unknown (the message lists what there is), or it has no such setting.
    """
    from socicnn.positivity.initial import Initialiser

    made = INITIALISERS.make(name, **settings)
    if not isinstance(made, Initialiser):
        raise ModelError(f"initialiser must be an Initialiser or its short name; received {type(made).__name__}")
    return made


__all__ = face(
    __name__,
    {
        "ADMM": "socicnn.positivity.admm",
        "Biased": "socicnn.positivity.controls",
        "Exp": "socicnn.positivity.readouts",
        "Folded": "socicnn.positivity.initial",
        "HyperNetwork": "socicnn.positivity.hypernetwork",
        "Initialiser": "socicnn.positivity.initial",
        "Lift": "socicnn.positivity.lift",
        "Noisy": "socicnn.positivity.controls",
        "Principled": "socicnn.positivity.initial",
        "Projected": "socicnn.positivity.projected",
        "ReLUReadout": "socicnn.positivity.readouts",
        "Recipe": "socicnn.positivity.base",
        "Shared": "socicnn.positivity.base",
        "Softplus": "socicnn.positivity.softplus",
        "Square": "socicnn.positivity.readouts",
        "Weight": "socicnn.positivity.base",
        "XavierSoftplus": "socicnn.positivity.initial",
        "ZeroMeanClipped": "socicnn.positivity.initial",
    },
    modules=("diagnostics",),
    own=("INITIALISERS", "RECIPES", "InitialiserName", "RecipeName", "initialiser", "recipe"),
)
