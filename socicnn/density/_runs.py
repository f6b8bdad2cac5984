"""What one run of a density needs: its options, checked settings, batches, and its course for the training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from socicnn._frames import column_names
from socicnn._integers import as_integer, as_seed
from socicnn._ranges import Ranges
from socicnn.density._base import Density
from socicnn.density._integration import quadrature
from socicnn.density._points import as_tensor
from socicnn.density._rule import Rule
from socicnn.density._targets import Law, Target
from socicnn.errors import ModelError
from socicnn.training._history import History
from socicnn.training._options import positive

CHUNK = 64  # steps whose batches are drawn at once


@final
@dataclass(frozen=True)
class DensityOptions:
    """What seldom changes between the runs of `density.fit` and `density.fit_stacked`.

    Args:
        clip: largest norm of the whole gradient; None for none.
        on_step: called as `on_step(step, model)` after every step. Not for `fit_stacked`.
        description: label of the progress bar.

    Raises:
        ModelError: an option is invalid; the message names it.
    """

    clip: float | None = 1.0
    on_step: Callable[[int, Density], None] | None = None
    description: str = "fit"

    def __post_init__(self) -> None:
        """Check every option."""
        if self.clip is not None:
            positive("clip", self.clip)


@final
@dataclass(frozen=True, eq=False)
class Settings:
    """The settings of a run, checked.

    Args:
        features: dimension of the points.
        dtype: floating type of the model.
        device: where it lives.
        batch_size: points per step.
        learning_rate: step size of Adam.
        rule: the rule for log Z, or None.
        noted: steps at which the objective is noted.
        options: the options of the run.
    """

    features: int
    dtype: torch.dtype
    device: torch.device
    batch_size: int
    learning_rate: float
    rule: Rule | None
    noted: list[int]
    options: DensityOptions


def settings(
    model: Density,
    data: Law | Any,
    steps: int,
    batch_size: int,
    learning_rate: float,
    rule: Rule | None,
    note_every: int,
    options: DensityOptions,
) -> Settings:
    """Return the settings of a run, or raise a ModelError that names an invalid one."""
    steps, batch_size = as_integer("steps", steps), as_integer("batch_size", batch_size)
    note_every = as_integer("note_every", note_every)
    positive("learning_rate", learning_rate)
    dtype, device = model.network.dtype, model.network.device
    if rule is None and not model.normalised:
        if not isinstance(data, Target):
            raise ModelError(
                "points have no window of their own: give `rule=quadrature(lower, upper)`, or `rule=importance(points)`"
            )
        rule = quadrature(data.lower, data.upper, dtype=dtype, device=device)
    if rule is not None and (rule.nodes.shape[1] != model.features or rule.nodes.dtype != dtype):
        raise ModelError(
            f"the rule has nodes of dimension {rule.nodes.shape[1]} and type {rule.nodes.dtype}, the model "
            f"{model.features} and {dtype}"
        )
    noted = [step for step in range(1, steps + 1) if step % note_every == 0 or step == steps]
    return Settings(model.features, dtype, device, batch_size, learning_rate, rule, noted, options)


@final
class Batches:
    """The batches of one run, drawn some steps ahead.

    Args:
        data: a law, or points of shape `(count, n)`, a tensor or anything that NumPy reads as an array.
        run: the run's settings.
        seed: seed, or generator, on the CPU.

    Raises:
        ModelError: points, or a law, of another dimension than the model; points that are not finite numbers, or
            that lie outside the box of a quadrature.
    """

    def __init__(self, data: Law | Any, run: Settings, seed: int | torch.Generator) -> None:
        if isinstance(data, Law):
            if data.features != run.features:
                raise ModelError(f"law '{data.name}' has {data.features} dimensions, the model {run.features}")
            self.data: Law | Tensor = data
        else:
            self.data = as_tensor(data, run.features, dtype=run.dtype, device=run.device)
            if run.rule is not None:
                run.rule.check(self.data)
        self.run = run
        if not isinstance(seed, torch.Generator):
            seed = torch.Generator().manual_seed(as_seed("seed", seed))
        self.generator = seed
        self.ahead: list[Tensor] = []

    def next(self) -> Tensor:
        """Return the next batch, shape `(batch_size, n)`."""
        if not self.ahead:
            shape = (CHUNK, self.run.batch_size)
            if isinstance(self.data, Law):
                drawn = self.data.sample(CHUNK * self.run.batch_size, self.generator, self.run.dtype, self.run.device)
                self.ahead = list(drawn.reshape(*shape, self.run.features))
            else:
                rows = torch.randint(len(self.data), shape, generator=self.generator)
                self.ahead = list(self.data[rows.to(self.run.device)])
            self.ahead.reverse()
        return self.ahead.pop()

    def rule(self) -> Rule | None:
        """Return the rule for the next step."""
        return None if self.run.rule is None else self.run.rule.draw(self.generator)


@final
class DensityRun:
    """The course of one run, for `socicnn.training._loop.train`: an epoch ends where the objective is noted.

    Args:
        model: the density.
        data: a law or points.
        run: the run's settings.
        seed: seed, or generator, of the batches.

    Raises:
        ModelError: points that do not fit, or a frame with other columns than the density was trained with.
    """

    lost = False

    def __init__(self, model: Density, data: Law | Any, run: Settings, seed: int | torch.Generator) -> None:
        self.model, self.settings = model, run
        self.batches = Batches(data, run, seed)
        names = column_names(data)
        if names is not None:  # points without names leave no trace in files
            ranges = replace(Ranges.of(data), x_names=names)
            model.ranges = ranges.after(model.ranges, widened=True)
        self.history = History()

    @property
    def block(self) -> range:
        """The steps of the next epoch."""
        noted, done = self.settings.noted, self.history.epochs
        return range(noted[done - 1] + 1 if done else 1, noted[done] + 1)

    @property
    def done(self) -> bool:
        """Whether all steps were taken."""
        return self.history.epochs == len(self.settings.noted)

    def judge(self, loss: float, seconds: float) -> None:
        """Note the objective at the last step; one that is not finite stays in the history."""
        self.history.train.append(loss)
        self.history.seconds += seconds
        self.history.best_epoch = self.history.epochs

    def close(self) -> None:
        """Bring the model into evaluation mode; its weights are the last ones."""
        self.model.eval()

    def postfix(self) -> str:
        """Return the objective for the progress bar."""
        return f"-log p {self.history.train[-1]:.3g}"
