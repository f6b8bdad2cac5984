"""Short names: one wording for a wrong one, values that are imported when they are first used."""

import pytest

from socicnn._registry import Registry, choose, unknown
from socicnn.errors import ModelError, SolverError


def shapes() -> Registry[object]:
    return Registry("shape", {"square": dict, "tree": "collections:Counter"}, error=SolverError)


def test_a_value_is_found_by_its_name() -> None:
    assert shapes()["square"] is dict
    assert shapes().names() == list(shapes()) == ["square", "tree"]
    assert len(shapes()) == 2
    assert "square" in shapes()
    assert "circle" not in shapes()


def test_a_value_given_as_text_is_imported_at_its_first_use() -> None:
    from collections import Counter

    registry = shapes()
    assert registry["tree"] is Counter
    assert registry["tree"] is Counter


@pytest.mark.parametrize("name", ["circle", "", 3, None, ["square"]])
def test_a_wrong_name_is_named_and_lists_what_there_is(name: object) -> None:
    with pytest.raises(SolverError) as raised:
        shapes()[name]  # type: ignore[index]  # that is the test
    assert str(raised.value) == f"unknown shape {name!r}; there are: square, tree"


@pytest.mark.parametrize("name", ["sqare", "Square", "SQUARE"])
def test_the_closest_name_is_suggested(name: str) -> None:
    with pytest.raises(SolverError, match=rf"unknown shape '{name}' \(did you mean 'square'\?\); there are: "):
        shapes()[name]


def test_make_passes_settings_on_and_returns_values_as_they_are() -> None:
    assert shapes().make("square", n=3) == {"n": 3}
    given = object()
    assert shapes().make(given) is given


def test_make_refuses_settings_beside_a_value_and_unknown_settings() -> None:
    with pytest.raises(SolverError, match=r"settings \(n\) go with the name of a shape"):
        shapes().make(object(), n=3)
    lengths: Registry[object] = Registry("length", {"text": len})
    with pytest.raises(ModelError, match="the length 'text' does not take these settings"):
        lengths.make("text", n=3)


def test_a_name_is_registered_once() -> None:
    registry = shapes()
    registry.register("circle", set)
    registry.register("circle", set)
    assert registry["circle"] is set
    with pytest.raises(SolverError, match="the shape 'circle' is registered already"):
        registry.register("circle", list)


def test_an_imported_value_may_be_registered_again() -> None:
    from collections import Counter

    registry = shapes()
    registry.register("tree", Counter)  # the home module registers what the text names
    assert registry["tree"] is Counter
    registry.register("tree", "collections:Counter")
    assert registry["tree"] is Counter


def test_choose_returns_one_of_the_names() -> None:
    assert choose("mode", "fast", ("fast", "slow")) == "fast"
    with pytest.raises(ValueError, match=r"unknown mode 'fats' \(did you mean 'fast'\?\); there are: fast, slow"):
        choose("mode", "fats", ("fast", "slow"), error=ValueError)


def test_an_empty_list_is_told() -> None:
    assert unknown("mode", "fast", ()) == "unknown mode 'fast'; there are: none"
