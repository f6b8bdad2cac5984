"""The box {lower <= x <= upper}."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision.sets._base import FeasibleSet
from decision.sets._moving import with_gradients
from socicnn._arrays import as_float64, lengths, read_only
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.errors import ProgramError
from socicnn.nn._checks import as_device, as_dtype


@final
class Box(FeasibleSet):
    """The box {x in R^n : lower <= x <= upper}.

    Args:
        n: length of x.
        lower: lower bounds, a number or shape `(n,)`, finite.
        upper: upper bounds, a number or shape `(n,)`, finite, at least `lower`; equal bounds fix a coordinate.

    Raises:
        ProgramError: a bound is infinite or NaN, or a lower bound exceeds its upper bound.

    >>> import torch
    >>> Box(2, lower=[0.0, -1.0]).project(torch.tensor([-2.0, -0.5]))
    tensor([ 0.0000, -0.5000])
    """

    name = "box"

    def __init__(self, n: int, lower: Any = 0.0, upper: Any = 1.0) -> None:
        super().__init__(n)
        self.detached = with_gradients(self, lower=lower, upper=upper)
        bounds = []
        for label, value in (("lower", lower), ("upper", upper)):
            array = as_float64(value, label)
            if array.shape not in ((), (n,)):
                raise ProgramError(f"{label} must be a number or have shape ({n},); received shape {array.shape}")
            if not np.isfinite(array).all():
                raise ProgramError(f"{label} must be finite, or the box is unbounded; received {array.tolist()}")
            bounds.append(array)
        self._given = {"lower": bounds[0].tolist(), "upper": bounds[1].tolist()}
        # copies that nobody can write to: the caller's arrays may change later
        self._lower, self._upper = (read_only(np.array(np.broadcast_to(bound, (n,)))) for bound in bounds)
        crossed = np.flatnonzero(self._lower > self._upper)
        if len(crossed):
            i = int(crossed[0])
            raise ProgramError(
                f"the box is empty: lower exceeds upper in {len(crossed)} coordinates, first in coordinate {i} "
                f"({self._lower[i]} > {self._upper[i]}); exchange or widen them"
            )

    @property
    def diameter(self) -> float:
        """The diagonal ||upper - lower||."""
        with np.errstate(over="ignore"):
            return float(lengths(self._upper - self._lower, 0))

    def config(self) -> dict[str, Any]:
        """Return n, lower and upper as they were given."""
        return {"n": self.n, **deepcopy(self._given)}

    def ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lower and upper bounds, shape `(n,)`, in the type and on the device of a tensor."""
        lower, upper = self._like(like)
        return lower, upper

    def _make_constants(self) -> tuple[Tensor, ...]:
        return torch.tensor(self._lower), torch.tensor(self._upper)

    def project(self, x: Tensor) -> Tensor:
        """Return x clamped to the bounds."""
        self._check(x)
        lower, upper = self._like(x)
        return x.clamp(lower, upper)

    def minimise_linear(self, g: Tensor) -> Tensor:
        """Return the corner: lower where g > 0, upper elsewhere."""
        self._check(g, "g")
        lower, upper = self._like(g)
        return torch.where(g > 0, lower, upper)

    def violation(self, x: Tensor) -> Tensor:
        """Return max(max_i lower_i - x_i, max_i x_i - upper_i, 0)."""
        self._check(x)
        lower, upper = self._like(x)
        return torch.maximum(lower - x, x - upper).amax(dim=-1).clamp(min=0.0)

    def _uniform(self, count: int, generator: torch.Generator | None) -> Tensor:
        device = torch.device("cpu") if generator is None else generator.device
        u = torch.rand(count, self.n, dtype=torch.float64, device=device, generator=generator)
        lower, upper = self._like(u)
        return torch.lerp(lower.expand_as(u), upper.expand_as(u), u).clamp(lower, upper)

    def centre(self, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        """Return the midpoint of the bounds."""
        return torch.tensor(self._lower / 2 + self._upper / 2, dtype=as_dtype(dtype), device=as_device(device))

    def constraints(self, x: Any) -> list[Any]:
        """Return [x >= lower, x <= upper], with an equality for the coordinates that the bounds fix."""
        self._check_expression(x)
        fixed = self._lower == self._upper
        free, stuck = np.flatnonzero(~fixed), np.flatnonzero(fixed)
        constraints = []
        if len(free):
            constraints += [x[free] >= self._lower[free], x[free] <= self._upper[free]]
        if len(stuck):
            constraints.append(x[stuck] == self._lower[stuck])
        return constraints

    def rows(self) -> Rows:
        """Return x_i = lower_i for fixed coordinates, then -x <= -lower and x <= upper for the others."""
        fixed = self._lower == self._upper
        eye = sparse.csr_array(sparse.eye_array(self.n))
        free, stuck = eye[np.flatnonzero(~fixed)], eye[np.flatnonzero(fixed)]
        return Rows(
            sparse.csr_array(sparse.vstack([stuck, -free, free])),
            np.concatenate([self._lower[fixed], -self._lower[~fixed], self._upper[~fixed]]),
            Cones(zero=int(fixed.sum()), nonnegative=2 * int((~fixed).sum())),
        )
