"""Fit many densities of one architecture at once: the seeds of one arm of an experiment are small networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from socicnn._moved import with_moved, with_renamed
from socicnn._registry import of_kind
from socicnn.density._base import Density
from socicnn.density._modules import ConvexModule
from socicnn.density._rule import Nodes, Rule
from socicnn.density._runs import DensityOptions, DensityRun, settings
from socicnn.density._targets import Law
from socicnn.errors import ModelError
from socicnn.nn._network import Network
from socicnn.training._history import History
from socicnn.training._loop import train
from socicnn.training._stacked import SideBySide, check_distinct, clipped


def fit_stacked(
    models: Sequence[Density],
    data: Law | Any | Sequence[Any],
    *,
    seeds: Sequence[int | torch.Generator] | None = None,
    steps: int = 3000,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    rule: Rule | None = None,
    note_every: int = 50,
    progress: bool = False,
    options: DensityOptions = DensityOptions(),  # noqa: B008 (frozen)
    **moved: Any,
) -> list[History]:
    """Fit many densities of one architecture and recipe at once: what `fit` does to each with its seed, to rounding.

    Their parameters are stacked and every step is one batched computation; each has batches, a gradient norm and a
    recipe's state of its own, so that one that diverges leaves the others unchanged.

    Args:
        models: the models, trained in place.
        data: as in `fit`; or the training points of each model, a sequence of tensors of equal shape.
        seeds: seeds, or generators, of the batches of each model; defaults to 0, 1, ....
        steps: number of steps.
        batch_size: points per step and model.
        learning_rate: step size of Adam.
        rule: as in `fit`.
        note_every: steps between two notes of the objectives.
        progress: whether to show a progress bar, if there is a terminal to show it on.
        options: as in `fit`, without `on_step`; `clip` limits the gradient of each model.
        moved: `clip` by keyword, and `batch`, now `batch_size`; deprecated.

    Returns:
        The history of each model; its seconds are an equal share of the time that the steps took.

    Raises:
        ModelError: models that differ in more than their values, a recipe whose state is not kept in tensors, or
            invalid settings or data.
    """
    models = list(models)
    _alike(models)
    seeds = list(range(len(models))) if seeds is None else list(seeds)
    sources = _sources(data, len(models))
    if len(seeds) != len(models) or len(sources) != len(models):
        raise ModelError(
            f"{len(models)} models need one seed and one set of points each; received {len(seeds)} and {len(sources)}"
        )
    batch_size = with_renamed(batch_size, moved, "batch", "batch_size", function="fit_stacked")
    options = with_moved(of_kind("options", options, DensityOptions), moved, function="fit_stacked", argument="options")
    if options.on_step is not None:
        raise ModelError("on_step is not for stacked models; fit them one by one, or leave it out")
    shared = settings(models[0], sources[0], steps, batch_size, learning_rate, rule, note_every, options)
    runs = [DensityRun(model, source, shared, seed) for model, source, seed in zip(models, sources, seeds, strict=True)]
    train(_DensityStack(runs), epochs=len(shared.noted), description=options.description, progress=progress)
    return [run.history for run in runs]


@final
class _DensityStack:
    """Takes the steps of all runs at once; they all end at the same step."""

    def __init__(self, runs: list[DensityRun]) -> None:
        self.runs, self.settings = runs, runs[0].settings
        for run in runs:
            run.model.train()
        self.densities = SideBySide([run.model for run in runs])
        self.optimiser = torch.optim.Adam([self.densities.flat], lr=self.settings.learning_rate, fused=True)

    def epoch(self) -> list[float]:
        """Take the steps of the next block; return the objective of each run at the last one."""
        objective = torch.empty(0)
        for _ in self.runs[0].block:
            objective = self._step()
        return [float(value) for value in objective]

    def _step(self) -> Tensor:
        x, densities = torch.stack([run.batches.next() for run in self.runs]), self.densities
        nodes, stacked = _nodes([run.batches.rule() for run in self.runs])
        objectives = torch.func.vmap(self._objective, in_dims=(0, 0, 0, stacked), randomness="different")
        objective, total = objectives(*densities.tensors, x, nodes)
        (gradient,) = torch.autograd.grad(total.sum(), densities.flat)
        densities.flat.grad = clipped(gradient, self.settings.options.clip)
        self.optimiser.step()
        with torch.no_grad():
            densities.after_step()
        return objective.detach()

    def _objective(
        self, row: Tensor, others: tuple[Tensor, ...], x: Tensor, nodes: Nodes | None
    ) -> tuple[Tensor, Tensor]:
        """Return the objective of one model at its batch, and the objective plus the penalty."""
        model = self.densities.placed(row, others)
        model.condition(x)
        objective = model.objective(x, nodes)
        return objective, objective + model.penalty()

    def keep(self, runs: list[DensityRun]) -> None:
        """Go on, or write the tensors of each run into its model."""
        if not runs:
            self.densities.write([run.model for run in self.runs])
        self.runs = runs


def _sources(data: Any, count: int) -> list[Any]:
    """Return the law or the points of each model; a sequence of tables means one table per model."""
    if isinstance(data, Law) or not isinstance(data, list | tuple) or np.ndim(data[0] if data else 0) < 2:
        return [data] * count
    return list(data)


def _nodes(rules: Sequence[Rule | None]) -> tuple[Nodes | None, int | None]:
    """Return the nodes of all models, and the axis that tells them apart: None if there is at most one rule."""
    first = rules[0]
    if first is None:
        return None, None
    if all(rule is first for rule in rules):
        return Nodes(first.nodes, first.log_weights), None
    present = [rule for rule in rules if rule is not None]
    return Nodes(torch.stack([r.nodes for r in present]), torch.stack([r.log_weights for r in present])), 0


def _alike(models: Sequence[Density]) -> None:
    check_distinct(models)
    kinds = [(type(model), model.settings(), [*map(_architecture, model.networks)]) for model in models]
    if any(kind != kinds[0] for kind in kinds[1:]):
        raise ModelError("stacked models must share architecture, recipe, type and settings; fit them apart")


def _architecture(network: Network | ConvexModule) -> tuple[object, ...]:
    """Return what two networks of one architecture have in common."""
    described = network.description() if isinstance(network, ConvexModule) else network.config()
    return type(network), described, network.dtype
