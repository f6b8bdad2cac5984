"""Fit a surrogate for decisions: the training loop of `socicnn.training`, with the loss that decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from socicnn import training
from socicnn.training._history import History
from socicnn.training._losses import Loss, LossName
from socicnn.training._options import FitOptions, accepts_moved_keywords


@accepts_moved_keywords
def fit(
    model: nn.Module,
    data: Any,
    *,
    loss: Loss | LossName | Callable[[Tensor, Tensor], Tensor] = "within_context",
    epochs: int = 200,
    learning_rate: float = 1e-2,
    batch_size: int | None = None,
    validation: float | Any = 0.1,
    seed: int | torch.Generator = 0,
    progress: bool = True,
    options: FitOptions | None = None,
) -> History:
    """Train a surrogate f(x, theta) in place on labelled candidates of many contexts; its best weights are kept.

    The default loss subtracts each context's mean first, because a decision does not depend on a context's level, which
    dominates the plain squared error.

    Args:
        model: a network called as `model(x, context)`.
        data: an object with x `(contexts, candidates, n)`, context `(contexts, p)` and y `(contexts, candidates)`.
        loss: `within_context`, `mse`, `smooth_l1`, a `Loss`, or a function of (prediction, target).
        epochs: passes over the data at most.
        learning_rate: step size at the start.
        batch_size: contexts per step; defaults to 16.
        validation: share of the contexts held out, or data to validate on; 0 for none (the last weights are kept).
        seed: seed, or generator, of the split and of the batches.
        progress: whether to show a progress bar, if there is a terminal to show it on.
        options: optimiser, schedule, early stopping, checkpoint, callbacks and more.

    Returns:
        The history of the run.

    Raises:
        ModelError: data or settings are invalid, the loss is no longer finite, or a checkpoint belongs to another run.
        FileError: a checkpoint cannot be read or written.

    >>> from decision import tasks
    >>> from socicnn import SOCICNN
    >>> task = tasks.make("simplex_socp", features=3, seed=0)
    >>> model = SOCICNN(3, (8,), context_features=8)
    >>> fit(model, task.sample(contexts=20, candidates=8, seed=1), epochs=2, progress=False).epochs
    2
    """
    return training.fit(
        model,
        data,
        loss=loss,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        validation=validation,
        seed=seed,
        progress=progress,
        options=options,
    )
