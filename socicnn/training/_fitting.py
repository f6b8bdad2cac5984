"""Fit a network by mini-batches of contexts, with validation, early stopping and resumable checkpoints."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import nn

from socicnn._progress import Progress
from socicnn.positivity._base import act_after_step, penalty_of
from socicnn.training._history import DivergedError, History
from socicnn.training._loop import train
from socicnn.training._losses import AnyLoss
from socicnn.training._options import FitOptions, accepts_moved_keywords, run_settings
from socicnn.training._run import Run


@accepts_moved_keywords
def fit(
    model: nn.Module,
    data: Any,
    *,
    loss: AnyLoss = "auto",
    epochs: int = 200,
    learning_rate: float = 1e-2,
    batch_size: int | None = None,
    validation: float | Any = 0.1,
    seed: int | torch.Generator = 0,
    progress: bool = True,
    options: FitOptions | None = None,
) -> History:
    """Train a network in place and leave it with its best weights.

    The network stores the ranges of the data in `ranges`. A network whose weights are finalised with data (the lift) is
    conditioned on every batch; call `model.finalise` afterwards.

    Args:
        model: a network of `socicnn.nn`, or any module called as `model(x, context)` that gives one value per point,
            in the shape of y; the hooks `standardise`, `condition`, `penalty` and `after_step` are used if it has them.
            In a module around a network of `socicnn.nn` that network's recipe acts; nothing is standardised there.
            Parameters that are tagged as non-negative need an `after_step`, or a `HyperNetwork` around the module.
        data: an object with x, y and perhaps context, or (x, y), or (x, context, y). Either several candidates per
            context, x `(contexts, candidates, n)`, context `(contexts, p)`, y `(contexts, candidates)`; or single
            points, x `(points, n)`, y `(points,)`. `Data(x, context, y, gradient, weight)` has labels of the
            gradient of f in x too, and weights of the values.
        loss: `auto`, `mse`, `smooth_l1`, `huber`, `quantile`, `within_context`, a `Loss`, or a function of standardised
            (prediction, target). `auto` is `within_context` where each context has equally many points, two or more,
            else `mse`; the history says which, and why. Both `auto` and `within_context` gather single points by their
            contexts, which are equal within 8 roundings of a column's range; `auto` does so from 160 contexts on.
        epochs: passes over the data at most.
        learning_rate: step size at the start.
        batch_size: contexts (or points) per step; defaults to 16 contexts, or to a 32nd of the points,
            between 16 and 256.
        validation: share of the contexts held out, or data to validate on; 0 for none (the last weights are kept).
        seed: seed, or generator, of the split and of the batches; initial weights are the network's own matter.
        progress: whether to show a progress bar, in a terminal or a notebook. The logger `socicnn` gets a line every
            ten seconds at level INFO in any case.
        options: optimiser, schedule, early stopping, checkpoint, callbacks and more; see `FitOptions`.

    Returns:
        The history.

    Raises:
        ModelError: data or settings are invalid, a frame has other columns than the model was trained with, or a
            checkpoint belongs to another run.
        DivergedError: the loss is no longer finite; the best weights so far are back in place.
        FileError: a checkpoint cannot be read or written.

    >>> from socicnn import SOCICNN
    >>> x = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    >>> data = (x, x.square().sum(dim=1))
    >>> history = fit(SOCICNN(2, (8,)), data, epochs=5, progress=False, options=FitOptions(patience=3))
    >>> history.epochs
    5
    """
    options = options or FitOptions()
    run = Run(model, data, loss, validation, seed, run_settings(options, epochs, batch_size, learning_rate))
    run.divide(options.micro_batch)
    run.open(options.checkpoint, options.checkpoint_seconds)

    def after_epoch(run: Run) -> None:
        run.keep(options.checkpoint)
        if options.on_epoch is not None:
            options.on_epoch(run.history)

    errors = train(
        _SingleEngine(run, options.on_step),
        epochs=run.settings["epochs"],
        done=run.history.epochs,
        description=options.description,
        progress=progress,
        after_epoch=after_epoch,
    )
    if errors:
        raise DivergedError(errors[0], [run.history])
    if run.settings["polish"] and not run.polished:
        _polish(run, options, progress)
    return run.history


def _polish(run: Run, options: FitOptions, progress: bool) -> None:
    """Finish a run by L-BFGS, with a progress bar."""
    label, iterations = f"{options.description}, polish", run.settings["polish"]
    with Progress(iterations, label, "iteration", shown=progress) as bar:
        run.polish(iterations, lambda value: bar.step(f"loss {value:.3g}"))
    run.keep(options.checkpoint)


@final
class _SingleEngine:
    """Takes the steps of one run, by torch's own optimisers."""

    def __init__(self, run: Run, on_step: Any = None) -> None:
        self.runs, self.on_step = [run], on_step

    def epoch(self) -> list[float]:
        """Run one pass over the training data; return its mean loss."""
        (run,) = self.runs
        model: Any = run.model
        for group in run.optimiser.param_groups:
            group["lr"] = run.rate()
        shuffled = run.shuffled()
        total = torch.zeros((), dtype=torch.float64, device=run.device)
        model.train()
        for first in range(0, len(shuffled), run.batch_size):
            batch = shuffled[slice(first, first + run.batch_size)]
            run.optimiser.zero_grad(set_to_none=True)
            run.frame.condition(model, batch.x, batch.aligned())
            loss = run.differentiate(batch, lambda: penalty_of(model))
            if run.settings["clip"] is not None:
                nn.utils.clip_grad_norm_(run.parameters, run.settings["clip"])
            run.optimiser.step()
            act_after_step(model)
            total += loss * len(batch)
            run.steps += 1
            if self.on_step is not None:
                self.on_step(run.steps, model)
        return [float(total) / len(shuffled)]

    def keep(self, runs: list[Run]) -> None:
        """Go on, or stop."""
        self.runs = runs
