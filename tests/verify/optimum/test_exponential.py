"""Optima with exponential cones: brackets hold values of 50 digits, and no solver or witness moves an end past them."""

from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from mpmath import mp, mpf

import verify
from benchmarks.exponential_optima import build
from benchmarks.proven_optima import Liar
from socicnn import to_cvxpy
from socicnn.conic._cones import Cones
from socicnn.frozen import FrozenNet, Layer, Logistic, Output, Squares
from tests.support.softplus import softplus_net
from verify._optimum.check import check_optimum
from verify._optimum.claim import read
from verify._optimum.exponential import dual_inside, exp_above, primal_inside
from verify._optimum.program import OptimumWitness, QuadraticProgram
from verify._optimum.prove import below
from verify._optimum.result import write

mp.dps = 50
x = cp.Variable(3)
p = cp.Variable(4)
PRICE = np.array([1.0, 2.0, 0.5])
COST = np.array([1.0, 2.0, 3.0, 4.0])


def _least(f: Any, near: float) -> Any:
    """Return the least value of a smooth convex function of one variable."""
    return f(mp.findroot(lambda t: mp.diff(f, t), near))


def _softplus(t: Any) -> Any:
    return mp.log1p(mp.exp(t))


def _exponents() -> Any:
    return mp.fsum(mpf(float(c)) * (1 - mp.log(mpf(float(c)))) for c in PRICE)


def _tilted() -> Any:
    """The largest entropy with mean 2.25 (exact in binary): log of the partition sum, less lambda times the mean."""
    return _least(lambda t: mp.log(mp.fsum(mp.exp(t * k) for k in range(1, 5))) - t * mpf(9) / 4, -0.2)


# a problem, its optimum to 50 digits
KNOWN: dict[str, tuple[Any, Any]] = {
    "exponentials": (cp.Problem(cp.Minimize(cp.sum(cp.exp(x)) - PRICE @ x)), _exponents()),
    "entropy": (cp.Problem(cp.Maximize(cp.sum(cp.entr(p))), [cp.sum(p) == 1]), mp.log(4)),
    "entropy with a mean": (cp.Problem(cp.Maximize(cp.sum(cp.entr(p))), [cp.sum(p) == 1, COST @ p == 2.25]), _tilted()),
    "relative entropy": (
        cp.Problem(cp.Minimize(cp.sum(cp.kl_div(p, COST / 8))), [cp.sum(p) == 1]),
        mp.log(mpf(8) / 10) - 1 + mpf(10) / 8,
    ),
    "both entropies free": (
        cp.Problem(cp.Minimize(cp.kl_div(p[0], p[1])), [p[0] >= 2, p[1] <= 1]),
        2 * mp.log(2) - 1,
    ),
    "logarithms": (cp.Problem(cp.Maximize(cp.sum(cp.log(p))), [COST @ p <= 8]), -mp.log(24) + 4 * mp.log(2)),
    "geometric program": (
        cp.Problem(cp.Minimize(cp.log_sum_exp(cp.hstack([x[0], x[1], x[2], -x[0] - x[1] - x[2]])))),
        mp.log(4),
    ),
    "log-sum-exp in a row": (cp.Problem(cp.Maximize(cp.sum(x)), [cp.log_sum_exp(x) <= 1]), 3 - 3 * mp.log(3)),
    "logistic": (
        cp.Problem(cp.Minimize(2 * cp.logistic(x[0]) + cp.logistic(-4 * x[0]) + x[0] ** 2 / 4)),
        _least(lambda t: 2 * _softplus(t) + _softplus(-4 * t) + t * t / 4, 0.1),
    ),
    "far left and right": (
        cp.Problem(cp.Minimize(cp.sum(cp.logistic(x)) + x[2]), [x >= [-40, 40, 0.5]]),
        _softplus(-40) + _softplus(40) + _softplus(mpf(1) / 2) + mpf(1) / 2,
    ),
    "beside a norm": (cp.Problem(cp.Maximize(cp.log(x[0])), [cp.norm(x) <= 3]), mp.log(3)),
}


