"""The problems' solvers and sets agree, the jobs of a day are what their rows say, and the tiny run finishes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, milp

from decision import decide
from experiments.engine.tables import Row, read_table
from experiments.predict_then_optimize import cells as experiment
from experiments.predict_then_optimize import scheduling
from experiments.predict_then_optimize.problems import PROBLEMS, make, packings
from socicnn.frozen import FrozenNet, Output

DAYS = 30


@pytest.fixture
def household(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write hourly data that begin in the evening, as the real ones do, with one hour missing."""
    import pandas as pd

    hours = pd.date_range("2006-12-16 17:00", periods=7 + 24 * DAYS, freq="h")
    load = 60.0 * np.random.default_rng(0).uniform(0.2, 3.0, len(hours))
    path = tmp_path / scheduling.POWER
    path.parent.mkdir(parents=True)
    frame = pd.DataFrame({"datetime": hours, "Global_active_power": load})
    frame.drop(index=7 + 24 * 20 + 3).to_csv(path, index=False)
    monkeypatch.setenv("SOCICNN_DATA", str(tmp_path))


def least(c: np.ndarray, A: np.ndarray, low: Any, high: Any, *, integer: bool, upper: float = np.inf) -> float:
    """Return the least c'x over rows, 0 <= x <= upper."""
    answer = milp(
        c, constraints=LinearConstraint(A, low, high), bounds=(0, upper), integrality=np.full(len(c), integer)
    )
    return float(answer.fun)


def test_jobs_start_as_the_rows_of_their_relaxation_allow() -> None:
    A, b, E, f = scheduling.rows()
    rows, low, high = np.vstack([A, E]), np.concatenate([np.full(len(b), -np.inf), f]), np.concatenate([b, f])
    barred = np.where(scheduling.feasible(), 0.0, np.inf)
    for seed in range(8):
        c = scheduling.coefficients(np.random.default_rng(seed).uniform(0.1, 3.0, (1, 24)))[0]
        total = barred
        for job, own in enumerate(np.split(c, np.cumsum(scheduling.SIZES)[:-1])):
            total = total + own.reshape([-1 if job == axis else 1 for axis in range(len(scheduling.SIZES))])
        assert total.min() == pytest.approx(least(c, rows, low, high, integer=True), rel=1e-9)


def test_days_are_whole_and_follow_a_week(household: None) -> None:
    X, load = scheduling.days()
    blocks = 24 // scheduling.BLOCK
    assert X.shape == (
        DAYS - 7 - 3,
        2 * blocks + 7,
    )  # without the day of the gap, the one after it, and the one a week later
    assert load.shape == (len(X), 24)
    assert np.isfinite(X).all()
    assert X[1, :blocks] == pytest.approx(load[0].reshape(blocks, -1).mean(axis=1))  # the day before
    assert X[7, blocks : 2 * blocks] == pytest.approx(load[0].reshape(blocks, -1).mean(axis=1))  # a week before
    assert X[0, 2 * blocks :].argmax() == 6  # 2006-12-24 was a Sunday


def test_packings_are_those_that_can_be_best() -> None:
    rng = np.random.default_rng(0)
    W, capacity = rng.uniform(3, 8, (2, 7)), np.full(2, 14.0)
    points = packings(W, capacity)
    assert (points @ W.T <= capacity).all()
    for _ in range(8):
        c = rng.uniform(0, 5, 7)
        assert (points @ c).max() == pytest.approx(-least(-c, W, -np.inf, capacity, integer=True, upper=1.0))


def test_every_problem_and_method_has_five_seeds() -> None:
    keys = [cell.key for cell in experiment.cells("paper")]
    assert len(keys) == 5 * len(PROBLEMS) * len(experiment.METHODS)
    assert [key["seed"] for key in keys] == sorted(key["seed"] for key in keys)


def test_regrets_are_summed_up_by_problem() -> None:
    rows: list[Row] = [
        {"problem": "path", "method": method, "seed": seed, "regret": regret}
        for method, regrets in {"SPO+": (0.02, 0.04), "both": (0.01, 0.01)}.items()
        for seed, regret in enumerate(regrets)
    ]
    assert "| path | 3.00 ± 1.41 | 1.00 ± 0.00 | 2 |" in experiment.summary(rows)


@pytest.mark.extra
@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_s_solver_is_best_over_its_set(name: str, household: None) -> None:
    pytest.importorskip("pyepo")
    problem = make(name, 8, 0)
    rows = problem.feasible_set.rows()
    for c in problem.C[:2].astype(np.float64):
        problem.model.setObj(c)
        x, value = problem.model.solve()
        assert value == pytest.approx(float(c @ x))
        if rows.G.shape[1] == len(x):  # else the set has helper variables
            assert rows.cones.violation(rows.h - rows.G @ x).max() <= 1e-7
        assert problem.sign * value == pytest.approx(_least(problem, problem.sign * c), rel=1e-5)


def _least(problem: Any, c: np.ndarray) -> float:
    """Return the least c'x over the set, with whole numbers where the problem has them."""
    import cvxpy as cp

    if problem.integer:
        rows = problem.feasible_set.rows()
        low = np.where(np.arange(len(rows.h)) < rows.cones.zero, rows.h, -np.inf)
        answer = milp(c, constraints=LinearConstraint(rows.G, low, rows.h), bounds=(0, 1), integrality=np.ones(len(c)))
        return float(answer.fun)
    x = cp.Variable(len(c))
    return float(cp.Problem(cp.Minimize(c @ x), problem.feasible_set.constraints(x)).solve(solver="CLARABEL"))


@pytest.mark.extra
@pytest.mark.parametrize("name", ["knapsack integer", "scheduling"])
def test_decide_proves_what_a_problem_with_integers_solves(name: str, household: None) -> None:
    pytest.importorskip("pyepo")
    problem = make(name, 8, 0)
    c = problem.C[0].astype(np.float64)
    problem.model.setObj(c)
    net = FrozenNet([], Output(np.zeros(0), problem.sign * c))
    answer = decide(net, problem.feasible_set, integer=range(len(c)))
    assert answer.ok
    assert float(c @ answer.x[0].numpy()) == pytest.approx(problem.model.solve()[1], rel=1e-6)


@pytest.mark.extra
def test_the_tiny_run_finishes_and_is_summed_up(tmp_path: Path) -> None:
    pytest.importorskip("pyepo")
    out = tmp_path / "predict_then_optimize.csv"
    experiment.main(["--preset", "tiny", "--out", str(out)])
    rows = read_table(out)
    assert [row["method"] for row in rows] == list(experiment.METHODS)
    assert all(0 <= row["regret"] < 2 for row in rows)
