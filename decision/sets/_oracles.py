"""A set of one's own by three members: n, its projection and its linear minimisation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol, final, runtime_checkable

import torch
from torch import Tensor

from decision.sets._base import FeasibleSet
from socicnn._moved import accepts_renamed
from socicnn.conic._rows import Rows
from socicnn.errors import ProgramError
from socicnn.nn._checks import as_device, as_dtype


@runtime_checkable
class OwnSet(Protocol):
    """A bounded convex set of a user: any object with these three members can be given to `decide`."""

    @property
    def n(self) -> int:
        """Length of x."""

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point of the set to each row of x, shape `(*batch, n)`."""

    def minimise_linear(self, g: Tensor) -> Tensor:
        """Return a point of the set that minimises g'z for each row of g, shape `(*batch, n)`; exact to rounding."""


def is_own_set(candidate: Any) -> bool:
    """Return whether an object has the members of a user's set, the linear oracle perhaps under its old name."""
    members = ("n", "project", "minimize_linear")
    return isinstance(candidate, OwnSet) or all(hasattr(candidate, name) for name in members)


@final
class OracleSet(FeasibleSet):
    """A bounded convex set known by its oracles; everything else is derived from them.

    Args:
        n: length of x.
        project: nearest point of each row, for any batch shape.
        minimise_linear: minimiser of g'z over the set for each row g, for any batch shape; bounds rest on it.
        rows: the same set as conic rows, for the exact way; None without.
        centre: a point of the relative interior, shape `(n,)`, float64; defaults to the mean of extreme points.
        name: for messages.

    Raises:
        ProgramError: an oracle does not return finite points of the shape that it is given.

    >>> import torch
    >>> disc = OracleSet(2, lambda x: x / x.norm(dim=-1, keepdim=True).clamp(min=1.0),
    ...                  lambda g: -torch.nn.functional.normalize(g, dim=-1))
    >>> round(disc.diameter, 3), disc.has_rows
    (2.828, False)
    """

    @accepts_renamed(minimize_linear="minimise_linear", center="centre")
    def __init__(
        self,
        n: int,
        project: Callable[[Tensor], Tensor],
        minimise_linear: Callable[[Tensor], Tensor],
        *,
        rows: Rows | None = None,
        centre: Tensor | None = None,
        name: str = "own",
    ) -> None:
        super().__init__(n)
        self.name, self._project, self._minimise, self._rows = name, project, minimise_linear, rows
        eye = torch.eye(self.n, dtype=torch.float64)
        ends = self.minimise_linear(torch.cat([eye, -eye]))
        self._lower, self._upper = ends[: self.n].diagonal().clone(), ends[self.n :].diagonal().clone()
        self._centre = self.project(ends.mean(dim=0)) if centre is None else centre

    @classmethod
    def of(cls, own: OwnSet) -> OracleSet:
        """Return a user's set; its oracle may have the old name `minimize_linear`."""
        name = type(own).__name__
        if not hasattr(own, "minimise_linear") and hasattr(own, "minimize_linear"):
            warnings.warn(f"minimize_linear of {name} is now minimise_linear", DeprecationWarning, stacklevel=2)
            return cls(own.n, own.project, own.minimize_linear, name=name)
        return cls(own.n, own.project, own.minimise_linear, name=name)

    @property
    def has_rows(self) -> bool:
        """Whether the set is known as conic rows, too."""
        return self._rows is not None

    @property
    def curved(self) -> bool:
        """Whether it is no polyhedron in x alone, as far as is known."""
        return self._rows is None or bool(self._rows.cones.second_order) or self._rows.G.shape[1] != self.n

    @property
    def diameter(self) -> float:
        """The diagonal of the smallest box around the set."""
        return float(torch.linalg.vector_norm(self._upper - self._lower))

    def config(self) -> dict[str, Any]:
        """Return n alone: functions are no JSON values."""
        return {"n": self.n}

    def _asked(self, oracle: Callable[[Tensor], Tensor], x: Tensor, name: str) -> Tensor:
        self._check(x)
        z = oracle(x)
        if not isinstance(z, Tensor) or z.shape != x.shape or z.dtype != x.dtype:
            what = f"{tuple(z.shape)}, {z.dtype}" if isinstance(z, Tensor) else type(z).__name__
            raise ProgramError(
                f"{name} of the set must return a tensor of the shape and type of its rows, {tuple(x.shape)}, "
                f"{x.dtype}; received {what}"
            )
        if bool((x.isfinite().all(dim=-1) & ~z.isfinite().all(dim=-1)).any()):
            raise ProgramError(f"{name} of the set returned entries that are not finite; the set must be bounded")
        return z

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point of each row."""
        return self._asked(self._project, x, "project")

    def minimise_linear(self, g: Tensor) -> Tensor:
        """Return the minimiser of g'z of each row."""
        return self._asked(self._minimise, g, "minimise_linear")

    def violation(self, x: Tensor) -> Tensor:
        """Return max_j |x_j - z_j|, z the nearest point of the set; up to 16 units in the last place count as 0."""
        distance = (x - self.project(x)).abs().amax(dim=-1)
        noise = 16 * torch.finfo(x.dtype).eps * x.abs().amax(dim=-1)
        return torch.where(distance <= noise, 0.0 * distance, distance)

    def _uniform(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Return averages of n + 1 random extreme points with uniform weights: all over the set, but not uniform."""
        device = torch.device("cpu") if generator is None else generator.device
        shape = (count, self.n + 1)
        g = torch.randn(*shape, self.n, dtype=torch.float64, device=device, generator=generator)
        w = torch.empty(*shape, 1, dtype=torch.float64, device=device).exponential_(generator=generator)
        return (w / w.sum(dim=1, keepdim=True) * self.minimise_linear(g)).sum(dim=1)

    def centre(self, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        """Return a point of the set, in its middle."""
        place = self._centre.device if device is None else as_device(device)
        return self._centre.to(dtype=as_dtype(dtype), device=place)

    def constraints(self, x: Any) -> list[Any]:
        """Refuse: oracles are no constraints."""
        raise ProgramError(f"the set {self.name!r} is known by its oracles alone; give rows= for constraints")

    def rows(self) -> Rows:
        """Return the rows that were given.

        Raises:
            ProgramError: none were.
        """
        if self._rows is None:
            raise ProgramError(
                f"the set {self.name!r} has no conic rows; use method='projected_gradient', or give rows="
            )
        return self._rows

    def _make_constants(self) -> tuple[Tensor, ...]:
        return ()