def _holds(result: Any, value: Any) -> bool:
    """Whether the bracket holds a value; infinite ends do."""
    return bool(mpf(result.lo) <= value <= mpf(result.hi))


@pytest.mark.parametrize("solver", ["clarabel", "ecos", "scs"])
@pytest.mark.parametrize("name", KNOWN)
def test_a_known_optimum_lies_in_a_bracket(name: str, solver: Any) -> None:
    """Entry orders differ between solvers; a wrong one would be infeasible or wide. SCS misses exp(-40) by much."""
    problem, value = KNOWN[name]
    result = verify.optimum(problem, solver=solver)
    assert result.ok
    assert _holds(result, value)
    far = (name, solver) == ("far left and right", "scs")
    assert result.gap <= (0.03 if far else 1e-7) * max(1.0, result.scale)


@pytest.mark.parametrize("size", [1e-9, 1e-5, 1e-2, 1.0])
@pytest.mark.parametrize("name", KNOWN)
def test_a_lying_solver_never_moves_an_end_to_the_wrong_side(name: str, size: float) -> None:
    problem, value = KNOWN[name]
    result = verify.optimum(problem, solver=Liar(3, size))
    assert result.kind == "bracket"
    assert _holds(result, value)


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_with_optima_to_50_digits(seed: int) -> None:
    problem, value, _ = build(seed)
    lies = seed % 4 == 3
    result = verify.optimum(problem, solver=Liar(seed, 1e-5) if lies else "clarabel")
    assert result.kind == "bracket"
    assert result.lo == -np.inf or Fraction(result.lo) <= value
    assert result.hi == np.inf or Fraction(result.hi) >= value
    assert lies or result.relative_gap <= 1e-7


@pytest.mark.parametrize("name", KNOWN)
def test_changed_multipliers_never_prove_too_much(name: str) -> None:
    """Each entry of the exponential cones' multipliers is moved out of the dual cone, along it, and to 0."""
    problem, value = KNOWN[name]
    result = verify.optimum(problem)
    program, witness = result.program, result.witness
    assert isinstance(program, QuadraticProgram)
    assert isinstance(witness, OptimumWitness)
    start, bound = program.conic.cones.exponential_start, value if result.sign > 0 else -value
    rng, moved = np.random.default_rng(0), 0
    for _ in range(60):
        y, at = witness.y.copy(), rng.integers(start, len(witness.y))
        y[at] = rng.choice([0.0, y[at] * (1 + 10.0 ** rng.uniform(-12, 0)), y[at] * (1 - 10.0 ** rng.uniform(-12, 0))])
        proven = below(program, replace(witness, y=y))
        assert mpf(proven) <= bound
        moved += proven == -np.inf or abs(proven - float(bound)) < 1.0
    assert moved


EMPTY = {
    "above and below": [cp.exp(x[0]) <= x[1], x[1] <= x[0]],
    "a logarithm too high": [cp.log(x[0]) >= 3, x[0] <= 20],
    "too much entropy": [cp.sum(cp.entr(p)) >= 1.4, cp.sum(p) == 1, p[0] >= 0.5],
    "softplus below its value": [cp.logistic(x[0]) <= 0.6, x[0] >= 0],
}


@pytest.mark.parametrize("name", EMPTY)
def test_no_point_is_proven(name: str) -> None:
    result = verify.optimum(cp.Problem(cp.Minimize(x[0] + p[0]), EMPTY[name]))
    assert (result.kind, result.lo, result.hi) == ("infeasible", np.inf, np.inf)


def test_no_bound_is_proven_along_the_face_of_the_cone() -> None:
    """y is 0 along a direction: x <= 0 and s >= 0 remain."""
    for problem in (
        cp.Problem(cp.Minimize(x[0]), [cp.exp(x[0]) <= x[1]]),
        cp.Problem(cp.Maximize(x[1]), [cp.log(x[1]) >= x[0]]),
        cp.Problem(cp.Minimize(x[0] - 2 * x[1]), [cp.kl_div(x[0], x[1]) <= x[2], x[2] <= x[0]]),
    ):
        result = verify.optimum(problem)
        assert result.kind == "unbounded", problem
        assert result.lo == result.hi == -np.inf * result.sign


