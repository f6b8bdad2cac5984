from typing import Any

import numpy as np
import pytest
import torch

from decision import decide
from decision._parametric import ParametricProgram
from decision.tasks import make, names
from socicnn.errors import MissingExtra, ModelError, NoProgramError, SolverError


def test_solvers_agree_where_the_optimum_sits_at_a_kink() -> None:
    """At context 2 and others of this task A x = d holds at the optimum: the gradient's gap is large, F is right."""
    task = make("budget_twocone_socp", seed=2026)
    theta = task.sample_contexts(30, seed=2)
    x, F = task.optimum(theta)
    assert task.gap(x, theta).max() > 1e-2
    others = [task.optimum(theta, solver=solver, tolerance=1e-4)[1] for solver in ("ecos", "scs")]
    for other in others:
        assert (F - other).abs().max() < 1e-7
    again, same = task.optimum(theta, cross_check="scs")
    assert torch.equal(x, again)
    assert torch.equal(F, same)


def test_a_sloppy_second_answer_is_noticed() -> None:
    task = make("simplex_socp", seed=0)
    theta = task.sample_contexts(5, seed=0)
    sloppy = {"eps_abs": 1e-1, "eps_rel": 1e-1, "max_iters": 2}
    with pytest.raises(SolverError, match="differ by"):
        task.optimum(theta, solver="scs", cross_check="clarabel", **sloppy)
    with pytest.raises(SolverError, match="differ by"):  # no cross-check: the Frank-Wolfe gap raises the doubt
        task.optimum(theta, solver="scs", **sloppy)
    with pytest.raises(SolverError, match="clarabel did not solve the optimum of simplex_socp: user_limit"):
        task.optimum(theta, max_iter=1)


def test_a_context_that_the_solver_fails_at_goes_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make("simplex_socp", seed=0)
    theta = task.sample_contexts(3, seed=0)
    _, right = task.optimum(theta)
    attempt = ParametricProgram._attempt

    def breaking(self: ParametricProgram, program: Any, solver: str, attempts: Any) -> Any:
        if solver == "clarabel":
            raise SolverError("clarabel broke down")
        return attempt(self, program, solver, attempts)

    monkeypatch.setattr(ParametricProgram, "_attempt", breaking)
    assert (task.optimum(theta)[1] - right).abs().max() < 1e-7
    with pytest.raises(SolverError, match="broke down"):  # the solver that checks cannot stand in for the first
        task.optimum(theta, cross_check="scs")


def test_unusable_arguments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make("simplex_socp", seed=0)
    with pytest.raises(ValueError, match=r"of shape \(contexts, 8\)"):
        task.optimum(torch.zeros(8))
    with pytest.raises(ValueError, match="must be finite"):
        task.optimum(torch.full((2, 8), torch.nan))
    with pytest.raises(ValueError, match="there are: clarabel, ecos, scs"):
        task.optimum(torch.zeros(1, 8), solver="gurobi")
    monkeypatch.setattr("cvxpy.installed_solvers", lambda: ["CLARABEL"])
    with pytest.raises(MissingExtra, match=r"socicnn\[ecos\]"):
        task.optimum(torch.zeros(1, 8), cross_check="ecos")


def test_a_progress_bar_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    task = make("simplex_socp", seed=0)
    task.optimum(torch.zeros(2, 8))
    assert capsys.readouterr().err == ""
    task.optimum(torch.zeros(2, 8), progress=True)
    assert "optimum of simplex_socp" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in names() if name != "budget_huber"])
def test_the_true_cost_is_a_network_whose_minimum_is_proven(name: str) -> None:
    """Its branches are the task's atoms; CVXPY's optimum lies within the proven gap."""
    task = make(name, 5, seed=1)
    theta = task.sample_contexts(3, seed=2)
    x, least = task.optimum(theta)
    net = task.freeze(theta)
    np.testing.assert_allclose(net(x.numpy()), task.cost(x, theta).numpy(), rtol=1e-12, atol=1e-12)
    found = decide(net, task.feasible_set)
    assert bool(found.certified.all()), found.status
    assert (found.value - found.gap <= least + 1e-12 * (1 + least.abs())).all()
    torch.testing.assert_close(found.value, least, rtol=1e-6, atol=1e-6)


def test_huber_is_no_branch_of_a_network() -> None:
    task = make("budget_huber", 4, seed=1)
    with pytest.raises(NoProgramError, match="huber functions are no branches"):
        task.freeze(task.sample_contexts(1, seed=0))
    with pytest.raises(ModelError, match="context is missing"):
        task.freeze()
