"""One loop for all methods: the same predictor, optimiser, batches and checks; only the loss differs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from experiments.predict_then_optimize import ours, theirs
from experiments.predict_then_optimize.problems import Problem
from experiments.predict_then_optimize.theirs import Split

Loss = Callable[[Tensor, tuple[Tensor, Tensor, Tensor]], Tensor]  # features; coefficients, best x, best value

OURS = ("values", "layer", "both")
BATCH, EVERY = 20, 50  # rows of a step; steps between two checks
LAYER_BATCH, LAYER_STEPS, LAYER_EVERY = 8, 40, 10  # the same where a layer decides, which is dearer
LAYER_RATE = 5.0  # of the learning rate, as its steps are few
LATER, SHARE = 0.3, 0.5  # of the learning rate and of the steps, for what comes after the values


class Trained(NamedTuple):
    """The predictor with the least validation regret of all checks, and that regret."""

    regret: float
    predictor: nn.Module


def predictor_of(features: int, outputs: int, hidden: int) -> nn.Module:
    """Return a linear predictor, or one with a hidden layer of ReLU units."""
    if not hidden:
        return nn.Linear(features, outputs)
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def train(method: str, problem: Problem, split: Split, configuration: dict[str, Any], steps: int, seed: int) -> Trained:
    """Train a predictor by a method.

    Args:
        method: one of `theirs.NAMES` or `OURS`.
        problem: what is decided.
        split: its data.
        configuration: `hidden`, the width, and `rate`, the learning rate.
        steps: of the optimiser; a layer takes LAYER_STEPS.
        seed: of weights and batches.
    """
    torch.manual_seed(seed)
    predictor, rate = (
        predictor_of(problem.X.shape[1], problem.C.shape[1], configuration["hidden"]),
        configuration["rate"],
    )
    if method in theirs.NAMES:
        loss = theirs.loss_of(method, split, seed)
        return _descended(predictor, split, lambda x, label: loss(predictor(x), label), (rate, steps, BATCH, EVERY))
    usual = (rate, steps, BATCH, EVERY)
    if method == "layer":
        cost = ours.decisions_loss(problem, predictor)
        settings = (LAYER_RATE * rate, min(steps, LAYER_STEPS), LAYER_BATCH, LAYER_EVERY)
        return _descended(predictor, split, lambda x, label: cost(x, label[0]), settings)
    values = ours.values_loss(problem, seed)
    first = _descended(predictor, split, lambda x, label: values(predictor(x), label[0]), usual)
    if method == "values":
        return first
    later = copy.deepcopy(first.predictor)
    cost = ours.focused_loss(problem, later)
    second = _descended(
        later,
        split,
        lambda x, label: cost(x, label[0]) + values(later(x), label[0]),
        (LATER * rate, int(SHARE * steps), BATCH, EVERY),
    )
    return min(first, second, key=lambda trained: trained.regret)


def _descended(predictor: nn.Module, split: Split, loss: Loss, settings: tuple[float, int, int, int]) -> Trained:
    """Descend by Adam; settings are learning rate, steps, rows of a step, steps between two checks."""
    rate, steps, rows, every = settings
    optimiser = torch.optim.Adam(predictor.parameters(), lr=rate)
    batches = DataLoader(split.train, batch_size=rows, shuffle=True, drop_last=len(split.train) >= rows)
    best, step = Trained(float("inf"), predictor), 0
    while step < steps:
        for x, *label in batches:
            optimiser.zero_grad()
            loss(x, tuple(label)).backward()
            optimiser.step()
            step += 1
            if step % every == 0 or step == steps:
                checked = theirs.regret(predictor, split.valid)
                if checked < best.regret:
                    best = Trained(checked, copy.deepcopy(predictor))
            if step == steps:
                break
    return best
