"""Fit a surrogate for decisions: the training loop of `socicnn.training`, with the loss that a decision feels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from socicnn import training
from socicnn.training.history import History
from socicnn.training.losses import Loss


def fit(
    model: nn.Module,
    data: Any,
    *,
    loss: Loss | str | Callable[[Tensor, Tensor], Tensor] = "within_context",
    **options: Any,
) -> History:
    """Train a surrogate f(x, theta) in place on labelled candidates of many contexts; its best weights are kept.

    The default loss subtracts each context's mean first, because a decision does not depend on a context's level, which
    dominates the plain squared error.

    Args:
        model: a network called as `model(x, context)`.
        data: an object with x `(contexts, candidates, n)`, context `(contexts, p)` and y `(contexts, candidates)`.
        loss: `within_context`, `mse`, `smooth_l1`, a `Loss`, or a function of (prediction, target).
        options: those of `socicnn.training.fit`: epochs, batch_size, learning_rate, patience, checkpoint, seed, ...

    Returns:
        The history of the run.

    >>> import torch
    >>> from decision import tasks
    >>> from socicnn import SOCICNN
    >>> task = tasks.make("simplex_socp", features=3, seed=0)
    >>> model = SOCICNN(3, (8,), context_features=8)
    >>> fit(model, task.sample(contexts=20, candidates=8, seed=1), epochs=2, progress=False).epochs
    2
    """
    return training.fit(model, data, loss=loss, **options)
