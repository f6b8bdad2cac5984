"""Ways to keep weights non-negative (recipes) and to start them (initialisers), by value or by short name.

A class is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from socicnn._faces import face
from socicnn._registry import Registry
from socicnn.errors import ModelError

if TYPE_CHECKING:
    from socicnn.positivity import diagnostics as diagnostics
    from socicnn.positivity._admm import ADMM as ADMM
    from socicnn.positivity._base import Recipe as Recipe
    from socicnn.positivity._base import Shared as Shared
    from socicnn.positivity._base import Weight as Weight
    from socicnn.positivity._controls import Biased as Biased
    from socicnn.positivity._controls import Noisy as Noisy
    from socicnn.positivity._hypernetwork import HyperNetwork as HyperNetwork
    from socicnn.positivity._initial import Folded as Folded
    from socicnn.positivity._initial import Initialiser as Initialiser
    from socicnn.positivity._initial import Principled as Principled
    from socicnn.positivity._initial import XavierSoftplus as XavierSoftplus
    from socicnn.positivity._initial import ZeroMeanClipped as ZeroMeanClipped
    from socicnn.positivity._lift import Lift as Lift
    from socicnn.positivity._projected import Projected as Projected
    from socicnn.positivity._readouts import Exp as Exp
    from socicnn.positivity._readouts import ReLUReadout as ReLUReadout
    from socicnn.positivity._readouts import Square as Square
    from socicnn.positivity._softplus import Softplus as Softplus

RecipeName: TypeAlias = Literal["admm", "biased", "exp", "lift", "noisy", "projected", "relu", "softplus", "square"]
InitialiserName: TypeAlias = Literal["principled", "folded", "xavier_softplus", "zero_mean_clipped"]

RECIPES: Registry[Any] = Registry(
    "recipe",
    {
        "admm": "socicnn.positivity._admm:ADMM",
        "biased": "socicnn.positivity._controls:Biased",
        "exp": "socicnn.positivity._readouts:Exp",
        "lift": "socicnn.positivity._lift:Lift",
        "noisy": "socicnn.positivity._controls:Noisy",
        "projected": "socicnn.positivity._projected:Projected",
        "relu": "socicnn.positivity._readouts:ReLUReadout",
        "softplus": "socicnn.positivity._softplus:Softplus",
        "square": "socicnn.positivity._readouts:Square",
    },
)

INITIALISERS: Registry[Any] = Registry(
    "initialiser",
    {
        "principled": "socicnn.positivity._initial:Principled",
        "folded": "socicnn.positivity._initial:Folded",
        "xavier_softplus": "socicnn.positivity._initial:XavierSoftplus",
        "zero_mean_clipped": "socicnn.positivity._initial:ZeroMeanClipped",
    },
)


def recipe(name: Recipe | RecipeName, **settings: Any) -> Recipe:
    """Return a recipe, from itself or from its short name and settings.

    Raises:
        ModelError: the name is unknown (the message lists what there is), or it has no such setting.

    >>> recipe("projected", floor=1e-3)
    Projected(floor=0.001)
    """
    from socicnn.positivity._base import Recipe

    made = RECIPES.make(name, **settings)
    if not isinstance(made, Recipe):
        raise ModelError(f"positivity must be a recipe or its short name; received {type(made).__name__}")
    return made


def initialiser(name: Initialiser | InitialiserName, **settings: Any) -> Initialiser:
    """Return an initialiser, from itself or from its short name and settings.

    Raises:
        ModelError: the name is unknown (the message lists what there is), or it has no such setting.
    """
    from socicnn.positivity._initial import Initialiser

    made = INITIALISERS.make(name, **settings)
    if not isinstance(made, Initialiser):
        raise ModelError(f"initialiser must be an Initialiser or its short name; received {type(made).__name__}")
    return made


__all__ = face(
    __name__,
    {
        "ADMM": "socicnn.positivity._admm",
        "Biased": "socicnn.positivity._controls",
        "Exp": "socicnn.positivity._readouts",
        "Folded": "socicnn.positivity._initial",
        "HyperNetwork": "socicnn.positivity._hypernetwork",
        "Initialiser": "socicnn.positivity._initial",
        "Lift": "socicnn.positivity._lift",
        "Noisy": "socicnn.positivity._controls",
        "Principled": "socicnn.positivity._initial",
        "Projected": "socicnn.positivity._projected",
        "ReLUReadout": "socicnn.positivity._readouts",
        "Recipe": "socicnn.positivity._base",
        "Shared": "socicnn.positivity._base",
        "Softplus": "socicnn.positivity._softplus",
        "Square": "socicnn.positivity._readouts",
        "Weight": "socicnn.positivity._base",
        "XavierSoftplus": "socicnn.positivity._initial",
        "ZeroMeanClipped": "socicnn.positivity._initial",
    },
    modules=("diagnostics",),
    own=("INITIALISERS", "RECIPES", "InitialiserName", "RecipeName", "initialiser", "recipe"),
)
