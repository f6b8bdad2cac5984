"""CVXPY's data for a solver, without what the variables' values do to them; parameters that lack a value."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def unvalued(problem: Any) -> Iterator[None]:
    """Let CVXPY write the data of a problem as if its variables had no values; at the end they have them again.

    CVXPY starts the variables that it adds at values that it computes from those of the user's. For `cvar`, and
    `sum_largest` of a fractional count, that raises TypeError (1.9.3; `findings/cvxpy_cvar_second_solve.sh`): what was
    solved once, and so has values, could not be proven.
    """
    variables = problem.variables()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # CVXPY's, about the values of variables with a sparsity
        before = [(variable, variable.value) for variable in variables]
    for variable in variables:
        variable.save_value(None)
    try:
        yield
    finally:
        for variable, value in before:
            variable.save_value(value)  # not `.value = value`: a solver's answer may miss what CVXPY asks of users


def lacking(problem: Any) -> list[str]:
    """Return the names of the parameters without a value; of those that follow others only where nothing else lacks."""
    from cvxpy import CallbackParam

    empty = [part for part in problem.parameters() if part.value is None]
    own = [part for part in empty if not isinstance(part, CallbackParam)]
    return [part.name() for part in own or empty]
