"""What a training run leaves behind, beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """The course of a run, one entry an epoch.

    Args:
        train: mean training loss of each epoch, standardised units.
        validation: validation loss after each epoch; empty without validation.
        best_epoch: epoch (from 1) whose weights were kept, 0 before the first.
        seconds: time spent training, over all parts of an interrupted run.
        resumed: epochs that were read from a checkpoint.
        stopped_early: whether patience ended the run.
        polish: losses seen during the finish by L-BFGS, every tenth iteration.
    """

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    resumed: int = 0
    stopped_early: bool = False
    polish: list[float] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Number of epochs run."""
        return len(self.train)

    def __str__(self) -> str:
        """Return one sentence for a reader."""
        kept = f"{self.epochs} epochs in {self.seconds:.1f} s, weights of epoch {self.best_epoch} kept"
        losses = self.validation or self.train
        what = "validation" if self.validation else "training"
        if not losses:
            return kept
        after = f", {min(self.polish):.3g} at best after polishing" if self.polish else ""
        return f"{kept}, {what} loss {losses[self.best_epoch - 1]:.3g}{after}"
