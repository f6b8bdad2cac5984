import math
from typing import ClassVar

import numpy as np
import pytest
import torch

from decision.sets import Box, Budget, Simplex
from decision.tasks import from_arrays, make, names, task_arrays
from tests.contracts.tasks import TaskContract, Vector, softplus


class OnSimplex(TaskContract):
    feasible_set = Simplex

    def centre(self, raw: Vector) -> Vector:
        positive = softplus(raw) + 1e-6
        return positive / positive.sum()

    def check_m0(self, m0: Vector) -> None:
        np.testing.assert_allclose(m0.sum(axis=1), 1.0, rtol=1e-14)
        assert m0.min() >= 0
        uniform = m0 / m0.max(axis=1, keepdims=True)  # uniform entries, all divided by one number
        assert abs(np.sort(uniform, axis=1)[:, :-1].mean() - 0.5) < 0.03


class OnBox(TaskContract):
    feasible_set = Box
    low, high = 0.2, 0.8

    def centre(self, raw: Vector) -> Vector:
        return np.clip(raw, 0, 1)

    def check_m0(self, m0: Vector) -> None:
        assert self.low <= m0.min() < self.low + 0.01
        assert self.high - 0.01 < m0.max() <= self.high
        assert abs(m0.mean() - (self.low + self.high) / 2) < 0.02


class OnBudget(OnBox):
    feasible_set = Budget
    low, high = 0.10, 0.55


class Cones(TaskContract):
    quad = 1.0

    def family(self, u: Vector, raw: Vector) -> float:
        return float(0.10 + softplus(raw)[0]) * math.sqrt(sum(entry**2 for entry in u))


class TestSimplexSocp(Cones, OnSimplex):
    name = "simplex_socp"
    rows: ClassVar = {10: (4,), 20: (6,), 50: (16,)}
    scales = (0.08, 0.20, 0.3, 0.25, (0.20, 0.60), 0.20)


class TestBoxSocp(Cones, OnBox):
    name = "box_socp"
    rows: ClassVar = {10: (4,), 20: (6,), 50: (16,)}
    scales = (0.25, 0.25, 0.3, 0.25, (0.25, 0.80), 0.25)


class TestBudgetTwoconeSocp(Cones, OnBudget):
    name = "budget_twocone_socp"
    rows: ClassVar = {10: (4, 3), 20: (5, 4), 50: (12, 10)}
    scales = (0.20, 0.20, 0.3, 0.25, (0.20, 0.70), 0.20)


class TestSimplexLogistic(OnSimplex):
    name = "simplex_logistic"
    quad = 0.35
    rows: ClassVar = {10: (6,), 20: (6,), 50: (16,)}
    scales = (0.08, 0.20, 0.4, 0.25, (0.2, 0.7), 0.15)

    def family(self, u: Vector, raw: Vector) -> float:
        return sum((0.05 + softplus(r)) * math.log(1 + math.exp(v)) for v, r in zip(u, raw, strict=True))


class TestBoxLogsumexp(OnBox):
    name = "box_logsumexp"
    second_solver = "scs"  # ECOS stops short on some of these exponential cones
    quad = 0.35
    rows: ClassVar = {10: (4, 4), 20: (4, 4), 50: (10, 10)}
    scales = (0.25, 0.25, 0.35, 0.22, (0.2, 0.6), 0.15)

    def family(self, u: Vector, raw: Vector) -> float:
        return float(0.05 + softplus(raw)[0]) * math.log(sum(math.exp(entry) for entry in u))


class TestBudgetHuber(OnBudget):
    name = "budget_huber"
    quad = 0.25
    rows: ClassVar = {10: (8,), 20: (10,), 50: (25,)}
    scales = (0.20, 0.20, 0.3, 0.18, (0.10, 0.45), 0.10)

    def family(self, u: Vector, raw: Vector) -> float:
        huber = [v * v if abs(v) <= 0.35 else 0.7 * abs(v) - 0.35**2 for v in u]
        return sum((0.05 + softplus(r)) * h for h, r in zip(huber, raw, strict=True))


def test_every_task_has_a_contract_test() -> None:
    cones = (TestSimplexSocp, TestBoxSocp, TestBudgetTwoconeSocp)
    tests = (*cones, TestSimplexLogistic, TestBoxLogsumexp, TestBudgetHuber)
    assert [test.name for test in tests] == names()


def test_an_unknown_name_lists_what_there_is() -> None:
    for call in (lambda: make("knapsack", seed=0), lambda: from_arrays("knapsack", {})):
        with pytest.raises(ValueError, match="there are: box_logsumexp, box_socp"):
            call()


def test_somebody_elses_instance_on_another_set_with_more_blocks() -> None:
    arrays = task_arrays(make("budget_twocone_socp", features=6, seed=0, context_features=3))
    third = {key[:-1] + "3": value for key, value in arrays.items() if key.endswith("2")}
    task = from_arrays("budget_twocone_socp", {**arrays, **third}, Box(6, lower=-1.0))
    assert (len(task.blocks), task.context_features) == (3, 3)
    x, _ = task.optimum(task.sample_contexts(3, seed=0))
    assert task.feasible_set.contains(x).all()
    assert (x < -1e-3).any()


def test_data_do_not_repeat_the_draws_of_the_task() -> None:
    """One seed for the task, its contexts and its candidates gives three independent streams."""
    task = make("box_socp", features=8, seed=1)
    data = task.sample(contexts=8, candidates=1, seed=1)
    one = task_arrays(task)
    numbers = [np.sort(one["C"].ravel() / 0.25 * 8**0.5), np.sort(data.context.numpy().ravel())]
    assert not np.isin(numbers[0].round(9), numbers[1].round(9)).any()
    assert not np.isin(((one["w"] - 0.8) / 0.8).round(9), data.x.numpy().ravel().round(9)).any()


def test_boundary_candidates_are_an_option() -> None:
    task = make("budget_huber", seed=0)
    plain, boundary = (task.sample(20, 10, seed=0, boundary=share) for share in (0.0, 0.5))
    assert not ((plain.x == 0) | (plain.x == 1)).any()
    on_faces = ((boundary.x == 0) | (boundary.x == 1)).any(dim=-1)
    assert 0.4 < on_faces.double().mean() <= 0.5
    assert torch.equal(plain.context, boundary.context)


def test_a_seed_must_be_an_integer() -> None:
    with pytest.raises(ValueError, match="seed must be an integer"):
        make("box_socp", seed=1.5)  # type: ignore[arg-type]  # the mistake under test
