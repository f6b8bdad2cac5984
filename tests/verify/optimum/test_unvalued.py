"""What has been solved has values, and is proven and decided as what has none."""

import cvxpy as cp
import numpy as np
import pytest

import verify
from decision import DecideOptions, decide
from socicnn import SOCICNN, to_cvxpy
from socicnn.errors import ProgramError
from verify._optimum.unvalued import unvalued

RETURNS = np.random.default_rng(0).normal(size=(50, 4))


def portfolio() -> tuple[cp.Variable, list[cp.Constraint]]:
    """Return weights with a bound on the mean of the worst 7 % of 50 losses: 3.5 of them."""
    weights = cp.Variable(4, nonneg=True)
    return weights, [cp.cvar(-RETURNS @ weights, 0.93) <= 1.5, cp.sum(weights) == 1]


def test_an_answer_with_a_conditional_value_at_risk_is_proven() -> None:
    weights, constraints = portfolio()
    problem = cp.Problem(cp.Minimize(cp.sum_squares(weights)), constraints)
    problem.solve(solver=cp.CLARABEL)
    answer = weights.value
    result = verify.optimum(problem)
    assert result.agreed
    assert result.lo <= float(np.sum(answer**2)) + 1e-9
    assert np.array_equal(weights.value, answer)  # the answer stays with its user


def test_a_problem_with_integers_is_proven_after_it_has_been_solved() -> None:
    weights, constraints = portfolio()
    held = cp.Variable(4, boolean=True)
    problem = cp.Problem(cp.Minimize(cp.sum(held)), [*constraints, weights <= held])
    first = verify.optimum(problem)
    problem.solve(solver=cp.HIGHS)
    again = verify.optimum(problem)
    assert again.lo <= problem.value + 1e-6
    assert again.lo == pytest.approx(first.lo, abs=1e-6)


@pytest.mark.parametrize("further", [False, True], ids=["rows and cones", "through CVXPY"])
def test_decisions_under_constraints_that_have_been_solved(further: bool) -> None:
    weights, constraints = portfolio()
    if further:  # exponential cones go through CVXPY
        constraints.append(cp.sum(cp.entr(weights)) >= 0.5)
    network = SOCICNN(4, [6])
    options = DecideOptions(solver="clarabel")
    fresh = decide(network, constraints, options=options)
    cp.Problem(cp.Minimize(cp.sum_squares(weights)), constraints[1:]).solve(solver=cp.CLARABEL)
    again = decide(network, constraints, options=options)
    assert np.allclose(again.x, fresh.x, atol=1e-5)
    assert again.violation is not None
    assert float(again.violation.max()) < 1e-6


def test_values_return_after_an_error() -> None:
    """The answer of a solver may miss its bounds by rounding; it is given back as it was."""
    weights = cp.Variable(2, nonneg=True)
    weights.save_value(np.array([-1e-9, 1.0]))
    with pytest.raises(KeyError), unvalued(cp.Problem(cp.Minimize(cp.sum(weights)))):
        assert weights.value is None
        raise KeyError
    assert weights.value is not None
    assert weights.value.tolist() == [-1e-9, 1.0]


def test_parameters_that_follow_others_are_not_asked_for() -> None:
    x, theta, bound = cp.Variable(2), cp.Parameter(1, name="theta"), cp.Parameter(name="bound")
    network = SOCICNN(2, (4,), context_features=1, context="partial")
    problem = cp.Problem(cp.Minimize(to_cvxpy(network, x, theta)), [cp.norm(x) <= bound])
    with pytest.raises(ProgramError, match="parameters without a value: theta, bound; set them first"):
        verify.optimum(problem)
    with pytest.raises(ProgramError, match="parameters without a value: theta, bound; set them, or"):
        decide(SOCICNN(2, (4,)), [to_cvxpy(network, x, theta) <= bound])
    theta.value, bound.value = np.zeros(1), 1.0
    assert verify.optimum(problem).ok


def test_a_parameter_that_a_function_gives_is_named_where_it_gives_none() -> None:
    x = cp.Variable(2)
    problem = cp.Problem(cp.Minimize(cp.norm(x)), [x >= cp.CallbackParam(lambda: None, (), name="floor")])
    with pytest.raises(ProgramError, match="parameters without a value: floor; set them first"):
        verify.optimum(problem)