def test_the_infimum_that_no_point_attains_is_bracketed() -> None:
    """exp(x) > 0 comes as close to 0 as one likes: neither end may pass it."""
    result = verify.optimum(cp.Problem(cp.Minimize(cp.exp(x[0]) + 1)))
    assert result.kind == "bracket"
    assert result.lo <= 1.0 <= result.hi


@pytest.mark.parametrize("seed", range(2))
def test_the_minimum_of_a_softplus_network_is_proven(seed: int) -> None:
    net = softplus_net(seed)
    at = cp.Variable(net.in_features)
    problem = cp.Problem(cp.Minimize(to_cvxpy(net, at) + 0.125 * cp.sum_squares(at)), [at <= 1, at >= -1])
    problem.solve(solver="CLARABEL")
    result = verify.optimum(problem)
    assert result.ok
    assert result.gap <= 1e-8 * result.scale
    assert result.agreed
    point = np.clip(np.asarray(at.value), -1.0, 1.0)
    assert result.lo <= net(point[None])[0] + 0.125 * float(point @ point) + 1e-12 * result.scale


def test_integers_beside_exponentials() -> None:
    """The least of exp(k) - 3 k over whole numbers is at k = 1."""
    k = cp.Variable(integer=True)
    result = verify.optimum(cp.Problem(cp.Minimize(cp.exp(k) - 3 * k), [k >= -3, k <= 4]))
    assert _holds(result, mp.e - 3)
    assert result.gap <= 1e-6


def test_a_claim_is_checked_and_a_changed_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "optimum.npz"
    result = verify.optimum(KNOWN["far left and right"][0])
    result.save(path)
    report = check_optimum(path)
    assert report.ok
    assert "6 cones" in report.sizes
    claim = read(path)
    assert isinstance(claim.witness, OptimumWitness)
    y = claim.witness.y.copy()
    y[claim.program.conic.cones.exponential_start :: 3] = 0.0
    b = claim.program.conic.b.copy()
    b[-2] = 2.0
    other = QuadraticProgram(replace(claim.program.conic, b=b), claim.program.P)
    for false in (
        replace(claim, lo=claim.hi, hi=claim.hi + 1e-3),
        replace(claim, lo=claim.lo - 1e-3, hi=claim.lo),
        replace(claim, witness=replace(claim.witness, y=y)),
        replace(claim, program=other),
    ):
        write(path, false)
        assert not check_optimum(path).ok
        assert verify.check.main([str(path)]) == 1


def test_the_bound_of_exp_is_above_it_and_close() -> None:
    """Over all floats from underflow to overflow, next to multiples of log 2 / 2, and at its edges."""
    rng = np.random.default_rng(1)
    near = np.log(2.0) / 2 * rng.integers(-2100, 2040, 2000) * (1 + rng.integers(-3, 4, 2000) * 2.0**-52)
    t = np.concatenate(
        [rng.uniform(-745, 709.7, 4000), rng.normal(size=2000), near, [0.0, -0.0, 709.7, -745.0, 1e-300]]
    )
    bound = exp_above(t)
    with localcontext() as context:
        context.prec = 40
        exact = [Decimal(value).exp() for value in t.tolist()]
        assert all(Decimal(high) >= true for high, true in zip(bound.tolist(), exact, strict=True))
        far = max(Decimal(h) / e - 1 for h, e in zip(bound.tolist(), exact, strict=True) if e > Decimal("1e-280"))
    assert far <= Decimal(40) * Decimal(2) ** -53
    assert exp_above(np.array([-np.inf, -1e300])).tolist() == [2.0**-1000, 2.0**-1000]
    assert exp_above(np.array([np.inf, 710.0])).tolist() == [np.inf, np.inf]
    assert np.isnan(exp_above(np.array([np.nan]))).all()


