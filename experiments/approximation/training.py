"""How the networks are trained: as the paper does, and to the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import torch

from experiments.approximation.shapes import shape as shape_of
from experiments.approximation.targets import HALF_WIDTH, drawn, relative_error
from experiments.baselines.seed.training import SEED_START
from experiments.engine.tables import Row
from socicnn.training import FitOptions, fit_stacked

Course = Literal["paper", "converged"]


def fit_networks(
    preset: str,
    target: str,
    d: int,
    model: str,
    shape: str,
    block: int,
    *,
    course: Course,
    seeds: Sequence[int],
    points: Sequence[int],
    epochs: int,
    polish: int,
    version: int,
) -> list[Row]:
    """Train one network per seed, all at once, and return one row each.

    Args:
        preset: kept in the rows.
        target: name of the target.
        d: number of inputs.
        model: name of the network.
        shape: its name.
        block: of seeds, for the key alone.
        course: `paper` (Adam 1e-3, weight decay 1e-6, batches of 4,096, gradients clipped to 1, patience of 40 epochs,
            raw x and y, weights that start as the authors' do) or `converged` (Adam from 1e-2 by a cosine, batches of
            256, then L-BFGS in float64; weights are squares).
        seeds: of weights and training points.
        points: training, validation and test points.
        epochs: of Adam.
        polish: iterations of L-BFGS.
        version: of this function.
    """
    sizes, raw = shape_of(model, d, shape), course == "paper"
    settings: dict[str, Any] = dict(SEED_START) if raw else {"positivity": "square"}
    if model == "ickan":
        settings = {"positivity": "softplus", **({"domain": (-HALF_WIDTH, HALF_WIDTH)} if raw else {})}
    networks = [sizes.network(d, generator=torch.Generator().manual_seed(10 * seed), **settings) for seed in seeds]
    data = [drawn(target, d, seed, points) for seed in seeds]
    started = time.process_time()
    options: dict[str, Any] = (
        {"weight_decay": 1e-6, "clip": 1.0, "schedule": "constant", "patience": 40, "standardise": False}
        if raw
        else {"polish": polish}
    )
    histories = fit_stacked(
        networks,
        [train for train, _, _ in data],
        seeds=[10 * seed + 2 for seed in seeds],
        epochs=epochs,
        learning_rate=1e-3 if raw else 1e-2,
        batch_size=4096 if raw else 256,
        validation=data[0][1],  # the same for every seed, as the test points are
        progress=False,
        options=FitOptions(**options),
    )
    seconds = (time.process_time() - started) / len(networks)
    rows = list[Row]()
    for seed, network, history, (_, validation, test) in zip(seeds, networks, histories, data, strict=True):
        network.double()
        with torch.no_grad():
            errors = {
                f"{name}error": relative_error(network(part.x), part.y)
                for name, part in (("relative_", test), ("validation_", validation))
            }
        count = sum(parameter.numel() for parameter in network.parameters())
        rows.append(
            {"seed": seed, "parameters": count, **errors, "train_s": seconds, "epochs": history.epochs}
        )
    return rows
