"""What a search asks: values and slopes of a model, points of a region."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from socicnn._arrays import Array, as_float64
from socicnn._frames import refuse_other_columns
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from verify._geometry.passes import Geometry

BATCH = 2**20  # numbers that the points of one evaluation hold at most

ROUNDING = 2.0**-49  # of a value of a plain function, relative to the largest around it and to the sum of |g_i x_i|


class Slopes(NamedTuple):
    """Slopes at some points.

    Args:
        value: the slopes, shape `(count, n)`.
        error: how far each entry is from one of a subgradient at most, if f is convex; None where it is one.
    """

    value: Array
    error: Array | None = None


Oracle: TypeAlias = Callable[[Array, bool], tuple[Array, Slopes | None]]  # points, slopes wanted -> values, slopes


class SearchRegion(Protocol):
    """A convex set that can be sampled and projected on, in torch: for instance a feasible set of `decision`."""

    def sample(self, count: int, generator: Any, /) -> Any:
        """Draw points of shape `(count, n)` by a `torch.Generator`."""

    def project(self, x: Any, /) -> Any:
        """Return the nearest point of each row of a float64 tensor `(count, n)`."""


class Counted:
    """An oracle that counts its evaluations and refuses non-finite values.

    Args:
        oracle: gives values and slopes.
        slope: further values that one slope takes.
    """

    def __init__(self, oracle: Oracle, slope: int = 0) -> None:
        self._oracle, self._slope = oracle, slope
        self.used = 0

    def price(self, points: int, slopes: bool) -> int:
        """Return how many values these points take."""
        return points * (1 + self._slope * slopes)

    def __call__(self, points: Array, slopes: bool) -> tuple[Array, Slopes | None]:
        """Return the values, and the slopes where wanted; a few points at a time where x is long."""
        self.used += self.price(len(points), slopes)
        size = max(1, BATCH // points.shape[1])
        parts = [self._oracle(points[start : start + size], slopes) for start in range(0, len(points), size)]
        for part, (values, _) in enumerate(parts):
            count = min(size, len(points) - part * size)
            if values.shape != (count,):
                raise ModelError(f"the model must give one value per point, shape ({count},); received {values.shape}")
            if not np.isfinite(values).all():
                where = points[part * size + int(np.flatnonzero(~np.isfinite(values))[0])]
                raise ModelError(
                    f"the model gives a value that is not finite, at {np.array2string(where, threshold=8)}"
                )
        values = np.concatenate([values for values, _ in parts])
        sloped = [part for _, part in parts if part is not None]
        if not sloped:
            return values, None
        errors = [part.error for part in sloped if part.error is not None]
        error = np.concatenate(errors) if errors else None
        return values, Slopes(np.concatenate([part.value for part in sloped]), error)


def oracle_of(model: Any, context: Any, n: int) -> Counted:
    """Return the oracle's values and slopes; those of a plain function by central differences.

    Raises:
        ModelError: a context for what takes none, or one with other columns than the model was trained with.
    """
    refuse_other_columns(getattr(model, "ranges", None), "context", context)
    if context is not None and not hasattr(model, "parameters"):
        kind = "a FrozenNet already has its context" if isinstance(model, FrozenNet) else "a function takes x alone"
        raise ModelError(f"{kind}; leave `context` out")
    if isinstance(model, FrozenNet):
        return Counted(lambda points, slopes: (model(points), Slopes(_slopes(model, points)) if slopes else None))
    if hasattr(model, "parameters"):
        return Counted(_torch_oracle(model, context))

    def differences(points: Array, slopes: bool) -> tuple[Array, Slopes | None]:
        values = _numbers(model(points))
        if not slopes:
            return values, None
        step = 1e-7 * (1.0 + np.abs(points).max())
        around = [_numbers(model(points + side * step * unit)) for unit in np.eye(n) for side in (1, -1)]
        above, below = np.stack(around[::2], axis=1), np.stack(around[1::2], axis=1)
        slope = (above - below) / (2 * step)
        # terms g_i x_i that cancel leave their rounding in a small value
        rounding = ROUNDING * (np.abs(around).max(axis=0) + (np.abs(slope) * np.abs(points)).sum(axis=1))[:, None]
        # every subgradient lies between the differences to both sides, whose mean is the slope
        error = (np.maximum(above + below - 2 * values[:, None], 0.0) + rounding) / (2 * step)
        return values, Slopes(slope, error)

    return Counted(differences, slope=2 * n)


def _numbers(values: Any) -> Array:
    return as_float64(values, "what the function returns")


def _slopes(net: FrozenNet, points: Array) -> Array:
    geometry = Geometry(net, points)
    return geometry.gradients([zero[:, :, None] & False for zero in geometry.zero])[:, 0]


def _torch_oracle(model: Any, context: Any) -> Oracle:
    import torch

    twin = copy.deepcopy(model).double().cpu().eval()
    shape = getattr(model, "input_shape", None)
    theta = None if context is None else torch.tensor(as_float64(context, "context"))

    def evaluate(points: Array, slopes: bool) -> tuple[Array, Slopes | None]:
        x = torch.tensor(points).requires_grad_(slopes)
        with torch.set_grad_enabled(slopes):
            folded = x if shape is None else x.reshape(-1, *shape)
            values = twin(folded) if theta is None else twin(folded, theta)
            if not slopes:
                return values.numpy(), None
            gradient = torch.zeros_like(x)
            if values.requires_grad:  # not of a constant
                (gradient,) = torch.autograd.grad(values.sum(), x, materialize_grads=True)
        return values.detach().numpy(), Slopes(gradient.numpy())

    return evaluate


class Points(Protocol):
    """A region that speaks in arrays."""

    def sample(self, count: int) -> Array:
        """Draw points."""

    def project(self, x: Array) -> Array:
        """Return the nearest point of each row."""


class _Box:
    def __init__(self, lower: Array, upper: Array, rng: np.random.Generator) -> None:
        self._lower, self._upper, self._rng = lower, upper, rng

    def sample(self, count: int) -> Array:
        return self._rng.uniform(self._lower, self._upper, size=(count, len(self._lower)))

    def project(self, x: Array) -> Array:
        return np.clip(x, self._lower, self._upper)


class _TorchSet:
    """A feasible set of torch points, spoken to in arrays."""

    def __init__(self, region: Any, seed: int) -> None:
        import torch

        self._region, self._generator = region, torch.Generator().manual_seed(seed)

    def sample(self, count: int) -> Array:
        return as_float64(self._region.sample(count, self._generator))

    def project(self, x: Array) -> Array:
        import torch

        return as_float64(self._region.project(torch.tensor(x)))


def region_of(model: Any, region: Any, rng: np.random.Generator) -> tuple[Points, int]:
    """Return the region in arrays, and the length of x."""
    if hasattr(region, "sample") and hasattr(region, "project"):
        points = _TorchSet(region, int(rng.integers(2**31)))
        return points, points.sample(1).shape[1]
    if not isinstance(region, tuple | list) or len(region) != 2:
        raise ModelError(
            "the region must be bounds (lower, upper), or a set with `sample` and `project`; received "
            f"{type(region).__name__}"
        )
    for bound in region:
        refuse_other_columns(getattr(model, "ranges", None), "x", bound, "a bound of the region")
    lower, upper = (as_float64(bound, "a bound of the region") for bound in region)
    shape = getattr(model, "input_shape", None)
    if lower.ndim == upper.ndim == 0 and shape is None:
        raise ModelError("numbers as bounds need a model that knows its inputs; give bounds of shape (n,)")
    wanted = np.broadcast_shapes(lower.shape, upper.shape) or (int(np.prod(shape or (1,))),)
    lower, upper = np.broadcast_to(lower, wanted).reshape(-1), np.broadcast_to(upper, wanted).reshape(-1)
    if not (np.isfinite(lower).all() and np.isfinite(upper).all() and (lower < upper).all()):
        raise ModelError("bounds must be finite, each lower one below its upper one")
    return _Box(lower, upper, rng), len(lower)
