"""The training loop: epochs of one run, or of several side by side, until each has finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from socicnn._progress import Progress
from socicnn.errors import ModelError


class Course(Protocol):
    """One run: it judges each epoch, and ends by putting its best weights in place."""

    lost: bool

    @property
    def done(self) -> bool:
        """Whether training has finished."""

    def judge(self, loss: float, seconds: float) -> None:
        """End an epoch of this mean training loss; raise a ModelError if the run cannot continue."""

    def close(self) -> None:
        """Put the best weights in place."""

    def postfix(self) -> str:
        """Return the losses for the progress bar."""


C = TypeVar("C", bound=Course)


class StepTaker(Protocol[C]):
    """Takes the steps of an epoch for all runs that still train."""

    runs: list[C]

    def epoch(self) -> list[float]:
        """Run one epoch and leave the weights in the models; return the mean training loss of each run."""

    def keep(self, runs: list[C]) -> None:
        """Go on with some of the runs."""


def train(
    engine: StepTaker[C],
    *,
    epochs: int,
    done: int = 0,
    description: str = "fit",
    progress: bool = True,
    after_epoch: Callable[[C], None] | None = None,
) -> list[str]:
    """Train until every run has finished or is lost, and put the best weights of each in place.

    Args:
        engine: takes the steps.
        epochs: epochs at most, for the progress bar.
        done: epochs already finished, for the progress bar.
        description: its label.
        progress: whether to show it, if there is a terminal.
        after_epoch: called with each run after each of its epochs, unless the run is lost.

    Returns:
        What went wrong, one sentence for each run that is lost.
    """
    runs: Sequence[C] = list(engine.runs)
    errors = list[str]()
    engine.keep([run for run in runs if not run.done])
    with Progress(epochs, description, "epoch", shown=progress, initial=done) as bar:
        while engine.runs:
            started = time.perf_counter()
            losses = engine.epoch()
            seconds = (time.perf_counter() - started) / len(engine.runs)
            for run, loss in zip(engine.runs, losses, strict=True):
                try:
                    run.judge(loss, seconds)
                except ModelError as error:
                    if not run.lost:  # what its model gives cannot be used; it did not diverge
                        raise
                    errors.append(str(error) if len(runs) == 1 else f"model {runs.index(run)}: {error}")
                    continue
                if after_epoch is not None:
                    after_epoch(run)
            engine.keep([run for run in engine.runs if not (run.done or run.lost)])
            bar.step(runs[0].postfix())
    for run in runs:
        run.close()
    return errors
