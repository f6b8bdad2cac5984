"""One context under constraints that are not second-order cones: solved as a CVXPY problem."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from decision._minimise.constrained.constraints import Constraints
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn.conic.solvers import Solver
from socicnn.errors import SolverError
from socicnn.frozen import FrozenNet


def through_cvxpy(net: FrozenNet, constraints: Constraints, solver: Solver) -> tuple[Tensor, float, str]:
    """Solve one context as a CVXPY problem, with the solver's own settings; return x, its violation, a status."""
    import cvxpy as cp

    x = constraints.x
    problem = cp.Problem(cp.Minimize(to_cvxpy(net, x)), constraints.listed)
    began = time.perf_counter()
    try:
        problem.solve(solver=solver.name.upper(), **solver.settings)
        status = f"{solver.name} through CVXPY ended with '{problem.status}'"
    except cp.error.SolverError as error:
        status = f"{solver.name} through CVXPY failed after {time.perf_counter() - began:.1f} s: {error}"
    except (AttributeError, TypeError, ValueError) as error:  # what solvers say to a setting that they do not know
        raise SolverError(f"{solver.name} through CVXPY refused {dict(solver.settings)}: {error}") from error
    if x.value is None:
        return torch.full((net.in_features,), torch.nan, dtype=torch.float64), np.nan, status
    point = torch.as_tensor(np.asarray(x.value, dtype=np.float64).reshape(-1))
    return point, _violation(constraints.listed), status


def _violation(constraints: list[Any]) -> float:
    """Return the worst violation of the constraints by CVXPY's measure, relative to the size of their variables."""
    worst = max(float(np.max(part.violation(), initial=0.0)) for part in constraints)
    values = [float(np.abs(variable.value).max()) for part in constraints for variable in part.variables()]
    return worst / max(1.0, *values) if worst > 0.0 else worst
