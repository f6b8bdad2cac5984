"""Where CVXPY's cone form is not the problem: factors of the matrices of `quad_form`, rational powers, quadratures.

A quadratic form that does not stand alone in the objective becomes ||F x||^2, F'F ~ P by an eigendecomposition that
drops small eigenvalues. A power with an exponent that is no small fraction becomes one that is. The logarithm of
`RelEntrConeQuad` becomes a rational function.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from socicnn._margins import EPS
from socicnn.errors import ProgramError

ROUNDING = 8.0  # units in the last place, times the number of rows: what a decomposition leaves
EXACT = 2.0**-50  # of an exponent: rounding


def altered(problem: Any, *, quadratic: bool) -> str:
    """Return what has to be said about the cone form of a problem, empty if it is the problem itself.

    Args:
        problem: a `cvxpy.Problem`.
        quadratic: whether quadratic terms of the objective stay as they are.

    Raises:
        ProgramError: the cone form is another problem, by more than rounding.
    """
    from cvxpy.atoms.quad_form import QuadForm
    from cvxpy.constraints.exponential import OpRelEntrConeQuad, RelEntrConeQuad

    worst = 0.0
    for atom, plain in _atoms(problem, quadratic):
        if isinstance(atom, RelEntrConeQuad | OpRelEntrConeQuad):
            raise ProgramError(
                f"CVXPY replaces the logarithm of a {type(atom).__name__} by a rational function: a proof would be "
                "about another problem; write cp.rel_entr(x, y) <= z"
            )
        off = getattr(atom, "approx_error", 0.0)
        if off and abs(float(off)) > EXACT:
            raise ProgramError(
                f"CVXPY replaces {atom.name()} by a rational exponent or weights, {abs(float(off)):.1e} off: a proof "
                "would be about another problem; choose an exponent that is a small fraction"
            )
        if isinstance(atom, QuadForm) and not plain and not atom.args[0].is_constant():
            worst = max(worst, _off(atom))
    if not worst:
        return ""
    return f"proven for CVXPY's factor of the matrix of a quad_form, which is {worst:.1e} of its largest entry off"


def _off(form: Any) -> float:
    """Return the error of the factor of a quadratic form's matrix, relative to its largest entry."""
    from cvxpy.atoms.quad_form import decomp_quad

    P = form.args[1].value
    P = np.asarray(P.toarray() if hasattr(P, "toarray") else P, dtype=np.float64)
    P = np.atleast_2d((P + P.T) / 2.0)
    most = float(np.abs(P).max(initial=0.0))
    if not most:
        return 0.0
    scale, above, below = (np.asarray(part, dtype=np.float64) for part in decomp_quad(P))
    kept = sum((sign * scale * (M @ M.T) for sign, M in ((1.0, above), (-1.0, below)) if M.size), 0.0 * P)
    off = float(np.abs(P - kept).max()) / most
    if off > ROUNDING * EPS * len(P):
        raise ProgramError(
            f"CVXPY replaces the P of quad_form({form.args[0].name()}, P) by a factor that is {off:.1e} of it off: it "
            "drops small eigenvalues, and a proof would be about another problem; write cp.sum_squares(F @ x) with "
            "P = F'F"
        )
    return off


def _atoms(problem: Any, quadratic: bool) -> Iterator[tuple[Any, bool]]:
    """Yield every expression of a problem, and whether a quadratic form there stays as it is."""
    yield from _below(problem.objective.expr, quadratic)
    for constraint in problem.constraints:
        yield from _below(constraint, plain=False)


def _below(part: Any, plain: bool) -> Iterator[tuple[Any, bool]]:
    """Yield an expression or constraint and all that it is made of."""
    from cvxpy import Problem
    from cvxpy.atoms.affine.affine_atom import AffAtom

    if isinstance(part, Problem):  # of `partial_optimize`
        yield from _atoms(part, quadratic=False)
        return
    yield part, plain
    inner = getattr(part, "f", None)  # of `perspective`
    for other in [*getattr(part, "args", ()), *([inner] if hasattr(inner, "args") else [])]:
        yield from _below(other, plain and isinstance(part, AffAtom))
