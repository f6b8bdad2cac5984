"""The short names that a signature lists are those that its registry knows."""

from collections.abc import Iterable
from typing import Any, get_args

import pytest

from decision.sets._samplers import SAMPLERS, SamplerName
from decision.tasks import names as task_names
from decision.tasks._families import TaskName
from socicnn.conic.solvers import SOLVERS, SolverName
from socicnn.density._clouds import CLOUDS, LawName
from socicnn.density._targets import TARGETS, TargetName
from socicnn.positivity import INITIALISERS, RECIPES, InitialiserName, RecipeName
from socicnn.training._losses import LOSSES, LossName

LISTS: dict[str, tuple[Any, Iterable[str]]] = {
    "recipe": (RecipeName, RECIPES),
    "initialiser": (InitialiserName, INITIALISERS),
    "solver": (SolverName, SOLVERS),
    "loss": (LossName, LOSSES),
    "target": (TargetName, TARGETS),
    "law": (LawName, CLOUDS),
    "sampler": (SamplerName, SAMPLERS),
    "task": (TaskName, task_names()),
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_literal_lists_what_there_is(kind: str) -> None:
    listed, known = LISTS[kind]
    assert set(get_args(listed)) - {"auto"} == set(known)
