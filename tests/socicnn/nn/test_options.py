"""Options as an object and as keywords make the same network; a repr shows how a network was made."""

import inspect
from dataclasses import fields
from typing import get_args, get_type_hints

import pytest
import torch

from socicnn.errors import ModelError
from socicnn.nn import ICNN, SOCICNN, AveragePool, Conv, ConvSOCICNN, NetOptions, RecurrentSOCICNN
from socicnn.nn._activations import LayerUnits
from socicnn.nn._context import CODE_ACTIVATIONS
from socicnn.nn._options import Activation, ContextActivation, NetSettings

KINDS = {
    "dense": lambda **options: SOCICNN(3, (4,), (2,), (2,), context_features=2, **options),
    "convolutional": lambda **options: ConvSOCICNN((1, 4, 4), (2,), (2,), (2,), context_features=2, **options),
    "recurrent": lambda **options: RecurrentSOCICNN((4, 2), 3, (2,), (2,), context_features=2, **options),
}
CHOICES = {"positivity": "softplus", "initialiser": "folded", "quadratic_offset": False, "dtype": torch.float64}


def test_keywords_and_the_object_have_the_same_options_of_the_same_types() -> None:
    assert list(NetSettings.__annotations__) == [field.name for field in fields(NetOptions)]
    assert get_type_hints(NetSettings) == get_type_hints(NetOptions)


def test_short_names_are_those_that_there_are() -> None:
    for name in get_args(Activation):
        assert LayerUnits(name)(torch.zeros(4)).shape == (4 // LayerUnits(name).pieces,)
    assert set(get_args(ContextActivation)) == set(CODE_ACTIVATIONS)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_gives_the_network_that_keywords_give(kind: str) -> None:
    draw = lambda: torch.Generator().manual_seed(0)  # noqa: E731 (a fresh one each time)
    by_keyword = KINDS[kind](**CHOICES, generator=draw())
    by_object = KINDS[kind](options=NetOptions(**CHOICES, generator=draw()))
    mixed = KINDS[kind](
        options=NetOptions(**{**CHOICES, "dtype": torch.float32}, generator=draw()), dtype=torch.float64
    )
    assert by_keyword.config() == by_object.config() == mixed.config()
    for name, tensor in by_keyword.state_dict().items():
        assert torch.equal(tensor, by_object.state_dict()[name])
        assert torch.equal(tensor, mixed.state_dict()[name])


@pytest.mark.parametrize("kind", [ICNN, SOCICNN, ConvSOCICNN, RecurrentSOCICNN])
def test_a_signature_has_at_most_ten_parameters_and_no_positional_boolean(kind: type) -> None:
    parameters = list(inspect.signature(kind).parameters.values())
    assert sum(entry.kind is not inspect.Parameter.VAR_KEYWORD for entry in parameters) <= 10
    assert not [
        entry for entry in parameters if isinstance(entry.default, bool) and entry.kind is not entry.KEYWORD_ONLY
    ]


def test_a_keyword_that_there_is_not_is_refused_with_the_closest() -> None:
    with pytest.raises(TypeError, match=r"SOCICNN\(\) got an unexpected keyword argument 'initializer'; did you mean"):
        SOCICNN(3, initializer="folded")  # type: ignore[call-arg]  # that is the test
    with pytest.raises(TypeError, match="unexpected keyword argument 'quadratic_offset'"):
        ICNN(3, quadratic_offset=False)
    with pytest.raises(TypeError, match="unexpected keyword argument 'context_hidden'"):
        ConvSOCICNN((1, 4), context_hidden=3)


def test_an_object_with_options_that_do_not_belong_is_refused() -> None:
    with pytest.raises(ModelError, match="a RecurrentSOCICNN has no context_hidden"):
        RecurrentSOCICNN((4, 2), options=NetOptions(context_hidden=3))
    with pytest.raises(ModelError, match=r"options must be a NetOptions\(\.\.\.\); received dict"):
        ICNN(3, options={})  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (
            lambda: SOCICNN(10, (64, 64), (10,), (10, 10)),
            "SOCICNN(in_features=10, hidden_features=(64, 64), quadratic=(10,), norm=(10, 10))",
        ),
        (
            lambda: ICNN(2, (), context_features=3, context="joint", positivity="softplus"),
            "ICNN(in_features=2, hidden_features=(), context_features=3, context='joint', positivity=Softplus())",
        ),
        (
            lambda: ICNN(2, (3, 3), activation=("relu", "softplus")),
            "ICNN(in_features=2, hidden_features=(3, 3), activation=('relu', 'softplus'))",
        ),
        (
            lambda: ConvSOCICNN((1, 8, 8), (4, AveragePool(2), Conv(5, 3, stride=2)), (), ()),
            "ConvSOCICNN(input_shape=(1, 8, 8), hidden_features=(Conv(channels=4), AveragePool(kernel=2), "
            "Conv(channels=5, stride=2)), quadratic=(), norm=())",
        ),
        (
            lambda: RecurrentSOCICNN((6, 2), 4, ("diagonal",), (Conv(4, 3, group=2),), shared=False),
            "RecurrentSOCICNN(input_shape=(6, 2), hidden_features=4, quadratic=('diagonal',), "
            "norm=(Conv(channels=4, group=2),), shared=False)",
        ),
    ],
)
def test_a_repr_is_one_line_that_says_how_it_was_made(network, text: str) -> None:
    assert repr(network()) == text
    assert text in repr(torch.nn.Sequential(network()))
