"""`verify.optimum`: the bracket holds the exact optimum, whatever the solver says, and says so where it has none."""

from fractions import Fraction
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

import verify
from benchmarks.proven_optima import Liar, instance
from socicnn import to_cvxpy
from socicnn.errors import ProgramError
from tests.support.frozen_nets import random_net

x = cp.Variable(3, name="x")
ONES = np.ones(3)
# a problem, its optimum as a fraction
KNOWN: dict[str, tuple[Any, Fraction]] = {
    "linear": (cp.Problem(cp.Minimize(ONES @ x), [x >= 0, x[0] + 2 * x[1] == 3, x[2] >= 0.25]), Fraction(7, 4)),
    "maximise": (cp.Problem(cp.Maximize(x[0] - 3 * x[1] + 1), [x <= 2, x >= -1]), Fraction(6)),
    "free variables": (cp.Problem(cp.Minimize(x[0] + x[1]), [x[0] + x[1] >= 1, x[0] - x[1] <= 5]), Fraction(1)),
    "no interior": (cp.Problem(cp.Minimize(ONES @ x + x[0]), [ONES @ x <= 1, ONES @ x >= 1, x >= 0]), Fraction(1)),
    "dependent rows": (
        cp.Problem(cp.Minimize(x[0]), [ONES @ x == 3, 3 * (ONES @ x) == 9, x >= 0, x[1:] <= 1]),
        Fraction(1),
    ),
    "cone": (cp.Problem(cp.Minimize(3 * x[0] + 4 * x[1]), [cp.norm(x) <= 5]), Fraction(-25)),
    "norm": (cp.Problem(cp.Minimize(cp.norm(x - 4 * np.array([0.0, 0.0, 1.0]))), [x[2] <= 1.5]), Fraction(5, 2)),
    "quadratic": (cp.Problem(cp.Minimize(cp.sum_squares(x)), [ONES @ x == 1]), Fraction(1, 3)),
    "without rows": (cp.Problem(cp.Minimize(cp.sum_squares(x - 1) + x[0])), Fraction(3, 4)),
    "singular quadratic": (
        cp.Problem(cp.Minimize(cp.quad_form(x, np.ones((3, 3)))), [x[0] >= 1, x >= 0]),
        Fraction(1),
    ),
}


@pytest.mark.parametrize("form", ["auto", "cones"])
@pytest.mark.parametrize("name", KNOWN)
def test_a_known_optimum_lies_in_a_narrow_bracket(name: str, form: Any) -> None:
    problem, value = KNOWN[name]
    result = verify.optimum(problem, form=form)
    assert result.ok
    assert Fraction(result.lo) <= value <= Fraction(result.hi)
    accurate = 1e-5 if (name, form) == ("singular quadratic", "cones") else 1e-7  # solvers miss flat cones by more
    assert result.gap <= accurate * max(1.0, result.scale)


@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize("name", KNOWN)
def test_a_lying_solver_never_moves_an_end_to_the_wrong_side(name: str, size: float) -> None:
    problem, value = KNOWN[name]
    result = verify.optimum(problem, solver=Liar(3, size))
    assert result.kind == "bracket"
    assert result.lo == -np.inf or Fraction(result.lo) <= value
    assert result.hi == np.inf or Fraction(result.hi) >= value


@pytest.mark.parametrize("seed", range(60))
def test_random_programs_with_exact_optima(seed: int) -> None:
    case = instance(seed, 16)
    result = verify.optimum(case.problem, solver=Liar(seed, 1e-5) if seed % 4 == 3 else "clarabel")
    assert result.kind == "bracket"
    assert result.lo == -np.inf or Fraction(result.lo) <= case.value
    assert result.hi == np.inf or Fraction(result.hi) >= case.value


@pytest.mark.parametrize("seed", range(6))
def test_the_minimum_of_a_network_is_proven(seed: int) -> None:
    net = random_net(seed)
    at = cp.Variable(net.in_features)
    problem = cp.Problem(cp.Minimize(to_cvxpy(net, at)), [at <= 1, at >= -1])
    problem.solve(solver="CLARABEL")
    result = verify.optimum(problem)
    assert result.ok
    assert result.agreed
    corner = np.clip(np.asarray(at.value), -1.0, 1.0)
    assert result.lo <= net(corner[None])[0] + 1e-12 * result.scale  # a feasible point costs no less than the optimum


