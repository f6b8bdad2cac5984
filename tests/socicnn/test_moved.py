"""Arguments that were renamed or moved work for one more version, and warn."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import decision
from socicnn import FrozenNet
from socicnn.density import cloud, target
from socicnn.errors import FileError, ModelError, SolverError
from socicnn.positivity import INITIALISERS, RECIPES, initialiser, recipe
from socicnn.positivity._short_names import RecipeSettings


@pytest.mark.parametrize(
    ("make", "value", "now"),
    [
        (recipe, "softplus", "name"),
        (initialiser, "folded", "name"),
        (cloud, "two_spirals", "law"),
        (target, "beta", "kind"),
    ],
)
def test_what_was_called_given_still_works(make: Any, value: str, now: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"{make.__name__}\(given=...\) is now {make.__name__}\({now}=...\)"):
        old = make(given=value)
    assert type(old) is type(make(value)) is type(make(**{now: value}))
    with pytest.raises(TypeError, match="both given and"):
        make(given=value, **{now: value})


@pytest.mark.extra
def test_the_path_of_an_onnx_file_is_its_source(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with (
        pytest.warns(DeprecationWarning, match="is now FrozenNet.from_onnx"),
        pytest.raises(FileError, match=r"net\.onnx"),
    ):
        FrozenNet.from_onnx(path=tmp_path / "net.onnx")


def test_settings_of_a_recipe_are_those_that_an_editor_lists() -> None:
    known = {name for kind in RECIPES for name in getattr(RECIPES[kind], "__dataclass_fields__", {})}
    assert known == set(RecipeSettings.__annotations__)
    assert not any(getattr(INITIALISERS[kind], "__dataclass_fields__", {}) for kind in INITIALISERS)
    with pytest.raises(ModelError, match="does not take these settings"):
        recipe("exp", floor=0.1)


def test_evaluate_hands_settings_to_the_solver_of_the_optimum() -> None:
    task = decision.tasks.make("box_socp", seed=0)
    theta = task.sample_contexts(2, seed=1)
    x, F = task.optimum(theta)
    answer: Any = type("Answered", (), {"x": x, "value": F, "gap": task.gap(x, theta)})()
    assert float(decision.evaluate(task, answer, theta, settings={"max_iter": 200}).regret.abs().max()) < 1e-6
    with pytest.raises(SolverError, match="user_limit"):
        decision.evaluate(task, answer, theta, settings={"max_iter": 1})
    with pytest.warns(DeprecationWarning, match="max_iter moved into `settings`"):
        judged = decision.evaluate(task, answer, theta, max_iter=200)
    assert torch.isfinite(judged.regret).all()


@pytest.mark.parametrize(
    ("package", "old", "now"),
    [
        ("socicnn.nn", "DyingUnits", "socicnn.errors.DyingUnits"),
        ("socicnn.nn", "NETWORKS", "private"),
        ("socicnn.training", "LOSSES", "private"),
        ("socicnn.positivity", "Biased", "private"),
        ("socicnn.positivity", "Noisy", "private"),
        ("socicnn.density", "bracket", "socicnn.density.log_partition_bounds"),
        ("decision.learning", "Active", "decision.learning.ActiveResult"),
        ("decision.learning", "Focused", "decision.learning.FocusedResult"),
        ("decision.learning", "average", "decision.learning.mean_network"),
    ],
)
def test_public_names_of_the_version_before_warn(package: str, old: str, now: str) -> None:
    module = import_module(package)
    assert old not in module.__all__
    with pytest.warns(DeprecationWarning, match=rf"{package}.{old} is now {now}"):
        assert getattr(module, old) is not None
