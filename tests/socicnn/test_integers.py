"""Every argument that counts takes an integer of any type, and refuses the rest in a sentence that names it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import verify
from decision import DecideOptions, decide, surrogates, tasks
from decision.learning import FocusedOptions, fit_active, fit_focused
from decision.sets import Simplex
from socicnn import ICNN, SOCICNN, density
from socicnn._integers import as_seed, is_integer
from socicnn.frozen import FrozenNet, Output, Quadratic
from socicnn.nn import Conv, ConvSOCICNN, RecurrentSOCICNN
from socicnn.positivity import Lift
from socicnn.training import FitOptions, fit, fit_stacked

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(40, 3))
DATA = (X, np.square(X).sum(axis=1))
TASK = tasks.make("simplex_socp", features=3, seed=0)
LABELLED = TASK.sample(contexts=8, candidates=4, seed=1)
NET = FrozenNet([], Output([], [0.0, 1.0]), [Quadratic(1.0, np.eye(2))])
SHORT: dict[str, Any] = {"epochs": 1, "progress": False}


def model() -> Any:
    return surrogates.make("soc-partial", 3, generator=torch.Generator().manual_seed(0))


def energy() -> Any:
    return density.Energy.dense(1, (4,), generator=torch.Generator().manual_seed(0))


def active(**settings: Any) -> Any:
    return fit_active(model(), TASK, LABELLED, **{"rounds": 1, "near": 1, **SHORT, **settings})


def focused(**settings: Any) -> Any:
    return fit_focused(model(), TASK, LABELLED, **{"steps": 1, "contexts": 4, "progress": False, **settings})


# argument, call, a value that it takes
COUNTS: list[tuple[str, Callable[[Any], Any], int]] = [
    ("in_features", lambda k: ICNN(k, (4,)), 3),
    ("in_features", lambda k: SOCICNN(k, (4,)), 3),
    ("hidden_features", lambda k: SOCICNN(3, (k,)), 4),
    ("context_features", lambda k: SOCICNN(3, (4,), context_features=k), 2),
    ("context_hidden", lambda k: SOCICNN(3, (4,), context_features=2, context_hidden=k), 5),
    ("quadratic", lambda k: SOCICNN(3, (4,), quadratic=(k,)), 3),
    ("norm", lambda k: SOCICNN(3, (4,), norm=(k,)), 3),
    ("channels", lambda k: ConvSOCICNN((1, 6, 6), (Conv(k),)), 2),
    ("kernel", lambda k: ConvSOCICNN((1, 6, 6), (Conv(2, k),)), 3),
    ("input_shape", lambda k: ConvSOCICNN((1, k, 6), (2,)), 6),
    ("hidden_features", lambda k: RecurrentSOCICNN((4, 2), k), 3),
    ("rank", lambda k: Lift(rank=k), 2),
    ("hidden", lambda k: Lift(hidden=(k,)), 8),
    ("epochs", lambda k: fit(SOCICNN(3, (4,)), DATA, epochs=k, progress=False), 1),
    ("batch_size", lambda k: fit(SOCICNN(3, (4,)), DATA, batch_size=k, **SHORT), 8),
    ("patience", lambda k: fit(SOCICNN(3, (4,)), DATA, options=FitOptions(patience=k), **SHORT), 2),
    ("polish", lambda k: fit(SOCICNN(3, (4,)), DATA, options=FitOptions(polish=k), **SHORT), 2),
    ("seed", lambda k: fit(SOCICNN(3, (4,)), DATA, seed=k, **SHORT), 1),
    ("seed", lambda k: fit_stacked([SOCICNN(3, (4,))], DATA, seeds=[k], **SHORT), 1),
    ("n of a Simplex", Simplex, 3),
    ("features", lambda k: tasks.make("simplex_socp", features=k, seed=0), 4),
    ("context_features", lambda k: tasks.make("simplex_socp", features=4, context_features=k, seed=0), 3),
    ("seed", lambda k: tasks.make("simplex_socp", features=4, seed=k), 5),
    ("contexts", lambda k: TASK.sample(contexts=k, candidates=2, seed=0), 4),
    ("candidates", lambda k: TASK.sample(contexts=4, candidates=k, seed=0), 2),
    ("count", lambda k: TASK.sample_contexts(k, seed=0), 4),
    ("max_iterations", lambda k: decide(NET, Simplex(2), options=DecideOptions(max_iterations=k)), 50),
    ("max_solver_points", lambda k: verify.equivalence(NET, np.ones((3, 2)), max_solver_points=k), 2),
    ("seed", lambda k: verify.falsify(NET, (np.zeros(2), np.ones(2)), evaluations=20_000, seed=k), 5),
    ("chunk", lambda k: verify.certify(NET, np.ones((3, 2)), chunk=k), 2),
    ("batch_size", lambda k: density.fit(energy(), density.target("gumbel"), steps=1, batch_size=k), 4),
    ("note_every", lambda k: density.fit(energy(), density.target("gumbel"), steps=2, note_every=k), 2),
    ("rounds", lambda k: active(rounds=k), 1),
    ("near", lambda k: active(near=k), 1),
    ("steps", lambda k: focused(steps=k), 1),
    ("contexts", lambda k: focused(contexts=k), 4),
    ("every", lambda k: focused(options=FocusedOptions(every=k)), 1),
]


@pytest.mark.parametrize(("name", "call", "value"), COUNTS)
@pytest.mark.parametrize("kind", [np.int64, np.uint8, lambda k: np.array(k), lambda k: torch.tensor(k)])
def test_integers_of_any_type_are_taken(name: str, call: Callable[[Any], Any], value: int, kind: Any) -> None:
    assert name
    call(kind(value))


@pytest.mark.parametrize(("name", "call", "value"), COUNTS)
@pytest.mark.parametrize("wrong", [True, np.True_, 2.5, "3"])
def test_what_is_not_an_integer_is_refused_by_name(
    name: str, call: Callable[[Any], Any], value: int, wrong: Any
) -> None:
    assert value
    with pytest.raises(ValueError, match=name):
        call(wrong)


def test_numpys_integer_gives_the_same_fit() -> None:
    fits = []
    for kind in (int, np.int32):
        net = SOCICNN(kind(3), (kind(4),), generator=torch.Generator().manual_seed(0))
        fit(net, DATA, epochs=kind(3), batch_size=kind(8), seed=kind(7), progress=False)
        fits.append(net.state_dict())
    assert all(torch.equal(fits[0][key], fits[1][key]) for key in fits[0])


def test_seeds_are_within_what_torch_takes() -> None:
    assert as_seed("seed", np.int64(-3)) == -3
    with pytest.raises(ValueError, match="seed must lie in"):
        as_seed("seed", 2**64)


def test_arrays_of_several_numbers_are_no_integer() -> None:
    assert not is_integer(np.array([1, 2]))
    assert not is_integer(torch.tensor([True]))
    assert not is_integer(None)