def test_no_point_and_no_bound_are_proven() -> None:
    empty = verify.optimum(cp.Problem(cp.Minimize(ONES @ x), [x >= 1, ONES @ x <= 2.5]))
    assert (empty.kind, empty.lo, empty.hi) == ("infeasible", np.inf, np.inf)
    cone = verify.optimum(cp.Problem(cp.Maximize(ONES @ x), [cp.norm(x) <= 1, ONES @ x >= 4]))
    assert (cone.kind, cone.lo, cone.hi) == ("infeasible", -np.inf, -np.inf)
    endless = verify.optimum(cp.Problem(cp.Minimize(ONES @ x), [x <= 1]))
    assert (endless.kind, endless.lo, endless.hi) == ("unbounded", -np.inf, -np.inf)
    assert empty.ok
    assert endless.ok
    assert "proven" in endless.summary()


def test_equalities_that_contradict_each_other_by_one_bit_are_seen() -> None:
    row = np.array([0.1, 0.3, 0.7])
    last = np.nextafter(1.0, 2.0)
    result = verify.optimum(cp.Problem(cp.Minimize(x[0]), [row @ x == 1, row @ x == last, x >= 0, x <= 9]))
    assert result.kind == "infeasible"


def test_the_data_have_the_objective_of_the_problem() -> None:
    net = random_net(2)
    at = cp.Variable(net.in_features)
    for objective in (
        cp.Minimize(to_cvxpy(net, at) + cp.sum_squares(at) - 3.5),
        cp.Maximize(2.0 - cp.norm(at) - cp.sum(at)),
    ):
        problem = cp.Problem(objective, [at <= 1, at >= -1])
        result = verify.optimum(problem)
        conic, P = result.program.conic, result.program.P
        problem.solve(solver="CLARABEL")
        data, chain, inverse = problem.get_problem_data(cp.CLARABEL)
        v = np.asarray(chain.solve_via_data(problem, data).x)
        cost = 0.5 * float(v @ (P @ v)) + float(conic.c @ v) + conic.offset
        assert inverse
        assert result.sign * cost == pytest.approx(float(objective.value), abs=1e-6 * result.scale)


def test_a_wrong_value_of_a_solver_is_shown() -> None:
    problem = cp.Problem(cp.Minimize(ONES @ x), [x >= 1])
    problem.solve(solver="CLARABEL")
    assert verify.optimum(problem).agreed
    problem._value = 2.0  # what a solver that stopped early leaves
    result = verify.optimum(problem)
    assert not result.agreed
    assert "outside" in result.summary()
    assert "3" in result._repr_html_()
    assert repr(result).startswith("<ProvenOptimum: optimal value in [")


def test_a_value_of_other_parameters_is_no_word_on_these() -> None:
    q, z = cp.Parameter(value=1.0), cp.Variable()
    problem = cp.Problem(cp.Minimize(z), [z >= q])
    problem.solve(solver=cp.CLARABEL)
    assert verify.optimum(problem).solver == "CLARABEL"
    q.value = 5.0
    assert (
        "CLARABEL, of the parameters that it was given, says 1, which is outside" in verify.optimum(problem).summary()
    )


REFUSED = {
    "other cones": (cp.Problem(cp.Minimize(cp.lambda_max(cp.diag(x)))), r"other cones \(psd\)"),
    "nonconvex": (cp.Problem(cp.Minimize(-cp.norm(x))), "DCP"),
    "parameter": (cp.Problem(cp.Minimize(cp.norm(x - cp.Parameter(3, name="p")))), "p; set them"),
    "no variables": (cp.Problem(cp.Minimize(cp.norm(cp.Constant([3.0, 4.0])))), "no variables"),
    "no problem": (3, "takes a cvxpy.Problem"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_taken_is_refused_in_one_sentence(name: str) -> None:
    problem, word = REFUSED[name]
    with pytest.raises(ProgramError, match=word):
        verify.optimum(problem)


def test_bounds_at_infinity_say_nothing() -> None:
    top = np.array([1.0, np.inf, 2.0])
    result = verify.optimum(cp.Problem(cp.Maximize(ONES @ x), [x <= top, x >= -top, x[1] <= 5]))
    assert result.lo <= 8.0 <= result.hi
    assert result.gap <= 1e-12
    whole = cp.Variable(2, integer=True)
    counted = verify.optimum(cp.Problem(cp.Maximize(whole[0] + whole[1]), [whole <= [2.5, np.inf], whole[1] <= 3.5]))
    assert counted.lo <= 5.0 <= counted.hi
    for never in (x >= np.inf, x == np.inf, x <= np.nan):
        with pytest.raises(ProgramError, match="non-finite"):
            verify.optimum(cp.Problem(cp.Minimize(ONES @ x), [never]))


def test_a_cost_without_terms_has_no_relative_gap() -> None:
    result = verify.optimum(cp.Problem(cp.Minimize(0), [x >= 0]))
    assert result.ok
    assert result.scale == 0.0
    assert result.relative_gap == 0.0
