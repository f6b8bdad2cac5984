"""A set given by CVXPY constraints, with helper variables and parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final


@final
@dataclass(frozen=True, eq=False)
class CvxpySet:
    """The x that satisfy CVXPY constraints, perhaps together with helper variables.

    Args:
        constraints: convex by CVXPY's rules; linear rows and second-order cones are proven.
        x: which variable is the network's x; found by its size if omitted.
        parameters: parameter -> its value in each context, shape `(contexts, *shape)`; the others keep their values.

    >>> import cvxpy as cp, numpy as np
    >>> x, t, load = cp.Variable(3), cp.Variable(3), cp.Parameter()
    >>> day = CvxpySet([cp.abs(x) <= t, cp.sum(t) <= 1, cp.sum(x) == load], x=x, parameters={load: [0.5, -0.5]})
    """

    constraints: Sequence[Any]
    x: Any = None
    parameters: Mapping[Any, Any] | None = None
