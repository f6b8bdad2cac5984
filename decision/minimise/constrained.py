"""Decisions under a user's own CVXPY constraints in place of a set: the exact program, and what can be proven of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from decision.minimise.answers import Goal
from decision.minimise.bounds import minorant, repaired, upper_bound
from decision.minimise.exact import FreePrograms
from decision.minimise.stack import Stack
from socicnn.arrays import Array
from socicnn.compile import to_cvxpy
from socicnn.conic.blocks import Rows
from socicnn.conic.cones import Cones
from socicnn.conic.solvers import Solver
from socicnn.errors import ProgramError, SolverError
from socicnn.frozen import FrozenNet
from socicnn.margins import relative_margin

FAR = 10.0  # the bound holds for points up to this many times as large as the solution


@dataclass(frozen=True, eq=False)
class Constraints:
    """CVXPY constraints on one variable x of n entries, and perhaps on further variables.

    Args:
        given: the constraints.
        x: the variable.
        rows: the same as rows on [x | further variables]; None where they need other than second-order cones.
    """

    given: list[Any]
    x: Any
    rows: Rows | None

    @classmethod
    def of(cls, constraints: Sequence[Any], n: int) -> Constraints:
        """Return constraints after finding their variable.

        Raises:
            ProgramError: these are no CVXPY constraints, there is no single variable of n entries, or they are not
                convex.
        """
        import cvxpy as cp

        given: list[Any] = list(constraints) if isinstance(constraints, list | tuple) else [constraints]
        if not given or not all(isinstance(one, cp.constraints.constraint.Constraint) for one in given):
            raise ProgramError(
                "the feasible set must be one of decision.sets or a list of CVXPY constraints; received "
                f"{type(constraints).__name__}"
            )
        variables = {variable.id: variable for one in given for variable in one.variables()}
        fitting = [variable for variable in variables.values() if variable.size == n]
        if len(fitting) != 1:
            raise ProgramError(
                f"the constraints must hold exactly one CVXPY variable of {n} entries, the x of the network; found "
                f"{len(fitting)} among {len(variables)} variables"
            )
        problem = cp.Problem(cp.Minimize(0), given)
        if not problem.is_dcp():
            bad = [str(one) for one in given if not one.is_dcp()]
            raise ProgramError(
                f"the constraints must be convex by CVXPY's rules (DCP); these are not: {'; '.join(bad)}"
            )
        return cls(given, fitting[0], _rows(given, fitting[0]))


def _rows(given: list[Any], x: Any) -> Rows | None:
    """Return the constraints on [x | further variables] in this project's rows; None where that cannot be."""
    import cvxpy as cp

    plain = cp.Variable(x.shape)  # without the attributes of x, so that it keeps its columns
    problem = cp.Problem(cp.Minimize(0), [*given, x == plain])
    if problem.is_mixed_integer():
        return None
    data = problem.get_problem_data(cp.CLARABEL)[0]
    dims = data["dims"]
    if dims.exp or dims.psd or dims.p3d or getattr(dims, "pnd", None):
        return None
    start = data["param_prob"].var_id_to_col[plain.id]
    columns = data["A"].shape[1]
    own = start + np.arange(x.size).reshape(x.shape, order="F").reshape(-1)  # CVXPY counts columns first, we rows
    order = np.concatenate([own, np.setdiff1d(np.arange(columns), own)])
    G = sparse.csr_array(sparse.csc_array(data["A"])[:, order])
    return Rows(G, np.asarray(data["b"], dtype=np.float64), Cones(dims.zero, dims.nonneg, tuple(dims.soc)))


@dataclass(eq=False)
class Found:
    """What the exact programs under constraints gave, one row a context.

    Args:
        x: shape `(contexts, n)`.
        value: f(x), shape `(contexts,)`.
        gap: proven gap, infinite where nothing is proven.
        violation: worst violation of one constraint, relative to the size of its data, shape `(contexts,)`; NaN if
            there is no x.
        notes: what a user should know.
    """

    x: torch.Tensor
    value: torch.Tensor
    gap: torch.Tensor
    violation: torch.Tensor
    notes: list[str]


