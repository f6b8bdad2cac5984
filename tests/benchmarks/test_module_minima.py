"""Modules whose least value is known: nothing false among a few, and what is false is counted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import module_minima
from benchmarks.module_minima import Tally, false_guarantees, judge
from decision import Decision


def test_no_guarantee_about_a_few_modules_is_false() -> None:
    found = false_guarantees(12, seed=7)
    assert (found.above, found.false, found.count) == (0, 0, 12), found.worst
    assert found.certified >= 8


def test_what_is_false_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound above the minimum, and an answer that is certified though it is far above it."""

    def lies(found: Tally, answer: Decision, *rest: object) -> None:
        scale = answer.scale
        judge(found, replace(answer, value=answer.value + 0.1 * scale, gap=torch.zeros_like(scale)), *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module_minima, "judge", lies)
    found = Tally()
    module_minima.one_module(found, np.random.default_rng([7, 0]), "one module")
    assert (found.above, found.false) == (1, 1)
    assert len(found.worst) == 2
