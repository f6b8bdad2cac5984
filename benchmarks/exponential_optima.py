"""Random convex programs with exponential cones, and their optima to 50 digits.

    python -m benchmarks.proven_optima --family exponential --count 300 --out exponential_optima.jsonl

The cost is linear, plus exponentials, logistic functions, log-sum-exps, negative logarithms, entropies and relative
entropies of affine functions; equalities and inequalities follow. A point and multipliers are chosen first, then the
linear cost that makes them optimal up to rounding. Newton's method in 60 digits finds the optimum of the rounded
program: its signs and residual prove it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from mpmath import mp, mpf
from numpy.typing import NDArray

Array = NDArray[np.float64]
Values = tuple[Any, list[Any], list[list[Any]]]  # value, gradient and Hessian in the arguments
GRID = 2.0**-24  # of the linear cost: sums of CVXPY with it are exact
DIGITS = 60


@dataclass
class Term:
    """Weight times f(M x + h).

    Args:
        weight: a multiple of 1 / 8.
        M: shape `(arguments, variables)`.
        h: shape `(arguments,)`.
        f: value, gradient and Hessian of f.
        atom: f as CVXPY's atom.
    """

    weight: float
    M: Array
    h: Array
    f: Callable[[list[Any]], Values]
    atom: Callable[[Any], Any]


def _exp(p: list[Any]) -> Values:
    e = mp.exp(p[0])
    return e, [e], [[e]]


def _logistic(p: list[Any]) -> Values:
    q = 1 / (1 + mp.exp(-p[0]))
    return mp.log1p(mp.exp(p[0])), [q], [[q * (1 - q)]]


def _log(p: list[Any]) -> Values:
    return -mp.log(p[0]), [-1 / p[0]], [[1 / p[0] ** 2]]


def _entropy(p: list[Any]) -> Values:
    return p[0] * mp.log(p[0]), [mp.log(p[0]) + 1], [[1 / p[0]]]


def _relative(p: list[Any]) -> Values:
    a, b = p
    ratio = mp.log(a / b)
    return a * ratio - a + b, [ratio, 1 - a / b], [[1 / a, -1 / b], [-1 / b, a / b**2]]


def _log_sum(p: list[Any]) -> Values:
    e = [mp.exp(x - max(p)) for x in p]
    share = [x / mp.fsum(e) for x in e]
    bend = [[(share[i] if i == j else 0) - share[i] * share[j] for j in range(len(p))] for i in range(len(p))]
    return max(p) + mp.log(mp.fsum(e)), share, bend


def terms(rng: np.random.Generator, x0: Array) -> list[Term]:
    """Return two to five terms; arguments of logarithms are at least 1 / 4 at x0."""
    import cvxpy as cp

    kinds: list[tuple[Any, Any, int, bool]] = [
        (_exp, cp.exp, 1, False),
        (_logistic, cp.logistic, 1, False),
        (_log, lambda a: -cp.log(a), 1, True),
        (_entropy, lambda a: -cp.entr(a), 1, True),
        (_relative, lambda a: cp.kl_div(a[0], a[1]), 2, True),
        (_log_sum, cp.log_sum_exp, int(rng.integers(2, 5)), False),
    ]
    chosen = []
    for _ in range(int(rng.integers(2, 6))):
        f, atom, count, positive = kinds[int(rng.integers(len(kinds)))]
        M = rng.integers(-16, 17, size=(count, len(x0))) / 8.0 * (rng.random((count, len(x0))) < 0.7)
        M[:, int(rng.integers(len(x0)))] += 0.5
        far = 2.0 ** rng.integers(0, 4 if f is _exp else 6)
        wanted = rng.integers(2, 33, count) / 8.0 if positive else far * rng.integers(-8, 9, count) / 8.0
        chosen.append(Term(float(rng.integers(1, 17)) / 8.0, M, wanted - M @ x0, f, atom))
    return chosen


def build(seed: int) -> tuple[Any, Fraction, int]:
    """Return a `cvxpy.Problem`, its optimum and the number of variables; drawn again if the optimum is not regular."""
    for attempt in range(50):
        drawn = _drawn(
            np.random.default_rng([seed, 11, attempt]), 2.0 ** (20 * (seed // 3 % 2) - 10 if seed % 3 == 0 else 0)
        )
        if drawn is not None:
            return drawn
    raise ArithmeticError("no program with a regular optimum was drawn")


def _drawn(rng: np.random.Generator, scale: float) -> tuple[Any, Fraction, int] | None:
    """Return a program whose cost is scaled, None if its optimum is not found."""
    import cvxpy as cp

    n = int(rng.integers(2, 9))
    x0 = rng.integers(-16, 17, size=n) / 8.0
    parts = terms(rng, x0)
    E = rng.integers(-16, 17, size=(int(rng.integers(0, 1 + n // 2)), n)) / 8.0
    G = rng.integers(-16, 17, size=(n + 2, n)) / 8.0
    active = int(rng.integers(0, n - len(E) + 1))
    s0 = np.where(np.arange(n + 2) < active, 0.0, rng.integers(1, 32, n + 2) / 8.0)
    y0 = np.where(s0 > 0.0, 0.0, rng.integers(1, 32, n + 2) / 8.0)
    slope = E.T @ (rng.integers(-16, 17, size=len(E)) / 8.0) + G.T @ y0
    with mp.workdps(DIGITS):
        for term in parts:
            gradient = np.array([float(g) for g in term.f([mpf(float(p)) for p in term.M @ x0 + term.h])[1]])
            slope = slope + term.weight * (term.M.T @ gradient)
        c = -np.round(slope / GRID) * GRID
        held = np.vstack([E, G[:active]])
        optimum = _optimum(c, parts, held, held @ x0, x0, (G[active:], G[active:] @ x0 + s0[active:]), len(E))
    if optimum is None:
        return None
    x = cp.Variable(n)
    cost = (scale * c) @ x + sum(scale * term.weight * term.atom(term.M @ x + term.h) for term in parts)
    rows = [E @ x == E @ x0] if len(E) else []
    return cp.Problem(cp.Minimize(cost), [*rows, G @ x <= G @ x0 + s0]), Fraction(scale) * optimum, n


def _optimum(
    c: Array, parts: list[Term], held: Array, f: Array, x0: Array, loose: tuple[Array, Array], equalities: int
) -> Fraction | None:
    """Return the optimum with these rows held, after a proof that the others do not matter; None without a proof."""
    n, m = len(c), len(held)
    A = mp.matrix(held.tolist()) if m else mp.matrix(0, n)
    x, y = mp.matrix(x0.tolist()), mp.zeros(m, 1) if m else mp.matrix(0, 1)
    for step in range(60):
        try:
            value, gradient, bend = _cost(c, parts, x)
        except (TypeError, ZeroDivisionError):  # a logarithm of a negative number is complex
            return None
        K = mp.zeros(n + m, n + m)
        right = mp.zeros(n + m, 1)
        for i in range(n):
            for j in range(n):
                K[i, j] = bend[i, j] + (mpf(10) ** -45 if i == j else 0)  # flat directions stay where they are
            right[i] = -gradient[i] - mp.fsum(A[k, i] * y[k] for k in range(m))
        for k in range(m):
            for j in range(n):
                K[n + k, j] = K[j, n + k] = A[k, j]
            K[n + k, n + k] = -(mpf(10) ** -45)
            right[n + k] = mpf(float(f[k])) - mp.fsum(A[k, j] * x[j] for j in range(n))
        if step and max(abs(r) for r in right) < mpf(10) ** -40:
            break
        change = mp.lu_solve(K, right)
        x, y = x + change[:n, 0], (y + change[n:, 0] if m else y)
    far = [
        mp.fsum(mpf(float(g)) * x[j] for j, g in enumerate(row)) - mpf(float(h)) for row, h in zip(*loose, strict=True)
    ]
    good = max(abs(r) for r in right) < mpf(10) ** -40 and all(d < 0 for d in far)
    if not (good and all(y[k] > 0 for k in range(equalities, m))):
        return None
    return Fraction(*_ratio(value))


def _cost(c: Array, parts: list[Term], x: Any) -> tuple[Any, Any, Any]:
    """Return the cost, its gradient and its Hessian at x."""
    n = len(c)
    value = mp.fsum(mpf(float(a)) * b for a, b in zip(c, x, strict=True))
    gradient, bend = mp.matrix([mpf(float(a)) for a in c]), mp.zeros(n, n)
    for term in parts:
        rows = [[mpf(float(a)) for a in row] for row in term.M]
        p = [
            mp.fsum(a * b for a, b in zip(row, x, strict=True)) + mpf(float(h))
            for row, h in zip(rows, term.h, strict=True)
        ]
        own, first, second = term.f(p)
        value += term.weight * own
        for i in range(n):
            gradient[i] += term.weight * mp.fsum(g * row[i] for g, row in zip(first, rows, strict=True))
            for j in range(n):
                pairs = ((a, b) for a in range(len(p)) for b in range(len(p)))
                bend[i, j] += term.weight * mp.fsum(second[a][b] * rows[a][i] * rows[b][j] for a, b in pairs)
    return value, gradient, bend


def _ratio(value: Any) -> tuple[int, int]:
    """Return a number of mpmath as a fraction."""
    sign, mantissa, exponent, _ = value._mpf_
    whole = -int(mantissa) if sign else int(mantissa)
    return (whole << exponent, 1) if exponent >= 0 else (whole, 1 << -exponent)