def solve_constrained(net: FrozenNet, constraints: Constraints, solver: Solver, goal: Goal) -> Found:
    """Minimise each network under the constraints.

    Raises:
        SolverError: no context has a solution, for instance because the constraints contradict each other.
    """
    stack = Stack.of(net)
    count, n = len(stack), net.in_features
    found = Found(
        torch.full((count, n), torch.nan, dtype=torch.float64),
        stack.c * torch.nan,
        torch.full_like(stack.c, torch.inf),
        stack.c * torch.nan,
        [],
    )
    rows = constraints.rows
    programs = None if rows is None else FreePrograms(net, rows, solver)
    statuses: Counter[str] = Counter()
    worst = 0.0
    for i in range(count):
        if goal.late:
            found.notes.append(f"The time limit ended the solves after {i} of {count} contexts; the others are NaN.")
            break
        one = stack.take(torch.tensor([i]))
        if programs is None or rows is None:
            single = net if net.contexts is None else net[i]
            found.x[i], status = _through_cvxpy(single, constraints, solver)
            found.value[i] = one.value(found.x[i : i + 1])[0]
            statuses[status] += 1
            continue
        solution = programs.solve(i, goal)
        if not solution.ok:
            statuses[solution.status] += 1
        if np.isfinite(solution.v).all() and np.isfinite(solution.y).all():
            v = solution.v[: rows.G.shape[1]]
            x = torch.as_tensor(v[:n])[None]
            dual = programs.dual(one, solution.y, x)
            lower = _lower_bound(one, dual, rows, programs.set_multipliers(solution.y), v)
            found.x[i], found.value[i] = x[0], one.value(x)[0]
            found.gap[i] = (upper_bound(one, x) - lower).clamp(min=0.0)[0]
            missed = float(rows.cones.violation(rows.h - rows.G @ v).max(initial=0.0))
            size = float((np.abs(rows.h) + abs(rows.G) @ np.abs(v)).max(initial=0.0))
            found.violation[i] = missed / size if missed else 0.0
            worst = max(worst, missed)
    if bool(found.x.isnan().all()) and statuses:
        raise SolverError(f"no context has a solution: {statuses.most_common(1)[0][0]}")
    found.notes += [f"{times} of {count} contexts: {status}." for status, times in statuses.items()]
    if programs is None:
        found.notes.append(
            "Nothing is proven about these decisions: their constraints need other than second-order cones."
        )
    else:
        found.notes.append(
            f"The constraints are violated by at most {worst:.1e}; gaps hold for points up to {FAR:g} times as large."
        )
    return found


def _lower_bound(stack: Stack, dual: Any, rows: Rows, y: Array, v: Array) -> torch.Tensor:
    """Return offset - h'y + min (slope + G'y)'[x | further] over |entries| <= FAR max(1, |v|), y cut into K*."""
    cones = rows.cones
    y = y.copy()
    cut = cones.zero + cones.nonnegative
    y[cones.zero : cut] = np.maximum(y[cones.zero : cut], 0.0)
    for head, size in zip(cones.heads, cones.second_order, strict=True):
        y[head] = max(y[head], np.linalg.norm(y[head + 1 : head + size]) * (1.0 + relative_margin(size)))
    line = minorant(stack, repaired(stack, dual))
    slope = np.zeros(len(v))
    slope[: stack.in_features] = line.slope[0].numpy()
    reach = FAR * np.maximum(1.0, np.abs(v))
    residual = np.abs(slope + rows.G.T @ y) @ reach
    size = (
        np.abs(rows.h) @ np.abs(y)
        + (abs(rows.G).T @ np.abs(y)) @ reach
        + line.slope_size[0].numpy() @ reach[: stack.in_features]
    )
    terms = line.terms + len(y) + len(v)
    margin = relative_margin(2 * terms) * (size + float(line.offset_size[0]))
    return line.offset - float(rows.h @ y + residual + margin)


def _through_cvxpy(net: FrozenNet, constraints: Constraints, solver: Solver) -> tuple[torch.Tensor, str]:
    """Solve one context as a CVXPY problem, with the solver's own settings."""
    import cvxpy as cp

    x = constraints.x
    cost, rows = to_cvxpy(net, x)
    problem = cp.Problem(cp.Minimize(cost), [*rows, *constraints.given])
    began = time.perf_counter()
    try:
        problem.solve(solver=solver.name.upper(), **solver.settings)
        status = f"{solver.name} through CVXPY ended with '{problem.status}'"
    except cp.error.SolverError as error:
        status = f"{solver.name} through CVXPY failed after {time.perf_counter() - began:.1f} s: {error}"
    except (AttributeError, TypeError, ValueError) as error:  # what solvers say to a setting that they do not know
        raise SolverError(f"{solver.name} through CVXPY refused {dict(solver.settings)}: {error}") from error
    if x.value is None:
        return torch.full((net.in_features,), torch.nan, dtype=torch.float64), status
    return torch.as_tensor(np.asarray(x.value, dtype=np.float64).reshape(-1)), status
