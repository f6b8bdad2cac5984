"""Fit a network by mini-batches of contexts, with validation, early stopping and resumable checkpoints."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from socicnn.errors import ModelError
from socicnn.integers import as_integer
from socicnn.registry import choose
from socicnn.training.history import History
from socicnn.training.losses import Loss, make_loss
from socicnn.training.run import OPTIMISERS, SCHEDULES, Run


def fit(
    model: nn.Module,
    data: Any,
    *,
    loss: Loss | str | Callable[[Tensor, Tensor], Tensor] = "mse",
    epochs: int = 200,
    batch_size: int | None = None,
    learning_rate: float = 1e-2,
    weight_decay: float = 0.0,
    optimiser: str = "adam",
    schedule: str = "cosine",
    clip: float | None = None,
    validation: float | Any = 0.1,
    patience: int | None = None,
    polish: int = 0,
    standardise: bool = True,
    seed: int | torch.Generator = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 10.0,
    progress: bool = True,
    description: str = "fit",
    on_step: Callable[[int, nn.Module], None] | None = None,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train a network in place and leave it with its best weights.

    A network whose weights need data to end (the lift) is conditioned on every batch; call `model.finalise` afterwards.

    Args:
        model: a network of `socicnn.nn`, or any module called as `model(x, context)`; the hooks `standardise`,
            `condition`, `penalty` and `after_step` are used where it has them.
        data: an object with x, y and perhaps context, or (x, y), or (x, context, y). Either several candidates a
            context, x `(contexts, candidates, n)`, context `(contexts, p)`, y `(contexts, candidates)`; or single
            points, x `(points, n)`, y `(points,)`.
        loss: `mse`, `smooth_l1`, `within_context`, a `Loss`, or a function of standardised (prediction, target).
        epochs: passes over the data at most.
        batch_size: contexts (or points) a step; 16 contexts, or 256 points, where None.
        learning_rate: step size at the start.
        weight_decay: as in the optimiser.
        optimiser: `adam`, `adamw` or `sgd`.
        schedule: `cosine` (to zero over the epochs) or `constant`.
        clip: largest norm of the whole gradient; None for no limit.
        validation: share of the contexts held out, or data to validate on; 0 for none (the last weights are kept).
        patience: epochs without a better validation loss before stopping; None to run all epochs.
        polish: iterations of L-BFGS on all data at once, in float64, after the last epoch; for small networks that are
            to be fitted to the last digit.
        standardise: whether to set the network's standardisation from the training data first (a constant feature
            keeps scale 1; the scale of y is such that predicting the mean has a loss of about one).
        seed: seed, or generator, of the split and of the batches; initial weights are the network's own matter.
        checkpoint: file to keep progress in; if it exists the run goes on from there, with the same result as a run
            that was never interrupted.
        checkpoint_seconds: least time between two checkpoints.
        progress: whether to show a progress bar, where there is a terminal to show it on.
        description: its label.
        on_step: called as `on_step(step, model)` after every step.
        on_epoch: called with the history after every epoch.

    Returns:
        The history.

    Raises:
        ModelError: data or settings that cannot be used, a loss that is no longer finite (the best weights so far are
            put back), or a checkpoint of another run.
        FileError: a checkpoint that cannot be read or written.

    >>> from socicnn import SOCICNN
    >>> x = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    >>> history = fit(SOCICNN(2, (8,)), (x, x.square().sum(dim=1)), epochs=5, progress=False)
    >>> history.epochs
    5
    """
    run = Run(
        model,
        data,
        make_loss(loss),
        validation,
        seed,
        checked_settings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            optimiser=optimiser,
            schedule=schedule,
            clip=clip,
            patience=patience,
            polish=polish,
            standardise=standardise,
        ),
    )
    run.open(checkpoint, checkpoint_seconds)
    bar = tqdm(
        total=epochs, initial=run.history.epochs, desc=description, unit="epoch", disable=None if progress else True
    )
    with bar:
        while not run.done:
            run.epoch(on_step)
            bar.update()
            bar.set_postfix_str(run.postfix())
            run.keep(checkpoint)
            if on_epoch is not None:
                on_epoch(run.history)
    run.close()
    if polish and not run.polished:
        with tqdm(
            total=polish, desc=f"{description}, polish", unit="iteration", disable=None if progress else True
        ) as bar:

            def tick(value: float) -> None:
                bar.update()
                bar.set_postfix_str(f"loss {value:.3g}")

            run.polish(polish, tick)
        run.keep(checkpoint)
    return run.history


def checked_settings(
    *,
    epochs: int,
    batch_size: int | None,
    learning_rate: float,
    weight_decay: float,
    optimiser: str,
    schedule: str,
    clip: float | None,
    patience: int | None,
    polish: int,
    standardise: bool,
) -> dict[str, Any]:
    """Return the settings of a run.

    Raises:
        ModelError: one of them cannot be; the message names it.
    """
    return {
        "epochs": as_integer("epochs", epochs),
        "batch_size": None if batch_size is None else as_integer("batch_size", batch_size),
        "learning_rate": _positive("learning_rate", learning_rate),
        "weight_decay": _least("weight_decay", weight_decay, 0.0),
        "optimiser": choose("optimiser", optimiser, OPTIMISERS),
        "schedule": choose("schedule", schedule, SCHEDULES),
        "clip": None if clip is None else _positive("clip", clip),
        "patience": None if patience is None else as_integer("patience", patience),
        "polish": as_integer("polish", polish, 0),
        "standardise": standardise,
    }


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ModelError(f"{name} must be a finite number > 0; received {value!r}")
    return value


def _least(name: str, value: float, least: float) -> float:
    if not least <= value < math.inf:
        raise ModelError(f"{name} must be a finite number >= {least:g}; received {value!r}")
    return value
