"""Fit a density by maximum likelihood; `socicnn.density.stacking` fits many at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from tqdm import tqdm

from socicnn.density.base import Density
from socicnn.density.integration import quadrature
from socicnn.density.points import as_tensor
from socicnn.density.rule import Rule
from socicnn.density.targets import Law, Target
from socicnn.errors import ModelError
from socicnn.integers import as_integer, as_seed

CHUNK = 64  # steps whose batches are drawn at once


@final
@dataclass(frozen=True, eq=False)
class Trace:
    """How a fit went.

    Args:
        steps: the steps at which the objective was noted.
        objective: the mean of -log p over the batch there, penalty not included, shape `(seeds, len(steps))`; not
            finite where a run went astray.
        seconds: time that it took, of all seeds together.
    """

    steps: list[int]
    objective: Tensor
    seconds: float


def fit(
    model: Density,
    data: Law | Any,
    *,
    seed: int | torch.Generator = 0,
    steps: int = 3000,
    batch: int = 256,
    learning_rate: float = 1e-3,
    clip: float | None = 1.0,
    rule: Rule | None = None,
    note_every: int = 50,
    on_step: Callable[[int, Density], None] | None = None,
    progress: bool = False,
) -> Trace:
    """Minimise the mean of -log p over mini-batches with Adam, in place; `model.finalise` ends it.

    Args:
        model: an energy or a flow, trained in place.
        data: a law, from which fresh points are drawn, or training points of shape `(count, n)`, a tensor or anything
            that NumPy reads as an array, from which batches are drawn with replacement.
        seed: seed, or generator, of the batches.
        steps: number of steps.
        batch: points per step.
        learning_rate: step size of Adam.
        clip: largest norm of the whole gradient; None for none.
        rule: the rule for log Z, drawn anew at each step where it is random; the quadrature on the target's window
            where None, or none where the model needs none.
        note_every: steps between two notes of the objective.
        on_step: called as `on_step(step, model)` after every step.
        progress: whether to show a progress bar.

    Raises:
        ModelError: settings or data that cannot be used.

    >>> from socicnn.density import Energy, target
    >>> energy = Energy.dense(1, (16,), generator=torch.Generator().manual_seed(0))
    >>> trace = fit(energy, target("gumbel"), steps=20, note_every=10)
    >>> trace.steps, bool(trace.objective[0, -1] < trace.objective[0, 0])
    ([10, 20], True)
    """
    run = settings(model, data, steps, batch, learning_rate, clip, rule, note_every)
    batches = Batches(data, run, seed)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate, fused=True)
    model.train()
    noted: list[Tensor] = []
    started = time.perf_counter()
    for step in tqdm(range(1, steps + 1), desc="fit", unit="step", disable=None if progress else True):
        x = batches.next()
        optimiser.zero_grad(set_to_none=True)
        model.condition(x)
        objective = model.objective(x, batches.rule())
        (objective + model.penalty()).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimiser.step()
        model.after_step()
        if step % note_every == 0 or step == steps:
            noted.append(objective.detach())
        if on_step is not None:
            on_step(step, model)
    model.eval()
    return Trace(run.noted, torch.stack(noted)[None].double(), time.perf_counter() - started)


@final
@dataclass(frozen=True, eq=False)
class Settings:
    """The settings of a run, checked.

    Args:
        features: dimension of the points.
        dtype: floating type of the model.
        device: where it lives.
        batch: points per step.
        rule: the rule for log Z, or None.
        noted: steps at which the objective is noted.
    """

    features: int
    dtype: torch.dtype
    device: torch.device
    batch: int
    rule: Rule | None
    noted: list[int]


def settings(
    model: Density,
    data: Law | Any,
    steps: int,
    batch: int,
    learning_rate: float,
    clip: float | None,
    rule: Rule | None,
    note_every: int,
) -> Settings:
    """Return the settings of a run, or raise a ModelError that names the one that cannot be used."""
    for name, value in (("steps", steps), ("batch", batch), ("note_every", note_every)):
        as_integer(name, value)
    for name, number in (("learning_rate", learning_rate), ("clip", clip)):
        if number is not None and not 0 < number < math.inf:
            raise ModelError(f"{name} must be a finite number > 0; received {number!r}")
    dtype, device = model.network.dtype, model.network.device
    if rule is None and not model.normalised:
        if not isinstance(data, Target):
            raise ModelError(
                "points have no window of their own: give `rule=quadrature(lower, upper)`, or `rule=importance(points)`"
            )
        rule = quadrature(data.lower, data.upper, dtype=dtype, device=device)
    if rule is not None and (rule.nodes.shape[1] != model.features or rule.nodes.dtype != dtype):
        raise ModelError(
            f"the rule has nodes of dimension {rule.nodes.shape[1]} and type {rule.nodes.dtype}, the model "
            f"{model.features} and {dtype}"
        )
    noted = [step for step in range(1, steps + 1) if step % note_every == 0 or step == steps]
    return Settings(model.features, dtype, device, batch, rule, noted)


@final
class Batches:
    """The batches of one run, drawn some steps ahead.

    Args:
        data: a law, or points of shape `(count, n)`, a tensor or anything that NumPy reads as an array.
        run: the run's settings.
        seed: seed, or generator, on the CPU.

    Raises:
        ModelError: points, or a law, of another dimension than the model; points that are not finite numbers, or
            that lie outside the box of a quadrature.
    """

    def __init__(self, data: Law | Any, run: Settings, seed: int | torch.Generator) -> None:
        if isinstance(data, Law):
            if data.features != run.features:
                raise ModelError(f"law '{data.name}' has {data.features} dimensions, the model {run.features}")
            self.data: Law | Tensor = data
        else:
            self.data = as_tensor(data, run.features, dtype=run.dtype, device=run.device)
            if run.rule is not None:
                run.rule.check(self.data)
        self.run = run
        if not isinstance(seed, torch.Generator):
            seed = torch.Generator().manual_seed(as_seed("seed", seed))
        self.generator = seed
        self.ahead: list[Tensor] = []

    def next(self) -> Tensor:
        """Return the next batch, shape `(batch, n)`."""
        if not self.ahead:
            shape = (CHUNK, self.run.batch)
            if isinstance(self.data, Law):
                drawn = self.data.sample(CHUNK * self.run.batch, self.generator, self.run.dtype, self.run.device)
                self.ahead = list(drawn.reshape(*shape, self.run.features))
            else:
                rows = torch.randint(len(self.data), shape, generator=self.generator)
                self.ahead = list(self.data[rows.to(self.run.device)])
            self.ahead.reverse()
        return self.ahead.pop()

    def rule(self) -> Rule | None:
        """Return the rule for the next step."""
        return None if self.run.rule is None else self.run.rule.draw(self.generator)
