"""The job of the positivity experiment: fit the energies of some seeds of one arm at once, and judge each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.engine.cells import kept_as
from experiments.engine.tables import Row
from socicnn.density import (
    Energy,
    Quadrature,
    UnreliableEstimate,
    fit,
    fit_stacked,
    negative_log_likelihood,
    quadrature,
    total_variation,
)
from socicnn.density import target as make_target
from socicnn.nn import save
from socicnn.nn._network import Network
from socicnn.positivity import recipe as make_recipe

# generators of one seed: of the weights, of the batches, of the points that a lift ends on; held-out points are shared
WEIGHTS, BATCHES, TRAINING, HELD_OUT = 0, 1, 2, 3
SEED_START = "seed"  # the initialiser that is folded weights beside torch's own start of linear layers
FINE = {1: (60,), 2: (12, 8)}  # panels an axis of the quadrature that likelihoods are judged with


@kept_as("experiments.positivity_jobs.fit_block")
def fit_block(
    target: str,
    arm: str,
    initialiser: str,
    learning_rate: float,
    block: int,
    *,
    given: Mapping[str, Any],
    hidden: Sequence[int],
    seeds: Sequence[int],
    steps: int,
    batch: int,
    points: int,
    stacked: bool,
    models: str,
    version: int,
) -> list[Row]:
    """Fit one energy a seed, and return one row each.

    Args:
        target: name of the law.
        arm: name of the arm, for the model's file.
        initialiser: law of the weights at the start, or `seed`.
        learning_rate: step size of Adam.
        block: which block of seeds this is.
        given: the recipe, {"given": short name, setting: value}.
        hidden: widths.
        seeds: the seeds of the block.
        steps: number of steps.
        batch: points per step.
        points: number of points that a lift is finalised on, and of held-out points.
        stacked: whether the seeds are trained at once.
        models: folder where the finalised network of the experiment's first seed is kept.
        version: goes up when this function changes.
    """
    law = make_target(target)
    energies = [start(law.features, hidden, given, initialiser, seed) for seed in seeds]
    settings: dict[str, Any] = {
        "steps": steps,
        "batch_size": batch,
        "learning_rate": learning_rate,
        "note_every": steps,
    }
    batches = [generator(seed, BATCHES) for seed in seeds]
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seeds[0])  # noise on weights comes from torch's own generator, as dropout's does
        if stacked:
            seconds = [history.seconds for history in fit_stacked(energies, law, seeds=batches, **settings)]
        else:
            pairs = zip(energies, batches, strict=True)
            seconds = [fit(energy, law, seed=draws, **settings).seconds for energy, draws in pairs]
    rule = quadrature(law.lower, law.upper, FINE[law.features], dtype=torch.float64)
    held_out = law.sample(points, generator(0, HELD_OUT), torch.float64)
    rows: list[Row] = []
    for seed, energy, time in zip(seeds, energies, seconds, strict=True):
        data = law.sample(points, generator(seed, TRAINING)) if energy.needs_data else None
        plain = energy.finalise(data)
        if seed == 0:
            place = model_file(models, target, arm, initialiser, learning_rate)
            place.parent.mkdir(parents=True, exist_ok=True)
            save(plain.network, place)
        plain = plain.double()
        rows.append(
            {
                "seed": seed,
                "steps": steps,
                "tv": total_variation(plain, law),
                "nll": nats(plain, rule, held_out),
                "seconds": time,
            }
        )
    return rows


def nats(energy: Energy, rule: Quadrature, points: torch.Tensor) -> float:
    """Return the mean of -log q, q the energy's law cut to the window of the target, as total variation takes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableEstimate)  # after few steps much of the law lies outside the window
        return float(negative_log_likelihood(energy, rule, points))


def start(features: int, hidden: Sequence[int], given: Mapping[str, Any], initialiser: str, seed: int) -> Energy:
    """Return the energy of one seed at its start; every arm of a seed draws from the same generator."""
    draws = generator(seed, WEIGHTS)
    law = "folded" if initialiser == SEED_START else initialiser
    settings = dict(given)
    positivity = make_recipe(settings.pop("given"), **settings)
    energy = Energy.dense(features, hidden, positivity=positivity, initialiser=law, generator=draws)
    if initialiser == SEED_START:
        as_linear_layers(energy.network, draws)
    return energy


@torch.no_grad()
def as_linear_layers(network: Network, generator: torch.Generator) -> None:
    """Draw the maps of x anew as torch's linear layers start: U_k and b_1 uniform on +-1/sqrt(n).

    Their variance is a third of 1/n, which the folded law has otherwise; the folded weights are left as they are.
    """
    bound = 1 / math.sqrt(torch.Size(network.input_shape).numel())
    for name, parameter in network.named_parameters():
        if name.startswith("U.") or name.endswith(".b1"):
            parameter.uniform_(-bound, bound, generator=generator)


def generator(seed: int, use: int) -> torch.Generator:
    """Return the generator of a seed for one use."""
    return torch.Generator().manual_seed(10 * seed + use)


def model_file(models: str, target: str, arm: str, initialiser: str, learning_rate: float) -> Path:
    """Return where the finalised network of the first seed is kept."""
    return Path(models) / f"{target}-{arm}-{initialiser}-{learning_rate:g}.safetensors"
