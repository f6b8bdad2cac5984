"""How the networks are trained: as the paper does, and to the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from experiments.approximation.descent import descend
from experiments.approximation.shapes import shape as shape_of
from experiments.approximation.starts import Small, on_axes
from experiments.approximation.targets import HALF_WIDTH, Drawn, drawn, relative_error
from experiments.engine.tables import Row
from socicnn.training import Data, FitOptions, fit_stacked

Course = Literal["paper", "converged"]
STARTS = 4  # per seed, of every network


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
    screen: int = 0,
    version: int,
) -> list[Row]:
    """Train one network per seed and return one row each.

    Args:
        preset: kept in the rows.
        target: name of the target.
        d: number of inputs.
        model: name of the network.
        shape: its name.
        block: of seeds, for the key alone.
        course: `paper` or `converged`, see `as_paper` and `to_the_end`.
        seeds: of weights and training points.
        points: training, validation and test points.
        epochs: of Adam, as the paper trains.
        polish: iterations of L-BFGS, to the end.
        screen: iterations of the rounds before, which choose among the starts.
        version: of this function.
    """
    data = [drawn(target, d, seed, points) for seed in seeds]
    started, seconds = time.process_time(), list[float]()
    if course == "paper":
        networks = as_paper(model, d, shape, data, seeds, epochs)
        seconds += [(time.process_time() - started) / len(seeds)] * len(seeds)
    else:
        networks, sizes = [], shape_of(model, d, shape)

        def made(draws: torch.Generator) -> Any:
            return sizes.network(d, generator=draws, positivity="square")

        for seed, (train, validation, _) in zip(seeds, data, strict=True):
            started = time.process_time()
            networks.append(to_the_end(made, train, validation, seed, screen, polish))
            seconds.append(time.process_time() - started)
    rows = list[Row]()
    for seed, network, spent, (_, validation, test) in zip(seeds, networks, seconds, data, strict=True):
        network.double()
        with torch.no_grad():
            error, held_out = (relative_error(network(part.x), part.y) for part in (test, validation))
        count = sum(parameter.numel() for parameter in network.parameters())
        rows.append(
            {
                "seed": seed,
                "parameters": count,
                "relative_error": error,
                "validation_error": held_out,
                "train_s": spent,
            }
        )
    return rows


def as_paper(model: str, d: int, shape: str, data: Sequence[Drawn], seeds: Sequence[int], epochs: int) -> list[Any]:
    """Train as the paper does.

    Adam at 1e-3 with weight decay 1e-6, batches of 4,096, gradients clipped to norm 1, raw x and y; it ends after 40
    epochs without a better validation loss, and the best weights are kept.
    """
    settings: dict[str, Any] = {"positivity": "softplus"}
    settings |= {"domain": (-HALF_WIDTH, HALF_WIDTH)} if model == "ickan" else {"initialiser": Small()}
    networks = [shape_of(model, d, shape).network(d, generator=_draws(seed), **settings) for seed in seeds]
    options = FitOptions(schedule="constant", weight_decay=1e-6, clip=1.0, patience=40, standardise=False)
    fit_stacked(
        networks,
        [train for train, _, _ in data],
        seeds=[10 * seed + 2 for seed in seeds],
        epochs=epochs,
        learning_rate=1e-3,
        batch_size=4096,
        validation=data[0][1],  # the same for every seed
        progress=False,
        options=options,
    )
    return networks


def to_the_end(
    made: Callable[[torch.Generator], Any], train: Data, validation: Data, seed: int, screen: int, polish: int
) -> Any:
    """Train from four starts and return the best network, in float64; see `descend`.

    Every other start has its rows on the axes (P1-ICKAN, which has a function per coordinate, only draws again).
    """
    draws, networks = _draws(seed), list[Any]()
    uphill = (train.x - train.x.mean(dim=0)).T @ (train.y - train.y.mean())
    for number in range(STARTS):
        network = made(draws)
        if number % 2:
            on_axes(network, uphill, draws)
        networks.append(network)
    return descend(networks, train, validation, screen, polish, draws)


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(10 * seed)
