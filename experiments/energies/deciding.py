"""Decisions: as the paper takes them (projected Adam from a few starts), and certified."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import decision
from decision._options import MethodName
from experiments.baselines.seed.steps import seed_steps
from experiments.energies.problem import Problem
from socicnn._arrays import Array


@dataclass(frozen=True)
class Decided:
    """Decisions x `(contexts, n)`, their largest relative gap if it is known, and processor seconds per context."""

    x: Array
    gap: float | None
    seconds: float


class _Flat(nn.Module):
    """A network of flattened x."""

    def __init__(self, model: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.model, self.shape = model, shape

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        value: Tensor = self.model(x.reshape(*x.shape[:-1], *self.shape), context)
        return value


def by_steps(model: nn.Module, problem: Problem, theta: Tensor, seed: int) -> Decided:
    """Take the paper's steps; the first start is the centre of the box, the others are uniform."""
    steps, points, started = problem.steps, [], time.process_time()
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)  # kernels of images are faster so
    for batch in theta.split(problem.together):
        answer = seed_steps(
            _Flat(model, problem.shape),
            problem.box,
            batch,
            rate=steps.rate,
            steps=steps.steps,
            restarts=steps.restarts,
            seed=seed,
            dtype=steps.dtype,
        )
        points.append(answer.x.double().numpy())
    return Decided(np.concatenate(points), None, (time.process_time() - started) / len(theta))


def certified(model: Any, problem: Problem, theta: Tensor, rtol: float, method: MethodName | None = None) -> Decided:
    """Decide to a proven relative gap, by the problem's method if it is omitted."""
    points, gaps, started = [], [], time.process_time()
    decider = decision.Decider(model, problem.box, rtol=rtol, method=method or problem.method)
    for batch in theta.split(problem.together):
        answer = decider(batch)
        points.append(answer.x.numpy())
        gaps.append(float(answer.relative_gap.max()))
    return Decided(np.concatenate(points), max(gaps), (time.process_time() - started) / len(theta))
