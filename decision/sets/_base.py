"""The contract of a feasible set: what a batched optimiser, a modelling language and a conic program ask of it."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from socicnn._integers import as_integer
from socicnn.errors import ProgramError
from socicnn.nn._checks import as_dtype

if TYPE_CHECKING:
    from socicnn.conic._rows import Rows


_RENAMED = {"minimize_linear": "minimise_linear", "center": "centre"}


class FeasibleSet(ABC):
    """A bounded convex set X in R^n. A set is a value: its methods change nothing and draw from the generator given.

    Points have shape `(*batch, n)`, any float type, on any device; answers have the type and device of the points. A
    row that holds NaN gives NaN in that row of `project` and `violation`, and changes no other row.

    Args:
        n: length of x, at least 1.

    Raises:
        ProgramError: the set is empty, unbounded or not a number.
    """

    name: str
    detached: tuple[str, ...] = ()  # arguments that require gradients, of which decisions have none in them

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for old, new in _RENAMED.items():
            if old in cls.__dict__ and new not in cls.__dict__:  # a subclass of before, which overrides the old name
                warnings.warn(f"{cls.__name__}.{old} is now {new}", DeprecationWarning, stacklevel=2)
                setattr(cls, new, cls.__dict__[old])

    def __init__(self, n: int) -> None:
        self._n = as_integer(f"n of a {type(self).__name__}", n, error=ProgramError)
        self._constants: dict[tuple[torch.dtype, torch.device], tuple[Tensor, ...]] = {}

    @property
    def n(self) -> int:
        """Length of x."""
        return self._n

    @property
    def has_rows(self) -> bool:
        """Whether `rows` gives the set, for the exact way."""
        return True

    @property
    @abstractmethod
    def diameter(self) -> float:
        """An upper bound of ||x - x'|| over x, x' in X."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return the arguments, as JSON values, that make the set again: `make(set.name, **set.config())`."""

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.config().items())
        return f"{type(self).__name__}({arguments})"

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point argmin_{z in X} ||z - x||_2 of each row, exact to rounding."""

    @abstractmethod
    def minimise_linear(self, g: Tensor) -> Tensor:
        """Return a vertex argmin_{z in X} g'z for each row g."""

    @abstractmethod
    def violation(self, x: Tensor) -> Tensor:
        """Return the worst violation of one constraint at each row, shape `(*batch,)`; 0 inside, NaN for NaN."""

    def relative_violation(self, x: Tensor) -> Tensor:
        """Return the violation of each row divided by the larger of the set's diameter and max_j |x_j|; 0 inside."""
        violation = self.violation(x)
        size = x.abs().amax(dim=-1).clamp(min=self.diameter)
        return torch.where(violation == 0.0, violation, violation / size)

    def contains(self, x: Tensor, tolerance: float = 1e-9) -> Tensor:
        """Return whether each row violates no constraint by more than `tolerance`, shape `(*batch,)`."""
        return self.violation(x) <= tolerance

    def sample(
        self,
        count: int,
        generator: torch.Generator | None = None,
        *,
        boundary: float = 0.0,
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """Draw points of X: uniform, or, for the share `boundary` of them, on faces of every dimension.

        Args:
            count: number of points.
            generator: source of randomness; its device is the points' device, the CPU if omitted.
            boundary: share in [0, 1] of the points that are drawn by `sample_boundary`, at random places.
            dtype: float type of the points; drawn in float64 and rounded.

        Returns:
            Points of shape `(count, n)`.
        """
        if count < 0 or not 0.0 <= boundary <= 1.0:
            raise ProgramError(
                f"count must be at least 0 and boundary within [0, 1]; received count={count}, boundary={boundary}"
            )
        kind, on_faces = as_dtype(dtype), round(boundary * count)
        x = self._uniform(count - on_faces, generator)
        if on_faces:
            x = torch.cat([x, self.sample_boundary(on_faces, generator)])
            x = x[torch.randperm(count, generator=generator, device=x.device)]
        return x.to(kind)

    def sample_boundary(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw points that reach the boundary: uniform points, thrown out by Gaussian steps and projected back.

        The length of the steps is log-uniform between 0.1 and 10 times sqrt(diameter^2 / n), so that the faces reached
        run from one active bound to a vertex.

        Returns:
            Points of shape `(count, n)`, float64.
        """
        x = self._uniform(count, generator)
        exponent = 2.0 * torch.rand(count, 1, dtype=x.dtype, device=x.device, generator=generator) - 1.0
        step = torch.randn(count, self.n, dtype=x.dtype, device=x.device, generator=generator)
        return self.project(x + 10.0**exponent * self.diameter / math.sqrt(self.n) * step)

    @abstractmethod
    def _uniform(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Draw uniform points of shape `(count, n)`, float64, on the generator's device."""

    @abstractmethod
    def centre(self, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        """Return the centre of X, shape `(n,)`, a relative interior point wherever there is one."""

    def minimize_linear(self, g: Tensor) -> Tensor:
        """Deprecated: `minimise_linear`."""
        warnings.warn("minimize_linear is now minimise_linear", DeprecationWarning, stacklevel=2)
        return self.minimise_linear(g)

    def center(self, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> Tensor:
        """Deprecated: `centre`."""
        warnings.warn("center is now centre", DeprecationWarning, stacklevel=2)
        return self.centre(dtype=dtype, device=device)

    @abstractmethod
    def constraints(self, x: Any) -> list[Any]:
        """Return the CVXPY constraints x in X for an affine CVXPY expression of shape `(n,)`."""

    @abstractmethod
    def rows(self) -> Rows:
        """Return X as G x + s = h, s in K; coordinates that X fixes come as equalities."""

    def _check(self, x: Tensor, name: str = "x") -> None:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            what = f"dtype {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
            raise ProgramError(f"{name} must be a torch tensor of a float type; received {what}")
        if x.ndim == 0 or x.shape[-1] != self._n:
            raise ProgramError(f"{name} must have shape (*batch, {self._n}); received {tuple(x.shape)}")

    def _check_expression(self, x: Any) -> None:
        if getattr(x, "shape", None) != (self._n,):
            raise ProgramError(
                f"x must be a CVXPY expression of shape ({self._n},); received {getattr(x, 'shape', type(x).__name__)}"
            )

    def _like(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the constants of the set in the type and on the device of x, made once for each."""
        key = (x.dtype, x.device)
        if key not in self._constants:
            self._constants[key] = tuple(constant.to(x) for constant in self._make_constants())
        return self._constants[key]

    @abstractmethod
    def _make_constants(self) -> tuple[Tensor, ...]:
        """Return the tensors that the methods need, float64 on the CPU."""
