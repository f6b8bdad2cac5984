"""Short names: every recipe and initialiser is there, and an unknown name lists what there is."""

import pytest

import socicnn.positivity as positivity
from socicnn.errors import ModelError
from socicnn.positivity import INITIALISERS, RECIPES, Projected, initialiser, recipe


@pytest.mark.parametrize(("registry", "make"), [(RECIPES, recipe), (INITIALISERS, initialiser)])
def test_names_lead_to_the_classes_that_carry_them(registry, make) -> None:
    for name in registry:
        made = make(name)
        assert made.name == name
        assert type(made) is registry[name]
        if name not in ("biased", "noisy"):  # short names alone: what files of older versions hold
            assert getattr(positivity, type(made).__name__) is registry[name]
        assert make(made) is made


def test_public_names_exist() -> None:
    assert {"Projected", "Softplus", "Principled", "Recipe", "Shared", "recipe"} <= set(dir(positivity))
    for name in positivity.__all__:
        assert getattr(positivity, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Hope'"):
        _ = positivity.Hope


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recipe("hope"), r"unknown recipe 'hope'; there are: .*projected.*softplus"),
        (lambda: recipe("projected", ceiling=1), "recipe 'projected' does not take these settings: .*ceiling"),
        (lambda: recipe("projected", floor=-1.0), "floor must be a number >= 0; received -1.0"),
        (lambda: recipe(Projected(), floor=1.0), r"settings \(floor\) go with the name of a recipe"),
        (lambda: recipe(Projected), "positivity must be a recipe or its short name; received ABCMeta"),
        (lambda: initialiser("hope"), "unknown initialiser .hope.; there are: folded, principled, xavier_softplus"),
        (lambda: initialiser(3), "initialiser must be an Initialiser or its short name; received int"),
    ],
)
def test_refusals(call, message) -> None:
    with pytest.raises(ModelError, match=message):
        call()
