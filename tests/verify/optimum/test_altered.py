"""Problems that CVXPY's cone form would replace by others are refused, or the bracket says what it is for."""

from fractions import Fraction
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from cvxpy.constraints import FiniteSet
from scipy import sparse

import verify
from decision import decide
from socicnn.conic._cones import Cones
from socicnn.conic._conic_data import ConicData
from socicnn.errors import ProgramError
from socicnn.frozen import FrozenNet, Output
from verify._optimum.lower import lower_end
from verify._optimum.program import OptimumWitness, QuadraticProgram
from verify._optimum.prove import prove

x = cp.Variable(2)
s = cp.Variable(nonneg=True)
SMALL, NEARLY = np.diag([1.0, 1e-11]), np.array([[1.0, 1.0], [1.0, 1.0 - 1e-10]])

REPLACED = {
    # CVXPY drops the eigenvalue: the objective had "no bound, which is proven", where its maximum is 316227.77
    "constraint": cp.Problem(cp.Maximize(x[1]), [cp.quad_form(x, SMALL) <= 1]),
    "bounded": cp.Problem(cp.Maximize(x[1]), [cp.quad_form(x, 10 * SMALL) <= 1, x[1] <= 1e8]),
    # not convex: at (-1e8, 1e8) it is -1e6
    "objective": cp.Problem(cp.Minimize(cp.quad_form(x, NEARLY)), [x >= -1e8, x <= 1e8]),
    "maximum": cp.Problem(cp.Minimize(cp.maximum(cp.quad_form(x, SMALL), x[0]))),
    "perspective": cp.Problem(cp.Minimize(cp.perspective(cp.quad_form(x, SMALL) + cp.sum(x), s)), [s == 1, x >= -1]),
    "parameter": cp.Problem(cp.Minimize(x[0]), [cp.quad_form(x, cp.Parameter((2, 2), PSD=True, value=SMALL)) <= 1]),
}
ROUNDED = {
    "power": cp.Problem(cp.Minimize(cp.power(x[0], np.pi)), [x >= 2]),
    "pnorm": cp.Problem(cp.Minimize(cp.pnorm(x, 2.7182818)), [x >= 2]),
    "geo_mean": cp.Problem(cp.Maximize(cp.geo_mean(x, [1, np.pi])), [x <= 2]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*REPLACED, *ROUNDED])
def test_what_the_cone_form_replaces_is_refused(name: str) -> None:
    message = "drops small eigenvalues" if name in REPLACED else "rational exponent"
    with pytest.raises(ProgramError, match=message):
        verify.optimum({**REPLACED, **ROUNDED}[name])


def test_constraints_of_a_decision_are_looked_at_too() -> None:
    net = FrozenNet([], Output([], [0.0, -1.0]))
    with pytest.raises(ProgramError, match="drops small eigenvalues"):
        decide(net, [cp.quad_form(x, SMALL) <= 1])
    assert decide(net, [cp.quad_form(x, np.diag([1.0, 4.0])) <= 1]).ok


def test_the_quadrature_of_a_relative_entropy_is_refused() -> None:
    """Its bracket was [13.3559, 13.3559]; the optimum is 13.3739."""
    z = cp.Variable(2)
    cone = cp.RelEntrConeQuad(x, s * np.ones(2), z, 2, 2)
    with pytest.raises(ProgramError, match=r"RelEntrConeQuad by a rational function.*write cp.rel_entr"):
        verify.optimum(cp.Problem(cp.Minimize(cp.sum(z)), [cone, x == [1, 5], s <= 2]))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # CVXPY flattens
def test_the_booleans_of_a_finite_set_are_whole() -> None:
    """CVXPY adds them, and `is_mixed_integer()` is False: the problem was "unbounded, which is proven"."""
    problem = cp.Problem(cp.Minimize(cp.sum(x)), [FiniteSet(x, [1.5, 2.5, 4.0]), x[0] >= 2])
    result = verify.optimum(problem)
    assert result.lo <= 4.0 <= result.hi
    assert result.gap < 1e-9
    with pytest.raises(ProgramError, match=r"hold a FiniteSet.*verify\.optimum"):
        decide(FrozenNet([], Output([], [1.0, 1.0])), problem.constraints)  # (2, 1.5) and worse were certified


