"""Programs at the edge of the format: every one has a known optimum, and none is a special case for the user."""

from fractions import Fraction
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

import verify
from socicnn.conic._cones import Cones
from socicnn.conic._conic_data import ConicData
from socicnn.conic.solvers import make
from verify._optimum.program import QuadraticProgram
from verify._optimum.prove import prove
from verify._optimum.search import search

x = cp.Variable(2)
idle = cp.Variable(3)
one = cp.Variable()
whole = cp.Variable(2, integer=True)


def turned(a: Any, b: Any, *tail: Any) -> Any:
    """Return 2 a b >= ||tail||^2, a and b not negative, as a second-order cone."""
    return cp.SOC((a + b) / np.sqrt(2.0), cp.hstack([(a - b) / np.sqrt(2.0), *tail]))


BRACKETS: dict[str, tuple[Any, Fraction]] = {
    "empty rows": (cp.Problem(cp.Minimize(x[0]), [x[0] >= 1, 0 * x[1] <= 1, 0 * x[1] == 0]), Fraction(1)),
    "columns without rows": (cp.Problem(cp.Minimize(x[0] + 0 * cp.sum(idle)), [x[0] >= 1]), Fraction(1)),
    "the same bound three times": (cp.Problem(cp.Minimize(cp.sum(x)), [x >= 1, x >= 1, 2 * x >= 2]), Fraction(2)),
    "bounds that meet": (cp.Problem(cp.Minimize(x[0] - x[1]), [x >= 2, x <= 2]), Fraction(0)),
    "no objective": (cp.Problem(cp.Minimize(0), [cp.sum(x) == 1, x >= 0]), Fraction(0)),
    "a constant objective": (cp.Problem(cp.Maximize(7.5), [cp.norm(x) <= 1]), Fraction(15, 2)),
    "free variables alone": (cp.Problem(cp.Minimize(0 * cp.sum(x) + 3)), Fraction(3)),
    "free variables and a square": (cp.Problem(cp.Minimize(cp.sum_squares(x - 1) + 2)), Fraction(2)),
    "one variable": (cp.Problem(cp.Minimize(-2 * one), [one <= 4]), Fraction(-8)),
    "one variable of a cone": (cp.Problem(cp.Minimize(cp.norm(cp.hstack([one, one * 0])) + 1)), Fraction(1)),
    "fixed variables": (cp.Problem(cp.Maximize(0 * cp.sum(x) + 2 * x[0] - x[1]), [x == [1, -1]]), Fraction(3)),
    "the same equality twice": (
        cp.Problem(cp.Minimize(x[0]), [cp.sum(x) == 1, 2 * cp.sum(x) == 2, x >= 0]),
        Fraction(0),
    ),
    "a cone of zeros": (cp.Problem(cp.Minimize(x[0]), [cp.SOC(0 * x[0], 0 * x), x[0] >= 2]), Fraction(2)),
    "a cone without a tail": (cp.Problem(cp.Minimize(x[0]), [cp.SOC(x[0] - 1, 0 * x[:1])]), Fraction(1)),
    "a rotated cone of two": (cp.Problem(cp.Minimize(x[0] + 2 * x[1]), [turned(x[0], x[1]), x[0] >= 3]), Fraction(3)),
    "a rotated cone of three": (
        cp.Problem(cp.Minimize(x[0] + x[1]), [turned(x[0], x[1], np.sqrt(2.0) * one), one == 2]),
        Fraction(4),
    ),
    "whole numbers on the boundary of a cone": (
        cp.Problem(cp.Maximize(cp.sum(whole)), [cp.norm(whole) <= 5, whole[0] <= 3]),
        Fraction(7),
    ),
    "a rational optimum": (cp.Problem(cp.Maximize(x[0] + x[1]), [3 * x[0] <= 1, 7 * x[1] <= 1]), Fraction(10, 21)),
}
VERDICTS: dict[str, tuple[Any, str]] = {
    "infeasible by bounds": (cp.Problem(cp.Minimize(x[0]), [x[0] >= 1, x[0] <= 0]), "infeasible"),
    "an empty row without a solution": (cp.Problem(cp.Minimize(x[0]), [0 * x[0] == 1, x >= 0]), "infeasible"),
    "a ray": (cp.Problem(cp.Minimize(x[0] - x[1]), [x >= 0]), "unbounded"),
    "a ball apart from a plane": (cp.Problem(cp.Minimize(x[0]), [cp.norm(x) <= 1, cp.sum(x) >= 2]), "infeasible"),
    "a rotated cone below zero": (cp.Problem(cp.Minimize(0), [turned(x[0], x[1]), cp.sum(x) <= -1]), "infeasible"),
    "one free variable": (cp.Problem(cp.Minimize(one)), "unbounded"),
    "a ray of a rotated cone": (cp.Problem(cp.Maximize(one), [turned(x[0], x[1], one)]), "unbounded"),
    "a ray of a cone": (cp.Problem(cp.Maximize(x[0]), [cp.abs(x[1]) <= x[0]]), "unbounded"),
}


@pytest.mark.parametrize("name", BRACKETS)
def test_the_bracket_holds_the_optimum(name: str) -> None:
    problem, value = BRACKETS[name]
    result = verify.optimum(problem)
    assert result.ok, result.notes
    assert Fraction(result.lo) <= value <= Fraction(result.hi)
    assert result.gap <= 1e-7 * max(1.0, result.scale)


@pytest.mark.parametrize("name", VERDICTS)
def test_the_verdict_is_proven(name: str) -> None:
    problem, kind = VERDICTS[name]
    assert verify.optimum(problem).kind == kind


def test_a_cone_of_one_row_is_a_bound() -> None:
    """(v - 1) in SOC(1), and (2, w) in SOC(2): v >= 1, |w| <= 2; least v + w is -1."""
    A = sparse.csc_array([[-1.0, 0.0], [0.0, 0.0], [0.0, -1.0]])
    conic = ConicData(A, np.array([-1.0, 2.0, 0.0]), np.array([1.0, 1.0]), 0.0, Cones(0, 0, (1, 2)))
    program = QuadraticProgram(conic, sparse.csr_array((2, 2)))
    witness, _ = search(program, make("clarabel"))
    proof = prove(program, witness)
    assert proof.lo <= -1.0 <= proof.hi
    assert proof.hi - proof.lo <= 1e-7
