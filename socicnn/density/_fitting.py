"""Fit a density by maximum likelihood; `socicnn.density._stacking` fits many at once."""

from __future__ import annotations

import warnings
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from socicnn._moved import with_moved, with_renamed
from socicnn._registry import of_kind
from socicnn.density._base import Density
from socicnn.density._rule import Rule
from socicnn.density._runs import DensityOptions, DensityRun, settings
from socicnn.density._targets import Law
from socicnn.training._history import History
from socicnn.training._loop import train


def fit(
    model: Density,
    data: Law | Any,
    *,
    seed: int | torch.Generator = 0,
    steps: int = 3000,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    rule: Rule | None = None,
    note_every: int = 50,
    progress: bool = False,
    options: DensityOptions = DensityOptions(),  # noqa: B008 (frozen)
    **moved: Any,
) -> History:
    """Minimise the mean of -log p over mini-batches with Adam, in place; `model.finalise` ends it.

    Args:
        model: an energy or a flow, trained in place.
        data: a law, from which fresh points are drawn, or training points of shape `(count, n)`, a tensor or anything
            that NumPy reads as an array, from which batches are drawn with replacement.
        seed: seed, or generator, of the batches.
        steps: number of steps.
        batch_size: points per step.
        learning_rate: step size of Adam.
        rule: the rule for log Z, redrawn at each step if it is random; defaults to the quadrature on the target's
            window. A model that needs no rule needs none.
        note_every: steps between two notes of the objective.
        progress: whether to show a progress bar, if there is a terminal to show it on.
        options: limit of the gradient, callback and more; see `DensityOptions`.
        moved: `clip` and `on_step` by keyword, and `batch`, now `batch_size`; deprecated.

    Returns:
        The history. Its epochs are blocks of `note_every` steps (the last may be shorter); `train` holds the mean of
        -log p over the batch at the last step of each, penalty not included.

    Raises:
        ModelError: settings or data are invalid; the message names rows that are not finite.

    >>> from socicnn.density import Energy, target
    >>> energy = Energy.dense(1, (16,), generator=torch.Generator().manual_seed(0))
    >>> history = fit(energy, target("gumbel"), steps=20, note_every=10)
    >>> history.epochs, history.train[-1] < history.train[0]
    (2, True)
    """
    batch_size = with_renamed(batch_size, moved, "batch", "batch_size", function="fit")
    options = with_moved(of_kind("options", options, DensityOptions), moved, function="fit", argument="options")
    run = DensityRun(
        model, data, settings(model, data, steps, batch_size, learning_rate, rule, note_every, options), seed
    )
    epochs = len(run.settings.noted)
    train(_DensityEngine(run), epochs=epochs, description=options.description, progress=progress)
    return run.history


@final
class _DensityEngine:
    """Takes the steps of one run with Adam."""

    def __init__(self, run: DensityRun) -> None:
        self.runs = [run]
        self.parameters = [parameter for parameter in run.model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.Adam(self.parameters, lr=run.settings.learning_rate, fused=True)
        run.model.train()

    def epoch(self) -> list[float]:
        """Take the steps of the next block; return the objective at the last one."""
        (run,) = self.runs
        model, options = run.model, run.settings.options
        objective = torch.empty(())
        for step in run.block:
            objective = self._step(run)
            if options.on_step is not None:
                options.on_step(step, model)
        return [float(objective)]

    def _step(self, run: DensityRun) -> Tensor:
        x = run.batches.next()
        self.optimiser.zero_grad(set_to_none=True)
        run.model.condition(x)
        objective = run.model.objective(x, run.batches.rule())
        (objective + run.model.penalty()).backward()
        if run.settings.options.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, run.settings.options.clip)
        self.optimiser.step()
        run.model.after_step()
        return objective.detach()

    def keep(self, runs: list[DensityRun]) -> None:
        """Go on, or stop."""
        self.runs = runs


class Trace(History):
    """The name of `socicnn.training.History` here before 0.2.0; deprecated."""

    def __new__(cls, *arguments: Any, **settings: Any) -> Self:
        """Warn that the name is old."""
        warnings.warn("socicnn.density.Trace is now socicnn.training.History", DeprecationWarning, stacklevel=2)
        return super().__new__(cls)