def test_boxes_next_to_the_surface_are_judged_exactly() -> None:
    """What is said to be inside is inside at every corner in 40 digits; a relative slack of 1e-12 is always seen."""
    rng = np.random.default_rng(2)
    count = 1500
    y, r = 2.0 ** rng.uniform(-20, 20, count), rng.choice([1.0, 20.0], count) * rng.uniform(-30, 30, count)
    off = rng.choice([-1.0, 1.0], count) * 10.0 ** rng.uniform(-17, -11, count)
    points = np.stack([r * y, y, y * np.exp(r) * (1 + off)], axis=1)
    reach = np.abs(points) * np.where(rng.random((count, 3)) < 0.6, 0.0, 10.0 ** rng.uniform(-18, -14, (count, 1)))
    cones = Cones(exponential=count)
    inside = primal_inside(cones, points.reshape(-1), reach.reshape(-1))
    dual = np.stack([-points[:, 1], -points[:, 0] - points[:, 1], points[:, 2]], axis=1)
    also = dual_inside(cones, dual.reshape(-1), (0.0 * dual).reshape(-1))
    radius = np.abs(dual) * (reach > 0.0) * 10.0 ** rng.uniform(-17, -13, (count, 1))
    wide = dual_inside(cones, dual.reshape(-1), radius.reshape(-1))
    assert wide.sum() > 100
    with localcontext() as context:
        context.prec = 40
        for k in range(count):
            (a, b, s), (da, db, ds) = (list(map(Decimal, part[k].tolist())) for part in (points, reach))
            corners = [(e * ((a + da) / e).exp() <= s - ds) for e in (b - db, b + db)]
            assert all(corners) or not inside[k]
            u, v, w = map(Decimal, dual[k].tolist())
            assert not also[k] or -u * (v / u - 1).exp() <= w
            du, dv, dw = map(Decimal, radius[k].tolist())
            assert not wide[k] or all(-e * ((v - dv) / e - 1).exp() <= w - dw for e in (u - du, u + du))
    clear = (off > 1e-12) & (reach.max(axis=1) <= 0.0)
    assert clear.sum() > 20
    assert inside[clear].all()
    assert also[off > 1e-12].all()


def test_faces_of_the_cone() -> None:
    """y = 0 asks for x <= 0 and s >= 0; whatever is NaN or negative is outside."""
    faces = [
        [-1.0, 0, 2],
        [0, 0, 0],
        [1e-300, 0, 1],
        [-1, 0, -1e-300],
        [-1, -1e-300, 1],
        [np.nan, 0, 1],
        [800, 1, 1e300],
    ]
    part = np.array(faces).reshape(-1)
    cones = Cones(exponential=len(faces))
    assert primal_inside(cones, part, np.zeros_like(part)).tolist() == [True, True] + 5 * [False]
    wide = np.tile([0.0, 1e-3, 0.0], len(faces))
    assert not primal_inside(cones, part, wide).any()  # y may be negative
    duals = np.array([[0.0, 1, 1], [0, -1e-300, 1], [1e-300, 1, 1], [-1, 0, 1], [-1, 0, 0.3]])
    own = dual_inside(Cones(exponential=5), duals.reshape(-1), np.zeros(15))
    assert own.tolist() == [True, False, False, True, False]


def test_dead_units_beside_both_kinds_of_cones() -> None:
    # multipliers without an interior are left out: the rows that are left keep their exponential cones
    squares = Squares([1.0, 1.0], [[1.0], [1.0]], [0.0, 0.0])
    net = FrozenNet(
        [Layer(None, [[-0.5], [0.5]], [1.0, 1.0], squares)],
        Output([1.0, 0.0], [0.0]),
        logistics=[Logistic([1.0], [[1.0]], [0.0])],
    )
    v = cp.Variable(1)
    result = verify.optimum(cp.Problem(cp.Minimize(to_cvxpy(net, v)), [v <= 2, v >= -2]))
    grid = np.linspace(-2, 2, 40001)[:, None]
    assert result.lo <= net(grid).min() + 1e-8
    assert result.gap <= 1e-6
    w, u = cp.Variable(), cp.Variable()
    plain = verify.optimum(cp.Problem(cp.Minimize(cp.logistic(u) + 0.1 * u), [w >= cp.square(u) - 1, w >= 0, u >= -3]))
    values = np.logaddexp(0, t := np.linspace(-3, 3, 60001)) + 0.1 * t
    assert plain.lo <= values.min() <= plain.hi + 1e-8
