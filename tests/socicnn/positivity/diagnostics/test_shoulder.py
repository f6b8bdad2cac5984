"""Shoulder statistics against a history counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from socicnn.errors import ModelError
from socicnn.nn import ICNN
from socicnn.positivity import Lift
from socicnn.positivity.diagnostics import ShoulderStatistics
from socicnn.training import FitOptions, fit


def test_counts_a_history_by_hand() -> None:
    statistics = ShoulderStatistics()
    inside = [[0, 0, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    for step, row in enumerate(inside):
        statistics.record(step, torch.tensor([-5.0 if entry else 1.0 for entry in row]))
    np.testing.assert_allclose(statistics.occupancy, [0.5, 0.5, 0.25, 0.25])
    np.testing.assert_allclose(statistics.entry, [math.nan, 0.5, 0.0, 1 / 3])
    np.testing.assert_allclose(statistics.leave, [math.nan, 0.5, 0.5, 1.0])
    # entry 0: inside 2 of 3 snapshots since it went in; entry 2: 2 of 4; entry 3: 2 of 4; entry 1: never
    assert statistics.dwell == pytest.approx((2 / 3 + 0.5 + 0.5) / 3)
    assert statistics.steps.tolist() == [0, 1, 2, 3]


def test_the_shoulder_is_where_softplus_has_slope_below_a_twentieth() -> None:
    raw = torch.tensor([-2.945, -2.943], dtype=torch.float64)
    assert (torch.sigmoid(raw) < 0.05).tolist() == [True, False]
    statistics = ShoulderStatistics()
    statistics.record(0, raw)
    assert statistics.occupancy.tolist() == [0.5]


def test_nothing_ever_inside() -> None:
    statistics = ShoulderStatistics()
    assert math.isnan(statistics.dwell)
    for step in range(2):
        statistics.record(step, torch.zeros(3))
    assert math.isnan(statistics.dwell)
    assert math.isnan(statistics.leave[1])
    assert statistics.entry[1] == 0.0


@pytest.mark.parametrize("positivity", ["softplus", "biased", Lift(hidden=(8,))])
def test_is_a_callback_of_training(positivity) -> None:
    model = ICNN(2, (8, 8), positivity=positivity, generator=torch.Generator().manual_seed(0))
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    statistics = ShoulderStatistics(every=3)
    settings = {"batch_size": 16, "validation": 0, "progress": False, "options": FitOptions(on_step=statistics)}
    fit(model, (x, x.square().sum(dim=1)), epochs=3, **settings)
    assert statistics.steps.tolist() == [3, 6, 9, 12]
    assert np.isfinite(statistics.occupancy).all()


def test_watching_changes_nothing() -> None:
    def final(watch: bool) -> list[torch.Tensor]:
        model = ICNN(2, (8, 8), positivity=Lift(hidden=(8,)), generator=torch.Generator().manual_seed(0))
        x = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
        options = FitOptions(on_step=ShoulderStatistics(every=1) if watch else None)
        fit(model, (x, x.square().sum(dim=1)), epochs=2, batch_size=16, validation=0, progress=False, options=options)
        return list(model.parameters())

    assert all(torch.equal(a, b) for a, b in zip(final(True), final(False), strict=True))


def test_refusals() -> None:
    with pytest.raises(ModelError, match="every must be at least 1"):
        ShoulderStatistics(every=0)
    statistics = ShoulderStatistics(every=1)
    with pytest.raises(ModelError, match="no weight with a read-out"):
        statistics(1, ICNN(2, (4, 4)))
    statistics.record(0, torch.zeros(3))
    with pytest.raises(ModelError, match="4 entries, the earlier ones 3"):
        statistics.record(1, torch.zeros(4))