def test_factors_that_are_right_to_rounding_are_named() -> None:
    F = np.random.default_rng(0).normal(size=(3, 6))
    u = cp.Variable(6)
    result = verify.optimum(cp.Problem(cp.Maximize(cp.sum(u)), [cp.quad_form(u, F.T @ F) <= 1, u >= 0, cp.sum(u) <= 9]))
    assert result.ok
    assert any("proven for CVXPY's factor" in note for note in result.notes)
    alone = verify.optimum(cp.Problem(cp.Minimize(cp.quad_form(x - 1, SMALL)), [x >= -1]))
    assert alone.lo <= 0.0 <= alone.hi
    assert not alone.notes


@pytest.mark.parametrize("problem", [
    cp.Problem(cp.Minimize(cp.power(x[0], 1.5) + cp.power(x[1], 3)), [x >= 2]),
    cp.Problem(cp.Maximize(cp.geo_mean(x, [1, 2])), [x <= 2]),
])  # fmt: skip
def test_exact_powers_have_no_notes(problem: Any) -> None:
    result = verify.optimum(problem)
    assert result.ok
    assert not result.notes


@pytest.mark.parametrize("Q", [[[2e-9, 2e-9], [0.0, 2e-9]], [[2e-9, 0.0], [2e-9, 2e-9]], [[1.0, 1e-8], [0.0, 1.0]]])
def test_matrices_that_are_nearly_symmetric_are_taken_as_they_are(Q: Any) -> None:
    at = 1e4
    result = verify.optimum(cp.Problem(cp.Minimize(cp.quad_form(x, np.array(Q))), [x >= at]))
    exact = sum(Fraction(entry) for row in Q for entry in row) * Fraction(at) ** 2
    assert result.lo <= exact <= result.hi
    assert result.gap <= 1e-9 * float(exact)


@pytest.mark.parametrize(("P", "c"), [(1e-300, 1e-170), (5e-324, 1e-162), (1e-308, 1e-150), (1.0, 1e-170)])
def test_squares_of_small_numbers_over_small_ones(P: float, c: float) -> None:
    """The least of P v^2 / 2 + c v is -c^2 / (2 P): c^2 underflows, the quotient does not."""
    data = ConicData(sparse.csc_array((0, 1)), np.zeros(0), np.array([c]), 0.0, Cones())
    program = QuadraticProgram(data, sparse.csr_array([[P]]))
    least = -(Fraction(c) ** 2) / (2 * Fraction(P))
    assert lower_end(program, np.zeros(1), np.zeros(0)) <= least


def test_ends_that_cross_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ConicData(sparse.csc_array([[-1.0]]), np.array([-1.0]), np.array([1.0]), 0.0, Cones(nonnegative=1))
    program = QuadraticProgram(data, sparse.csr_array((1, 1)))
    nan, one, no = np.full(1, np.nan), np.ones(1), np.zeros(1, dtype=bool)
    witness = OptimumWitness(v=2 * one, tight=no, u=2 * one, y=one, empty=nan, ray=nan, ray_tight=no)
    assert prove(program, witness).hi == pytest.approx(2.0)
    monkeypatch.setattr("verify._optimum.prove.lower_end", lambda *_: 3.0)
    program.ends.clear()
    crossed = prove(program, witness)
    assert (crossed.lo, crossed.hi) == (-np.inf, np.inf)
    assert "cross" in crossed.reason


@pytest.mark.parametrize("sense", [cp.Minimize, cp.Maximize])
def test_integers_that_float64_does_not_hold_end_the_search(sense: Any) -> None:
    k = cp.Variable(integer=True)
    problem = cp.Problem(sense(k), [k >= 1e17] if sense is cp.Minimize else [k <= 1e17])
    result = verify.optimum(problem)
    assert not result.ok
    assert any("2^53" in note for note in result.notes)
