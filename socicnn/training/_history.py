"""What a training run records besides the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from socicnn._figures import new_figure
from socicnn._results import Result, Row
from socicnn.errors import ModelError


@dataclass(repr=False)
class History(Result):
    """The course of a run, one entry per epoch.

    Args:
        train: mean training loss of each epoch, standardised units.
        validation: validation loss after each epoch; empty without validation.
        best_epoch: epoch (from 1) whose weights were kept, 0 before the first.
        seconds: time spent training, over all parts of an interrupted run.
        resumed: epochs that were read from a checkpoint.
        stopped_early: whether patience ended the run.
        polish: losses seen during the finish by L-BFGS, every 10 iterations and after the last.
        ridge: penalty on the squares of the weights in the stage of polishing that was kept.
        iterations: of that stage, up to the weights that were kept.
        loss: name of the loss.
        reason: why this loss: "as asked", or how the points are spread over contexts.
    """

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    resumed: int = 0
    stopped_early: bool = False
    polish: list[float] = field(default_factory=list)
    ridge: float = 0.0
    iterations: int = 0
    loss: str = ""
    reason: str = ""

    @property
    def epochs(self) -> int:
        """Number of epochs run."""
        return len(self.train)

    @property
    def value(self) -> float:
        """Loss of the weights that were kept: on the validation data, else on the training data; NaN before training.

        After polishing it is the least loss that was seen there, if that is smaller.
        """
        losses = self.validation or self.train
        if not losses:
            return math.nan
        return min([losses[self.best_epoch - 1], *self.polish])

    @property
    def ok(self) -> bool:
        """Whether it trained, and every loss is finite."""
        return bool(self.train) and all(map(math.isfinite, [*self.train, *self.validation, *self.polish]))

    def summary(self) -> str:
        """Return one sentence for a reader."""
        kept = f"{self.epochs} epochs in {self.seconds:.1f} s, weights of epoch {self.best_epoch} kept"
        losses = self.validation or self.train
        what = "validation" if self.validation else "training"
        if not losses:
            return kept
        after = f", {min(self.polish):.3g} at best after polishing" if self.polish else ""
        name = f" ({self.loss}: {self.reason})" if self.loss else ""
        return f"{kept}, {what} loss {losses[self.best_epoch - 1]:.3g}{after}{name}"

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses over the epochs, logarithmic, with the epoch whose weights were kept.

        Args:
            axes: Axes of matplotlib to draw on; new ones if omitted.

        Returns:
            The axes.

        Raises:
            MissingExtra: matplotlib is not installed, and no axes are given.
        """
        if axes is None:
            axes = new_figure(6, 3.5).add_subplot()
        epochs = range(1, len(self.train) + 1)
        axes.plot(epochs, self.train, label="training")
        losses = self.validation or self.train
        if self.validation:
            axes.plot(epochs, self.validation, label="validation")
        if self.best_epoch:
            axes.plot(self.best_epoch, losses[self.best_epoch - 1], "o", color="black", label="kept")
        if self.polish:
            axes.axhline(min(self.polish), linestyle=":", color="black", label="after L-BFGS")
        axes.set(xlabel="epoch", ylabel="loss, standardised units", yscale="log")
        axes.legend()
        return axes

    def table(self) -> tuple[Row, list[Row]]:
        """Return the losses of at most twelve epochs."""
        step = max(1, math.ceil(self.epochs / 10))
        shown = sorted({*range(0, self.epochs, step), self.epochs - 1, self.best_epoch - 1} - {-1})
        rows: list[Row] = [
            (k + 1, f"{self.train[k]:.3g}", f"{self.validation[k]:.3g}" if self.validation else "") for k in shown
        ]
        return ("epoch", "training loss", "validation loss"), rows


class DivergedError(ModelError):
    """A loss is no longer finite: of a run, or of some that were trained side by side, whose others have finished.

    Args:
        message: what happened to which.
        histories: of every run, in the order of the models; `ok` is False for those that diverged.
    """

    def __init__(self, message: str, histories: Sequence[History] = ()) -> None:
        super().__init__(message)
        self.histories = list(histories)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process with the histories."""
        return type(self), (*self.args, self.histories)
