"""How the networks are trained: as the paper does, and to the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import torch

from experiments.approximation.shapes import shape as shape_of
from experiments.approximation.starts import Small, on_axes
from experiments.approximation.targets import HALF_WIDTH, Drawn, drawn, relative_error
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
        course: `paper` or `converged`, see `as_paper` and `to_the_end`.
        seeds: of weights and training points.
        points: training, validation and test points.
        epochs: of Adam.
        polish: iterations of L-BFGS.
        version: of this function.
    """
    data = [drawn(target, d, seed, points) for seed in seeds]
    started = time.process_time()
    if course == "paper":
        networks = as_paper(model, d, shape, data, seeds, epochs)
    else:
        networks = to_the_end(model, d, shape, data, seeds, epochs, polish)
    seconds = (time.process_time() - started) / len(networks)
    rows = list[Row]()
    for seed, network, (_, validation, test) in zip(seeds, networks, data, strict=True):
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
                "train_s": seconds,
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
    _fit(networks, data, seeds, options, epochs=epochs, learning_rate=1e-3, batch_size=4096)
    return networks


def to_the_end(
    model: str, d: int, shape: str, data: Sequence[Drawn], seeds: Sequence[int], epochs: int, polish: int
) -> list[Any]:
    """Train from two starts per seed, and finish the one of the lower validation loss.

    Adam from 1e-2 to zero by a cosine, batches of 256; then L-BFGS in float64 on all points. Weights are squares. The
    second start has its rows on the axes (P1-ICKAN, which has a function per coordinate, draws again).
    """
    settings: dict[str, Any] = {"positivity": "square"}
    sizes, networks = shape_of(model, d, shape), list[Any]()
    for turned in (False, True):
        for seed in seeds:
            draws = _draws(seed)
            network = sizes.network(d, generator=draws, **settings)
            if turned and model == "ickan":
                network = sizes.network(d, generator=draws, **settings)
            elif turned:
                on_axes(network, draws)
            networks.append(network)
    losses = _fit(networks, [*data, *data], [*seeds, *seeds], FitOptions(), epochs=epochs, learning_rate=1e-2)
    count = len(seeds)
    kept = [networks[i if losses[i] <= losses[i + count] else i + count] for i in range(count)]
    if polish:  # after one step that is too small to move a weight
        _fit(kept, data, seeds, FitOptions(polish=polish, standardise=False), epochs=1, learning_rate=1e-12)
    return kept


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(10 * seed)


def _fit(
    networks: list[Any],
    data: Sequence[Drawn],
    seeds: Sequence[int],
    options: FitOptions,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int = 256,
) -> list[float]:
    """Train the networks at once and return their validation losses."""
    histories = fit_stacked(
        networks,
        [train for train, _, _ in data],
        seeds=[10 * seed + 2 for seed in seeds],
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        validation=data[0][1],  # the same for every seed
        progress=False,
        options=options,
    )
    return [history.value for history in histories]
