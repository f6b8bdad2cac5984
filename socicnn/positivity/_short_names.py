"""Recipes and initialisers by value or by short name; a class is imported when it is first used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack

from socicnn._moved import accepts_renamed
from socicnn._registry import Registry
from socicnn.errors import ModelError

if TYPE_CHECKING:
    from socicnn.positivity._admm import Schedule
    from socicnn.positivity._base import Recipe
    from socicnn.positivity._encoder import Conditioning, Summary
    from socicnn.positivity._initial import Initialiser

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
        "softplus": "socicnn.positivity._readouts:Softplus",
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


class RecipeSettings(TypedDict, total=False):
    """The settings of all recipes as keywords of `recipe`, for editors and type checkers."""

    schedule: Schedule | str | Mapping[str, Any]  # admm
    rho: float
    deviation: float  # noisy
    floor: float  # projected, relu
    hidden: Sequence[int]  # lift, from here on
    conditioning: Conditioning
    points: int | None
    summary: Summary
    normalise: bool
    rank: int | None
    slack: bool
    readout: Recipe | RecipeName | Mapping[str, Any]


@accepts_renamed(given="name")
def recipe(name: Recipe | RecipeName, **settings: Unpack[RecipeSettings]) -> Recipe:
    """Return a recipe, from itself or from its short name and settings.

    Args:
        name: a short name, or a recipe, which is returned as it is.
        settings: arguments of the recipe of that name.

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


@accepts_renamed(given="name")
def initialiser(name: Initialiser | InitialiserName, **settings: Any) -> Initialiser:
    """Return an initialiser, from itself or from its short name and settings.

    Args:
        name: a short name, or an initialiser, which is returned as it is.
        settings: arguments of an initialiser that you registered; ours have none.

    Raises:
        ModelError: the name is unknown (the message lists what there is), or it has no such setting.
    """
    from socicnn.positivity._initial import Initialiser

    made = INITIALISERS.make(name, **settings)
    if not isinstance(made, Initialiser):
        raise ModelError(f"initialiser must be an Initialiser or its short name; received {type(made).__name__}")
    return made
