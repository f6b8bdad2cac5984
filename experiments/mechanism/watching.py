"""Train the energies of some seeds at once, as the positivity experiment does, and watch the weights before read-out.

At every step: raw (what the read-out reads) and the gradient of the slack b, before it is clipped, for the trailing
window of the cross-covariance. Every few steps: a snapshot for the shoulder statistics of each seed, of the weights of
that step's batch, and of those of one fixed batch, which move with the parameters alone.
"""

from __future__ import annotations

import copy
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from experiments.engine.tables import Row
from experiments.mechanism.numbers import rounded
from experiments.mechanism.probing import PROBES, probed
from experiments.positivity.jobs import BATCHES, TRAINING, generator, start
from socicnn.density import DensityOptions, Energy, Target
from socicnn.density import target as make_target
from socicnn.density._rule import Nodes
from socicnn.density._runs import Batches, settings
from socicnn.positivity.diagnostics import ShoulderStatistics, cross_covariance
from socicnn.positivity.diagnostics._raws import raw_vector, read_outs, slack_of

WINDOW = 32  # steps of the trailing window
FIXED = 1024  # points of the batch that does not change
EVERY = 20  # steps between two snapshots of the shoulder


def watched(
    law: str,
    start_from: str,
    arm: str,
    *,
    recipe: Mapping[str, Any],
    learning_rate: float,
    hidden: Sequence[int],
    seeds: Sequence[int],
    steps: int,
    batch: int,
    probes: int,
    version: int,
) -> list[Row]:
    """Train one energy per seed, and return its readings: one row per seed and noted step, and those of the probes.

    Args:
        law: name of the target.
        start_from: law of the weights at the start, or `seed` (the start of the lift's authors).
        arm: name of the arm; it is kept in the rows.
        recipe: {"given": short name, setting: value}.
        learning_rate: step size of Adam.
        hidden: widths of the energies.
        seeds: the seeds, those of the positivity experiment.
        steps: number of steps.
        batch: points per step.
        probes: fresh batches that weights that read the batch are probed on, after a sixth of the steps and at the end.
        version: goes up when this function changes.
    """
    target = make_target(law)
    stack = _Stack([start(1, hidden, recipe, start_from, seed) for seed in seeds], target, learning_rate, batch, seeds)
    noted = {step for step in range(1, steps + 1) if step % max(steps // 30, 10) == 0}
    noted |= {step for step in (20, 40, 60, 80) if step <= steps}
    rows: list[Row] = []
    for step in range(1, steps + 1):
        stack.step(step)
        if step in noted:
            rows += [{"study": "training", "seed": seed, **row} for seed, row in zip(seeds, stack.rows(), strict=True)]
        if stack.reads and step in (steps // 6, steps):
            for index, seed in enumerate(seeds):
                draws = generator(seed, PROBES)
                reading = probed(
                    stack.model(index), target, probes, batch, draws, curvature=step == steps and bool(stack.slacks)
                )
                rows.append({"study": "probe", "seed": seed, "step": step, **reading})
    return rows


class _Stack:
    """Energies of one architecture, their parameters stacked, and what is watched of each."""

    def __init__(
        self, models: Sequence[Energy], target: Target, learning_rate: float, batch: int, seeds: Sequence[int]
    ) -> None:
        self.models = models
        for model in models:
            model.train()
        shared = settings(models[0], target, 1, batch, learning_rate, None, 1, DensityOptions())
        assert shared.rule is not None
        self.nodes = Nodes(shared.rule.nodes, shared.rule.log_weights)
        self.batches = [Batches(target, shared, generator(seed, BATCHES)) for seed in seeds]
        self.state, self.buffers = stack_module_state(list(models))
        self.parameters = list(self.state.values())
        self.optimiser = torch.optim.Adam(self.parameters, lr=learning_rate, fused=True)
        self.slacks = [f"{name}.b" for name, holder in read_outs(models[0]) if slack_of(holder) is not None]
        encoders = [getattr(holder, "encoder", None) for _, holder in read_outs(models[0])]
        self.reads = any(encoder is not None and encoder.conditioning != "constant" for encoder in encoders)
        self.objective_of = torch.func.vmap(_call(_Watched(copy.deepcopy(models[0]))), in_dims=(0, 0, 0, None))
        self.window: deque[tuple[Tensor, Tensor]] = deque(maxlen=WINDOW)
        self.statistics, self.still = ([ShoulderStatistics(every=EVERY) for _ in models] for _ in range(2))
        self.fixed = torch.stack([target.sample(FIXED, generator(seed, TRAINING)) for seed in seeds])
        self.raw_of = torch.func.vmap(_call(_Raw(copy.deepcopy(models[0]))))
        self.read_until = 0  # snapshots that rows have told of
        self.at = 0
        self.raw = torch.empty(0)

    def step(self, step: int) -> None:
        """Take a step of all energies, and record what is watched."""
        x = torch.stack([batches.next() for batches in self.batches])
        self.optimiser.zero_grad(set_to_none=True)
        objective, self.raw = self.objective_of(self.state, self.buffers, x, self.nodes)
        objective.sum().backward()
        self.objective = objective.detach()
        if self.reads and self.slacks:
            slacks = [self.state[name] for name in self.slacks]
            gradients = [slack.grad for slack in slacks if slack.grad is not None]
            self.window.append((self.raw - _flat([slack.detach() for slack in slacks]), _flat(gradients)))
        _clip(self.parameters)
        self.optimiser.step()
        self.at = step
        if step % EVERY == 0:
            still = self.raw_of(self.state, self.buffers, self.fixed) if self.reads else self.raw
            for statistics, raws in ((self.statistics, self.raw), (self.still, still)):
                for each, raw in zip(statistics, raws, strict=True):
                    each.record(step, raw)

    def rows(self) -> list[Row]:
        """Return the readings of each energy since the last call."""
        rows = []
        for index, (statistics, raw) in enumerate(zip(self.statistics, self.raw, strict=True)):
            norm, trace = 0.0, 0.0  # identically, where nothing reads the batch or there is no slack
            if self.window:
                norm, trace = cross_covariance(*(torch.stack([pair[k][index] for pair in self.window]) for k in (0, 1)))
            low, middle = np.quantile(raw.numpy(), (0.05, 0.5))
            last = slice(self.read_until, None)
            rows.append(
                rounded(
                    step=self.at,
                    objective=float(self.objective[index]),
                    norm=norm,
                    trace=trace,
                    least=float(raw.min()),
                    low=float(low),
                    median=float(middle),
                    occupancy=float((raw < statistics.threshold).double().mean()),
                    entry=_mean(statistics.entry[last]),
                    leave=_mean(statistics.leave[last]),
                    leave_still=_mean(self.still[index].leave[last]),
                    dwell=statistics.dwell,
                )
            )
        self.read_until = len(self.statistics[0].steps)
        return rows

    @torch.no_grad()
    def model(self, index: int) -> Energy:
        """Return one of the energies as it is now."""
        model = copy.deepcopy(self.models[index])
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            tensor.copy_({**self.state, **self.buffers}[name][index])
        return model


class _Raw(nn.Module):
    """What the read-outs of one energy read for a batch, for `functional_call`."""

    def __init__(self, model: Energy) -> None:
        super().__init__()
        self.model, self.holders = model, read_outs(model)

    def forward(self, x: Tensor) -> Tensor:
        self.model.condition(x)
        return raw_vector(self.holders)


class _Watched(nn.Module):
    """The objective of one energy at its batch, beside what its read-outs read, for `functional_call`."""

    def __init__(self, model: Energy) -> None:
        super().__init__()
        self.model, self.holders = model, read_outs(model)

    def forward(self, x: Tensor, nodes: Nodes) -> tuple[Tensor, Tensor]:
        self.model.condition(x)
        return self.model.objective(x, nodes), raw_vector(self.holders)


def _call(module: nn.Module) -> Any:
    def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *arguments: Any) -> Any:
        named = {f"model.{name}": tensor for name, tensor in {**parameters, **buffers}.items()}
        return functional_call(module, named, arguments)

    return call


def _clip(parameters: Sequence[Tensor], most: float = 1.0) -> None:
    """Scale the gradient of each energy to a norm of at most `most`, as `clip_grad_norm_` does for one."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    factor = (most / (torch.linalg.vector_norm(_flat(gradients), dim=1) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.reshape(-1, *[1] * (gradient.ndim - 1)))


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return stacked tensors side by side, shape `(seeds, entries)`."""
    return torch.cat([tensor.reshape(len(tensor), -1) for tensor in tensors], dim=1)


def _mean(rates: np.ndarray[Any, Any]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no snapshot, or no weight inside: the rate is not known
        return float(np.nanmean(rates))
