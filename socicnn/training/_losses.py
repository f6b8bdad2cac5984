"""What training minimises. A loss sees predictions and targets in standardised units."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from torch import Tensor, nn

from socicnn._integers import is_number
from socicnn._registry import Registry
from socicnn.errors import ModelError
from socicnn.training._data import Data
from socicnn.training._grouping import layout

LEAST_CONTEXTS = 160  # that `auto` gathers points of: a tenth of them, held out, is a batch of 16, and nine are trained


class Loss(ABC):
    """A loss of predictions and targets of shape `(contexts, candidates)` or `(points,)`."""

    name: str

    @abstractmethod
    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss over the first axis, a scalar."""

    def weighted(self, prediction: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """Return the mean of weight times loss, weights having mean one over the training data.

        Raises:
            ModelError: there are weights, and the loss is not a mean over single values; or no single number.
        """
        if weight is not None:
            raise ModelError(f"the loss {self.name} takes no weights; use mse, smooth_l1, huber or quantile")
        value: object = self(prediction, target)
        if isinstance(value, Tensor) and value.numel() == 1:
            return value
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ModelError(
            f"the loss {self.name} must return a tensor of one number, such as a .mean(); received {shape}"
        )

    def scale(self, y: Tensor) -> Tensor:
        """Return the unit of y: with it, predicting the mean everywhere has a loss of about one."""
        return y.std(unbiased=False)


class Pointwise(Loss):
    """A mean over single values."""

    @abstractmethod
    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss of every value."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss."""
        return self.each(prediction, target).mean()

    def weighted(self, prediction: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """Return the mean of weight times loss."""
        return self(prediction, target) if weight is None else (weight * self.each(prediction, target)).mean()


@final
@dataclass(frozen=True)
class MSE(Pointwise):
    """Mean of (f - y)^2."""

    name = "mse"

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the squared errors."""
        return nn.functional.mse_loss(prediction, target, reduction="none")


@final
@dataclass(frozen=True)
class SmoothL1(Pointwise):
    """Mean of r^2 / 2 where |r| < 1, else |r| - 1/2, with r = f - y."""

    name = "smooth_l1"

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the smooth absolute errors."""
        return nn.functional.smooth_l1_loss(prediction, target, reduction="none")


@final
@dataclass(frozen=True)
class HuberLoss(Pointwise):
    """Mean of r^2 / 2 where |r| < delta, else delta (|r| - delta / 2), with r = f - y in standard deviations of y.

    Args:
        delta: where squares turn into absolute values, > 0.

    Raises:
        ModelError: delta is not a finite number > 0.
    """

    delta: float = 1.0
    name = "huber"

    def __post_init__(self) -> None:
        """Check delta."""
        if not (is_number(self.delta) and 0 < self.delta < math.inf):
            raise ModelError(f"delta must be a finite number > 0; received {self.delta!r}")

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the Huber losses."""
        return nn.functional.huber_loss(prediction, target, reduction="none", delta=self.delta)


@final
@dataclass(frozen=True)
class Quantile(Pointwise):
    """The pinball loss max(level r, (level - 1) r), r = y - f: its minimiser is the quantile of y given x.

    Source: Koenker and Bassett, Regression quantiles, 1978.

    Args:
        level: share of values below f, between 0 and 1.

    Raises:
        ModelError: the level is not between 0 and 1.

    >>> import torch
    >>> Quantile(0.9)(torch.zeros(2), torch.tensor([1.0, -1.0])).item()
    0.5
    """

    level: float = 0.5
    name = "quantile"

    def __post_init__(self) -> None:
        """Check the level."""
        if not (is_number(self.level) and 0 < self.level < 1):
            raise ModelError(f"level must lie between 0 and 1; received {self.level!r}")

    def each(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the pinball losses."""
        residual = target - prediction
        return (self.level * residual).maximum((self.level - 1) * residual)


@final
@dataclass(frozen=True)
class Mirrored(Loss):
    """The loss of -f and -y: for a network g that stands for the concave function f = -g.

    Args:
        inner: the loss of f and y.
    """

    inner: Loss

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the inner loss."""
        return self.inner.name

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the inner loss of the negatives."""
        return self.inner(-prediction, -target)

    def weighted(self, prediction: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        """Return the inner loss of the negatives."""
        return self.inner.weighted(-prediction, -target, weight)

    def scale(self, y: Tensor) -> Tensor:
        """Return the unit of y."""
        return self.inner.scale(-y)


@final
@dataclass(frozen=True)
class WithinContext(Loss):
    """Squared error after subtracting each context's mean, plus `level` times the squared error of the means.

    mean_c [ mean_i (r_ci - r_c)^2 + level r_c^2 ],   r = f - y,   r_c = mean_i r_ci

    A decision does not depend on a context's level, which dominates the plain squared error.

    Args:
        level: weight of the means, > 0 to pin the level down.

    Raises:
        ModelError: the level is not a finite number >= 0.

    >>> import torch
    >>> y = torch.tensor([[0.0, 2.0]])
    >>> float(WithinContext()(y + 1, y)), float(WithinContext()(-y + 2, y))
    (0.10000000149011612, 4.0)
    """

    level: float = 0.1
    name = "within_context"

    def __post_init__(self) -> None:
        """Check the level."""
        if not (is_number(self.level) and 0 <= self.level < math.inf):
            raise ModelError(f"level must be a finite number >= 0; received {self.level!r}")

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss; both arguments have shape `(contexts, candidates)`."""
        _grouped(target)
        residual = prediction - target
        means = residual.mean(dim=1)
        return (residual - means[:, None]).square().mean() + self.level * means.square().mean()

    def scale(self, y: Tensor) -> Tensor:
        """Return the root of the loss of the constant mean."""
        _grouped(y)
        return self(y.mean().expand_as(y), y).sqrt()


def _grouped(y: Tensor) -> None:
    if y.ndim != 2:
        raise ModelError(
            "the within-context loss needs several candidates per context, y of shape (contexts, candidates); "
            f"received {tuple(y.shape)}"
        )


@final
class _Given(Loss):
    """A user's own function of (prediction, target)."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.function = function
        self.name = getattr(function, "__qualname__", type(function).__qualname__)  # repr may hold an address

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.function(prediction, target)


LossName = Literal["mse", "smooth_l1", "huber", "quantile", "within_context"]
AnyLoss: TypeAlias = Loss | LossName | Literal["auto"] | Callable[[Tensor, Tensor], Tensor]

LOSSES: Registry[Callable[[], Loss]] = Registry(
    "loss",
    {"mse": MSE, "smooth_l1": SmoothL1, "huber": HuberLoss, "quantile": Quantile, "within_context": WithinContext},
)


def make_loss(loss: Loss | LossName | Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """Return a loss from itself, its short name or a function of (prediction, target).

    Raises:
        ModelError: the name is unknown; the message lists what there is.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        return LOSSES[loss]()
    if callable(loss):
        return _Given(loss)
    raise ModelError(f"loss must be a name, a Loss or a function; received {type(loss).__name__}")


def chosen_loss(loss: AnyLoss, data: Data) -> tuple[Loss, Data, str]:
    """Return a loss, the data as it needs them, and why it was chosen.

    `auto` is `within_context` where each context has equally many points, two or more, and there are no weights; it is
    `mse` elsewhere. For both `auto` and `within_context`, single points whose contexts repeat are gathered by context;
    `auto` leaves them as they are where contexts are few, since batches and validation count contexts then.

    Raises:
        ModelError: the name is unknown, or the within-context loss has too few points per context.
    """
    if loss != "auto" and loss != "within_context" and not isinstance(loss, WithinContext):
        return make_loss(loss), data, "as asked"
    if loss == "auto" and data.weight is not None:
        return MSE(), data, "the data have weights"
    rows, (data, spread) = data, data.gathered()
    if loss == "auto" and data is not rows and len(data) < LEAST_CONTEXTS:
        return MSE(), rows, f"{spread}, too few to gather: under {LEAST_CONTEXTS}"
    within = data.grouped and data.y.shape[1] > 1
    if data.grouped:
        spread = layout(*data.y.shape)
    if loss == "auto":
        return (WithinContext() if within else MSE()), data, spread
    if not within:
        raise ModelError(
            f"the within-context loss needs equally many points per context, two or more; {spread}: use loss='mse'"
        )
    return make_loss(loss), data, "as asked"
