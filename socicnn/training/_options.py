"""What seldom changes between runs: the options of `fit` and `fit_stacked`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar, final

from torch import nn

from socicnn._arrays import as_float64
from socicnn._integers import as_integer, is_number
from socicnn._moved import with_moved
from socicnn._registry import choose, of_kind
from socicnn.errors import ModelError
from socicnn.training._history import History

P = ParamSpec("P")
R = TypeVar("R")

OptimiserName = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["cosine", "constant"]

# share of the learning rate at a fraction t of the run
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda t: 1.0,
    "cosine": lambda t: 0.5 * (1 + math.cos(math.pi * t)),
}


@final
@dataclass(frozen=True)
class FitOptions:
    """Options of a training run.

    Args:
        optimiser: `adam`, `adamw` or `sgd`.
        schedule: `cosine` (to zero over the epochs) or `constant`.
        weight_decay: as in the optimiser; in `fit_stacked` also one per model.
        clip: largest norm of the whole gradient; None for no limit.
        patience: epochs without a better validation loss before stopping; None to run all epochs.
        polish: iterations of L-BFGS on all data at once, in float64, after the last epoch; for small networks that are
            to be fitted to the last digit. In `fit_stacked` also one per model.
        ridge: penalties on the squares of the weights, one stage of polishing each, from strong to weak; the stage of
            the least validation loss is kept. None in order not to penalise.
        gradient_weight: weight of the errors of the gradients, where the data have gradients.
        standardise: whether to set the network's standardisation from the training data first (a constant column keeps
            scale 1; the scale of y is such that predicting the mean has a loss of about one). False continues from the
            standardisation in the network, and widens its stored ranges.
        checkpoint: file to keep progress in; if it exists the run continues from there, with the same result as a run
            that was never interrupted; torch's own generator is then set to where it was. Not for `fit_stacked`.
        checkpoint_seconds: least time between two checkpoints.
        micro_batch: contexts (or points) of a batch that are computed at a time; their gradients are added, which is
            the batch's gradient to rounding, in less memory, and in less time where a context is large (images). None
            for the whole batch. For losses that are means over contexts (all named ones); not for networks whose
            weights depend on the batch (the lift), nor for `fit_stacked`.
        description: label of the progress bar.
        on_step: called as `on_step(step, model)` after every step. Not for `fit_stacked`.
        on_epoch: called with the history after every epoch. Not for `fit_stacked`.

    Raises:
        ModelError: an option is invalid; the message names it.
    """

    optimiser: OptimiserName = "adam"
    schedule: ScheduleName = "cosine"
    weight_decay: float | Sequence[float] = 0.0
    clip: float | None = None
    patience: int | None = None
    polish: int | Sequence[int] = 0
    ridge: Sequence[float] | None = None
    gradient_weight: float = 1.0
    standardise: bool = True
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_seconds: float = 10.0
    micro_batch: int | None = None
    description: str = "fit"
    on_step: Callable[[int, nn.Module], None] | None = None
    on_epoch: Callable[[History], None] | None = None

    def __post_init__(self) -> None:
        """Check every option."""
        choose("optimiser", self.optimiser, ("adam", "adamw", "sgd"))
        choose("schedule", self.schedule, SCHEDULES)
        decays = as_float64(self.weight_decay, "weight_decay")
        if decays.ndim:
            object.__setattr__(self, "weight_decay", tuple(decays.tolist()))
        for decay in decays.reshape(-1).tolist():
            if not 0 <= decay < math.inf:
                raise ModelError(f"weight_decay must be a finite number >= 0; received {decay!r}")
        if self.clip is not None:
            positive("clip", self.clip)
        patience = None if self.patience is None else as_integer("patience", self.patience)
        object.__setattr__(self, "patience", patience)
        if self.micro_batch is not None:
            object.__setattr__(self, "micro_batch", as_integer("micro_batch", self.micro_batch))
        if self.ridge is not None:
            object.__setattr__(self, "ridge", penalties(self.ridge))
        positive("gradient_weight", self.gradient_weight)
        if not (is_number(self.checkpoint_seconds) and self.checkpoint_seconds >= 0):
            raise ModelError(f"checkpoint_seconds must be a number >= 0; received {self.checkpoint_seconds!r}")
        polish: Any = self.polish
        several = isinstance(polish, Sequence) and not isinstance(polish, str)
        polish = [as_integer("polish", count, 0) for count in polish] if several else as_integer("polish", polish, 0)
        object.__setattr__(self, "polish", polish)


def positive(name: str, value: float) -> float:
    """Return a finite number > 0, or raise a ModelError that names the argument."""
    if not (is_number(value) and 0 < value < math.inf):
        raise ModelError(f"{name} must be a finite number > 0; received {value!r}")
    return value


def penalties(ridge: Any) -> tuple[float, ...]:
    """Return penalties as a tuple, or raise a ModelError that says how to give them."""
    try:
        strengths = tuple(float(strength) for strength in ridge)
    except (TypeError, ValueError):
        raise ModelError(
            f"ridge must be a sequence of penalties, one per stage, e.g. ridge=(0.1,); received {ridge!r}"
        ) from None
    for strength in strengths:
        if not 0 <= strength < math.inf:
            raise ModelError(f"ridge must hold finite numbers >= 0; received {strength!r}")
    return strengths


def accepts_moved_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function take the options as keywords of its own for one more version, with a DeprecationWarning."""
    moved = [field.name for field in fields(FitOptions)]

    @wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> R:
        loose: dict[str, Any] = dict(keywords)
        if loose.get("options") is not None:
            of_kind("options", loose["options"], FitOptions)
        old = {name: loose.pop(name) for name in moved if name in loose}
        if old:
            options = loose.get("options") or FitOptions()
            loose["options"] = with_moved(options, old, function=function.__name__, argument="options")
        return function(*arguments, **loose)

    return call


def gathered(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in one flat mapping, as a configuration file has them, as arguments of `fit`.

    >>> arguments = gathered({"epochs": 5, "patience": 3})
    >>> arguments["epochs"], arguments["options"].patience
    (5, 3)
    """
    names = {field.name for field in fields(FitOptions)}
    own = {name: value for name, value in settings.items() if name not in names}
    options = FitOptions(**{name: value for name, value in settings.items() if name in names})
    return {**own, "options": options}


def run_settings(
    options: FitOptions,
    epochs: int,
    batch_size: int | None,
    learning_rate: float,
    weight_decay: float | None = None,
    polish: int | None = None,
) -> dict[str, Any]:
    """Return what decides a run's course, as a checkpoint remembers it.

    Raises:
        ModelError: a setting is invalid; the message names it.
    """
    decay = options.weight_decay if weight_decay is None else weight_decay
    finish = options.polish if polish is None else polish
    for name, value in (("weight_decay", decay), ("polish", finish)):
        if isinstance(value, Sequence):
            raise ModelError(f"{name} must be one number for one model; received {len(value)}")
    return {
        "epochs": as_integer("epochs", epochs),
        "batch_size": None if batch_size is None else as_integer("batch_size", batch_size),
        "learning_rate": positive("learning_rate", learning_rate),
        "weight_decay": decay,
        "optimiser": options.optimiser,
        "schedule": options.schedule,
        "clip": options.clip,
        "patience": options.patience,
        "polish": finish,
        "ridge": list(options.ridge or ()),
        "gradient_weight": options.gradient_weight,
        "standardise": options.standardise,
    }
