"""Decisions over sets given by conic rows or CVXPY constraints: one exact program per context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from decision._minimise.answers import Goal
from decision._minimise.constrained.constraints import Constraints, kept
from decision._minimise.constrained.solve import RowsSource, solve_constrained
from decision._minimise.judging import EPS, Judged
from decision._minimise.methods import Auto, Exact, Method, networks_of
from decision._minimise.reference import ROUNDING
from decision._minimise.surrogate import Surrogate
from decision.sets import ConicSet, CvxpySet, OracleSet, OwnSet
from decision.sets._base import FeasibleSet
from decision.sets._oracles import is_own_set
from socicnn.errors import ModelError, NoProgramError

AnySet = FeasibleSet | ConicSet | CvxpySet | OwnSet | Sequence[Any]


def resolved(feasible_set: AnySet, method: Method, *, proves: bool) -> FeasibleSet | ConicSet | CvxpySet:
    """Return a set as the way that decides over it takes it.

    A conic set that is a simplex, box, budget or a product of these is searched in batches. Of the others exact
    oracles serve functions without a conic program, and the methods that work on oracles.

    Args:
        feasible_set: what the user gave.
        method: how to minimise.
        proves: whether the functions are networks with a conic program.
    """
    if isinstance(feasible_set, FeasibleSet | CvxpySet):
        return feasible_set
    if isinstance(feasible_set, ConicSet):
        known = feasible_set.fixed()
        if known is None:
            return feasible_set
        plain = not (isinstance(known, OracleSet) and known.curved)
        return known if plain or not proves or not isinstance(method, Auto | Exact) else feasible_set
    other: Any = feasible_set
    return OracleSet.of(other) if is_own_set(other) else CvxpySet(other)


def through_solver(method: Method, settings: dict[str, Any]) -> Exact:
    """Return the exact way, through a solver; what it cannot use is refused."""
    exact = method.exact if isinstance(method, Auto) else method
    if not isinstance(exact, Exact):
        raise ModelError(
            f"a set of rows or constraints goes through the exact program; use method='exact', not '{method.name}'"
        )
    unused = [name for name, value in settings.items() if value is not None]
    if unused:
        raise ModelError(f"a set of rows or constraints goes through a solver alone; leave out {', '.join(unused)}")
    return exact


def repeated(surrogates: Sequence[Surrogate], feasible_set: ConicSet | CvxpySet, theta: Tensor | None) -> Any:
    """Return the functions, one for each context of the set where a single function is to be decided over many."""
    count = len(theta) if theta is not None else None
    if count is None and isinstance(feasible_set, ConicSet):
        count = feasible_set.contexts
    elif count is None and isinstance(feasible_set, CvxpySet) and feasible_set.parameters:
        count = min(np.shape(value)[0] if np.ndim(value) else 1 for value in feasible_set.parameters.values())
    if count is None or len(surrogates) != 1 or len(surrogates[0]) != 1:
        return surrogates
    return [surrogates[0].take(torch.zeros(count, dtype=torch.int64))]


def decided_over_rows(
    surrogate: Surrogate,
    feasible_set: ConicSet | CvxpySet,
    theta: Tensor | None,
    goal: Goal,
    method: Exact,
    first: int,
    count: int,
) -> Judged:
    """Return the decisions of some contexts.

    Args:
        surrogate: their functions.
        feasible_set: the set.
        theta: all contexts, shape `(contexts, p)`, that the set may move with.
        goal: when to stop.
        method: the exact way.
        first: number of the first context of these functions.
        count: number of all contexts.

    Raises:
        ModelError: the set does not fit the functions.
        ProgramError: the contexts do not fit the set.
    """
    if not surrogate.proves:
        raise NoProgramError(
            "a function without a conic program needs a set with exact oracles: a simplex, box, budget, ball, "
            "ellipsoid, a product of these, or an object with n, project and minimise_linear; or give the module "
            "a method freeze(context) that returns a FrozenNet"
        )
    with kept(feasible_set.parameters if isinstance(feasible_set, CvxpySet) else None):
        source = _source(feasible_set, networks_of(surrogate).net.in_features, theta, count)
        return _part(surrogate, source, goal, method, first)


def _source(feasible_set: ConicSet | CvxpySet, n: int, theta: Tensor | None, count: int) -> Constraints | RowsSource:
    if isinstance(feasible_set, ConicSet):
        if feasible_set.n != n:
            raise ModelError(f"the set has {feasible_set.n} coordinates, the network {n} inputs")
        return feasible_set.each(theta, count)
    constraints = Constraints.of(feasible_set.constraints, n, feasible_set.x, feasible_set.parameters)
    if constraints.contexts not in (None, count):
        raise ModelError(f"the parameters have values for {constraints.contexts} contexts; {count} are to be decided")
    return constraints


def _part(surrogate: Surrogate, source: Constraints | RowsSource, goal: Goal, method: Exact, start: int) -> Judged:
    """Return decisions of the functions without their constants, which are added to what was found."""
    networks = networks_of(surrogate)
    net, c = networks.net, networks.constant
    plain = replace(net, output=replace(net.output, c=0.0 * net.output.c))
    solved = solve_constrained(plain, networks.stack, source, method.made(), goal, start)
    value = solved.value + c
    gap = solved.gap + 2.0 * EPS * (solved.value.abs() + value.abs())
    return replace(solved, value=value, gap=gap, floor=solved.floor + ROUNDING * c.abs())
