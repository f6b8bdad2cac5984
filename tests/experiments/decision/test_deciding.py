"""Decisions of the benchmark: one accuracy, and a context that fails costs only itself."""

from typing import Any

import pytest
import torch
from torch import Tensor

from decision import tasks
from decision.baselines import StructuredPCF
from experiments.decision import deciding
from experiments.decision.contest import afresh, validation_cost
from experiments.decision.instances import Instance, Sizes
from experiments.decision.regrets import coded, decoded
from experiments.decision.versions import FINE, RTOL
from socicnn.errors import SolverError

SIZES = Sizes(contexts=10, candidates=4, tests=5, tuning=4)


def test_regrets_come_back_to_a_thousandth() -> None:
    given = torch.tensor([3e-17, 1e-9, 0.02, 7.0, 0.0, -1e-12, torch.nan], dtype=torch.float64)
    back = decoded(coded(given))
    assert torch.allclose(back[:4], given[:4], rtol=1e-3)
    assert back[4:6].tolist() == [0.0, 0.0]
    assert back[6].isnan()


def refusing(bad: Tensor, methods: tuple[Any, ...]) -> Any:
    """Return a `decide` that raises for batches that hold one context, by some methods."""

    def decide(model: Any, feasible_set: Any, theta: Tensor, method: Any = "auto", **options: Any) -> Any:
        if method in methods and bool((theta == bad).all(dim=1).any()):
            raise SolverError("the solver broke down")
        return original(model, feasible_set, theta, method, **options)

    original = deciding.decide
    return decide


def test_a_context_that_fails_is_tried_by_other_methods_then_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = Instance.of("box_socp", 3, SIZES)
    model = StructuredPCF(3, generator=torch.Generator().manual_seed(0)).double()
    theta = instance.draw(3, 5)
    known = deciding.optimum(instance.task, theta)
    right = deciding.decide_all(model, instance.task.feasible_set, theta)
    with monkeypatch.context() as patch:
        patch.setattr(deciding, "decide", refusing(theta[2], ("auto",)))
        found = deciding.decide_all(model, instance.task.feasible_set, theta)
        assert found.failed == 0
        assert (found.value - right.value).abs().max() <= 1e-5
    monkeypatch.setattr(deciding, "decide", refusing(theta[2], ("auto", *deciding.OTHERS)))
    found = deciding.decide_all(model, instance.task.feasible_set, theta)
    assert found.failed == 1
    assert found.x[2].isnan().all()
    others = [0, 1, 3, 4]
    assert torch.allclose(found.x[others], right.x[others], atol=1e-6)
    row = afresh(instance, model, theta, known)
    assert (row["failed"], row["contexts"]) == (1, 5)
    regret = instance.task.cost(right.x, theta) - known[1]
    assert row["regret_mean"] == pytest.approx(float(regret[others].mean()), abs=1e-6)
    # in the choice of a configuration a failure costs what the set's centre costs
    centre = instance.task.cost(instance.task.feasible_set.centre()[None], theta[[2]])
    expected = (instance.task.cost(right.x[others], theta[others]).sum() + centre.sum()) / 5
    assert validation_cost(instance, found, theta) == pytest.approx(float(expected), abs=1e-6)


def test_what_fails_at_every_context_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(theta: Tensor) -> tuple[Tensor, ...]:
        raise ValueError("not the contexts' fault")

    with pytest.raises(ValueError, match="fault"):
        deciding.each(broken, torch.zeros(3, 2))


def test_contexts_with_small_regrets_are_decided_finer() -> None:
    """The task's own cost as the surrogate: every regret is below the first accuracy."""
    task = tasks.make("simplex_socp", features=3, seed=5)
    theta = task.sample_contexts(4, seed=1)
    _, least = task.optimum(theta)

    class Truth(torch.nn.Module):
        def forward(self, x: Tensor, context: Tensor) -> Tensor:
            return task.cost(x, context)

    found = deciding.settle(task, Truth(), theta, least)
    assert (found.rtol == FINE).all()
    assert (task.cost(found.x, theta) - least).abs().max() <= 1e-8
    coarse = deciding.settle(task, Truth(), theta, least - 1.0)  # as if every regret were 1 and more
    assert (coarse.rtol == RTOL).all()
