"""The picture of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from socicnn._figures import new_figure

if TYPE_CHECKING:
    from socicnn.training._history import History


def draw(history: History, axes: Any = None) -> Any:
    """Draw training and validation losses, the kept epoch, and the finish by L-BFGS; return the axes."""
    if axes is None:
        axes = new_figure(6, 3.5).add_subplot()
    epochs = range(1, len(history.train) + 1)
    axes.plot(epochs, history.train, label="training")
    losses = history.validation or history.train
    if history.validation:
        axes.plot(epochs, history.validation, label="validation")
    if history.best_epoch:
        axes.plot(history.best_epoch, losses[history.best_epoch - 1], "o", color="black", label="kept")
    if history.polish:
        axes.axhline(min(history.polish), linestyle=":", color="black", label="after L-BFGS")
    axes.set(xlabel="epoch", ylabel="loss, standardised units", yscale="log")
    axes.legend()
    return axes
