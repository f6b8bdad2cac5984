"""A year of days: the set is a storage and a heater, the true cost is the network's, perfect knowledge is best."""

from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest

import decision
from experiments import storage
from experiments.storage import CAPACITY, ETA, FILE, HEAT, POWER, PRESETS, Days, T

RNG = np.random.default_rng(0)


@pytest.fixture
def days() -> Days:
    """Return sixteen days of loads that look like a household's."""
    load = 0.4 + np.abs(RNG.normal(size=(16, T))) * (1 + np.sin(2 * np.pi * np.arange(T) / T))
    return Days(load, RNG.uniform(2.0, 6.0, size=16), np.zeros(16))


def test_perfect_plans_are_those_of_cvxpy(days: Days) -> None:
    chosen = np.array([7, 8])
    answer = decision.decide(storage.true_costs(days.load[chosen]), storage.plans(days, chosen))
    assert answer.certified.all(), answer.status
    for i, day in enumerate(chosen):
        c, d, heat, level = cp.Variable(T), cp.Variable(T), cp.Variable(T), cp.Variable(T + 1)
        limits = [c >= 0, d >= 0, heat >= 0, c <= POWER, d <= POWER, heat <= HEAT, level >= 0, level <= CAPACITY]
        limits += [level[1:] == level[:-1] + ETA * c - d / ETA, level[0] == CAPACITY / 2, level[T] == CAPACITY / 2]
        limits += [cp.sum(heat) == days.water[day]]
        drawn = days.load[day] + c - d + heat
        bill = storage.PRICE @ cp.pos(drawn) - storage.SOLD * cp.sum(cp.pos(drawn) - drawn)
        bill += storage.PEAK * cp.sum(cp.pos(drawn - storage.LIMIT))
        convex = storage.SOLD * cp.sum(drawn) + (storage.PRICE - storage.SOLD) @ cp.pos(drawn)
        convex += storage.PEAK * cp.sum(cp.pos(drawn - storage.LIMIT))
        least = cp.Problem(cp.Minimize(convex), limits).solve(solver="CLARABEL")
        assert float(answer.value[i]) == pytest.approx(least, rel=1e-6)
        assert bill.value == pytest.approx(least, rel=1e-6)


def test_networks_of_days_are_sums_of_their_hours(days: Days) -> None:
    chosen = np.array([7, 8, 9])
    model = storage.trained(days, np.arange(7, 10), PRESETS["tiny"])
    theta = storage.contexts(days, chosen)
    x = RNG.uniform(0.0, 1.0, size=(3, T, 3))
    whole = storage.learned_costs(model, theta)
    by_hour = model.freeze(theta.reshape(3 * T, -1))
    for i in range(3):
        hours = [by_hour.take(i * T + t)(x[i, t] @ storage.DRAWN[:, None]) for t in range(T)]
        assert whole.take(i)(x[i].reshape(-1)).item() == pytest.approx(float(np.sum(hours)), rel=1e-9)
    true = storage.true_costs(days.load[chosen])
    for i, day in enumerate(chosen):
        bill = storage.cost(x[i] @ storage.DRAWN, days.load[day], np.arange(T)).sum()
        assert true.take(i)(x[i].reshape(-1)).item() == pytest.approx(bill, rel=1e-9)


def test_the_tiny_preset_runs(days: Days, tmp_path: Path) -> None:
    planned = storage.run(days, PRESETS["tiny"])
    rows = planned.rows
    assert [row["plan"] for row in rows] == ["idle", "yesterday", "learned", "perfect"]
    costs = {str(row["plan"]): float(row["cost"]) for row in rows}
    assert costs["perfect"] <= min(costs.values()) + 1e-9
    assert all(row["certified"] == 3 for row in rows[1:])
    assert all(float(row["violation"]) <= 1e-9 for row in rows[1:])
    level = storage.levels(planned.plans["perfect"])
    np.testing.assert_allclose(level[:, [0, -1]], CAPACITY / 2, atol=1e-9)
    assert level.min() >= -1e-9
    assert level.max() <= CAPACITY + 1e-9
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    storage.draw(planned, tmp_path / "day.png")
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")


def test_the_real_days_are_read(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = storage.read_days(data_folder / "power" / FILE)
    assert len(read.load) > 1300
    assert 0.5 < read.load.mean() < 1.5  # kWh per hour
    storage.main(["--preset", "tiny", "--data", str(data_folder), "--out", str(tmp_path / "storage.csv")])
    assert "perfect" in capsys.readouterr().out
    assert (tmp_path / "storage.csv").exists()
