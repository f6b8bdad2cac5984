"""Active candidates: label the surrogate's own decisions, and points near them, by the true cost, and train on."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from decision.deciding import decide
from decision.fitting import fit
from decision.tasks import Data, Task
from decision.tasks.task import stream
from socicnn.errors import ModelError
from socicnn.integers import as_integer
from socicnn.nn.network import Network
from socicnn.training.history import History
from socicnn.training.options import FitOptions, accepts_moved_keywords

RTOL = 1e-4  # relative accuracy of the decisions that are labelled


@final
@dataclass(frozen=True, eq=False)
class Active:
    """What active training leaves behind.

    Args:
        data: all labelled candidates; `data.labels` counts them.
        histories: of the first fit and of each round.
        costs: mean true cost of the decisions labelled in each round.
    """

    data: Data
    histories: list[History]
    costs: list[float]


@accepts_moved_keywords
def fit_active(
    model: Network,
    task: Task,
    data: Data,
    *,
    rounds: int = 2,
    near: int = 7,
    spread: float = 0.1,
    epochs: int = 200,
    share: float = 0.25,
    first: bool = True,
    learning_rate: float = 1e-2,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> Active:
    """Train a surrogate, decide for its training contexts, label the decisions and points near them, and train on.

    Uniform candidates sit far from the optimum in many dimensions; the surrogate's own decisions sit where it matters,
    and show where it errs: a minimiser seeks out the errors that flatter it.

    Args:
        model: the network, trained in place.
        task: labels the new candidates by its cost.
        data: the first candidates.
        rounds: how often new candidates are labelled.
        near: points near each decision, beside the decision itself; a round costs `(1 + near)` labels a context.
        spread: how far they lie, as a share of the set's radius; each at a distance uniform up to that.
        epochs: epochs of the first fit.
        share: share of them that each round trains for, at half the learning rate.
        first: whether there is a first fit; False where the model has been trained on the data already.
        learning_rate: of the first fit.
        seed: seed of the splits, the batches and the near points.
        progress: whether to show progress bars.
        options: `loss`, `batch_size`, `validation` and `options` of `decision.fit`; a checkpoint among them names one
            file per fit: `PATH.0`, `PATH.1`, ...

    Raises:
        ModelError: rounds, near or spread are invalid.

    >>> from decision import surrogates, tasks
    >>> task = tasks.make("simplex_socp", features=3, seed=0)
    >>> model = surrogates.make("soc-partial", 3, generator=torch.Generator().manual_seed(0))
    >>> data = task.sample(contexts=20, candidates=8, seed=1)
    >>> found = fit_active(model, task, data, rounds=1, near=1, epochs=4, progress=False)
    >>> data.labels, found.data.labels
    (160, 200)
    """
    rounds, epochs = as_integer("rounds", rounds), as_integer("epochs", epochs)
    _check_near(near, spread)
    training = options.pop("options", None) or FitOptions()
    shared = {"seed": seed, "progress": progress, **options}

    def place(number: int, base: FitOptions) -> FitOptions:
        """Return the options of a fit, which keeps its progress in a file of its own."""
        checkpoint = base.checkpoint
        return base if checkpoint is None else replace(base, checkpoint=f"{os.fspath(checkpoint)}.{number}")

    histories, costs = [], []
    if first:
        settings = {**shared, "options": place(0, training)}
        histories.append(fit(model, data, epochs=epochs, learning_rate=learning_rate, **settings))
    for number in range(1, rounds + 1):
        more = with_decisions(model, task, data, near=near, spread=spread, seed=seed + number)
        costs.append(float(more.y[:, data.y.shape[1]].mean()))
        data = more
        again = {"epochs": max(1, round(share * epochs)), "learning_rate": learning_rate / 2}
        settings = {**shared, **again, "options": place(number, replace(training, standardise=False))}
        histories.append(fit(model, data, **settings))
    return Active(data, histories, costs)


def _check_near(near: int, spread: float) -> None:
    as_integer("near", near, 0)
    if not spread > 0:
        raise ModelError(f"spread must be positive; received {spread}")


def with_decisions(
    model: Network, task: Task, data: Data, *, near: int = 7, spread: float = 0.1, seed: int = 0
) -> Data:
    """Return the data with each context's decision by the model, and points near it, labelled and appended.

    Args:
        model: a trained network.
        task: labels them.
        data: the contexts, with the candidates so far.
        near: points near each decision.
        spread: largest distance, as a share of half the set's diameter.
        seed: seed of the near points.
    """
    _check_near(near, spread)
    x = decide(model, task.feasible_set, data.context, rtol=RTOL).x[:, None]
    draw = stream("near", seed)
    steps = torch.randn(len(data), near, x.shape[-1], dtype=torch.float64, generator=draw)
    lengths = (
        torch.rand(len(data), near, 1, dtype=torch.float64, generator=draw) * spread * task.feasible_set.diameter / 2
    )
    moved: Tensor = x + lengths * steps / torch.linalg.vector_norm(steps, dim=-1, keepdim=True)
    found = torch.cat([x, task.feasible_set.project(moved)], dim=1)
    labels = task.cost(found, data.context)
    return Data(torch.cat([data.x, found], dim=1), data.context, torch.cat([data.y, labels], dim=1))
