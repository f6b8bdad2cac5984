"""Surrogates whose weights the lift emits: they train, end plain, decide within their gap, and are certified."""

import pytest
import torch

import verify
from decision import decide, evaluate, fit, surrogates, tasks
from socicnn.errors import ModelError
from tests.support.cases import generator

LIFTED = [name for name in surrogates.names() if name.startswith("lift-")]


@pytest.mark.parametrize("name", LIFTED)
def test_a_lifted_surrogate_learns_ends_decides_and_is_certified(name: str) -> None:
    task = tasks.make("simplex_socp", features=4, seed=0)
    data = task.sample(contexts=60, candidates=8, seed=1)
    small = {"hidden_features": (8, 8) if "joint" in name else (8,)}
    model = surrogates.make(name, 4, generator=generator(0), **small)
    theta = task.sample_contexts(3, seed=2)
    with pytest.raises(ModelError, match="finalise"):
        decide(model, task.feasible_set, theta)
    with pytest.raises(ModelError, match="finalise"):
        model.freeze(theta[0])
    x, context, y = data.x.float(), data.context.unsqueeze(1).float(), data.y.float()

    @torch.no_grad()
    def error() -> float:
        return float((model.finalise((x, context))(x, context) - y).square().mean() / y.var())

    before = error()
    fit(model, data, epochs=12, progress=False)
    assert error() < 0.7 * before
    plain = model.finalise((x, context)).double()
    assert not plain.needs_data
    assert all((weight() >= 0).all() for _, weight in plain.constrained())
    answer = decide(plain, task.feasible_set, theta)
    assert answer.certified.all(), answer.status
    assert task.feasible_set.violation(answer.x).max() <= 1e-9
    assert evaluate(task, answer).regret.min() >= -1e-6
    verify.equivalence(plain, answer.x[:1], theta[:1], solvers=()).raise_if_failed()
