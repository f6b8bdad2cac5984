"""Active candidates: label the surrogate's own decisions, and points near them, by the true cost, and train on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, final

import torch
from torch import Tensor

from decision._deciding import decide
from decision._drawing import drawn
from decision._fitting import fit
from decision._simulator import AnyTask
from decision.sets import ConicSet, FeasibleSet
from decision.tasks import Data
from decision.tasks._task import stream
from socicnn._integers import as_integer
from socicnn._moved import with_moved
from socicnn._registry import of_kind
from socicnn.nn._network import Network
from socicnn.training._history import History
from socicnn.training._losses import Loss, LossName
from socicnn.training._options import FitOptions, positive

RTOL = 1e-4  # relative accuracy of the decisions that are labelled


@final
@dataclass(frozen=True, eq=False)
class ActiveResult:
    """What active training returns.

    Args:
        data: all labelled candidates; `data.labels` counts them.
        histories: of the first fit and of each round.
        costs: mean true cost of the decisions labelled in each round.
    """

    data: Data
    histories: list[History]
    costs: list[float]


@final
@dataclass(frozen=True)
class ActiveOptions:
    """What seldom changes between runs of `fit_active`.

    Args:
        spread: how far the points near a decision lie, as a share of the set's radius; each at a distance uniform up
            to that.
        share: share of the epochs that each round trains for, at half the learning rate.
        learning_rate: of the first fit.
        loss: of every fit, as in `decision.fit`.
        batch_size: contexts per step; defaults to that of `decision.fit`.
        validation: share of the contexts held out, or data to validate on.
        training: optimiser, schedule and more; a checkpoint names one file per fit: `PATH.0`, `PATH.1`, ...

    Raises:
        ModelError: the spread or the share is not positive.
    """

    spread: float = 0.1
    share: float = 0.25
    learning_rate: float = 1e-2
    loss: Loss | LossName | Callable[[Tensor, Tensor], Tensor] = "within_context"
    batch_size: int | None = None
    validation: float | Any = 0.1
    training: FitOptions = FitOptions()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        """Check the numbers that no fit checks."""
        positive("spread", self.spread)
        positive("share", self.share)
        positive("learning_rate", self.learning_rate)
        of_kind("training", self.training, FitOptions)

    def at(self, number: int) -> FitOptions:
        """Return the options of a fit, which keeps its progress in a file of its own and standardises once."""
        path = self.training.checkpoint
        checkpoint = None if path is None else f"{os.fspath(path)}.{number}"
        return replace(self.training, checkpoint=checkpoint, standardise=self.training.standardise and number == 0)


def fit_active(
    model: Network,
    task: AnyTask,
    data: Data,
    *,
    rounds: int = 2,
    near: int = 7,
    epochs: int = 200,
    first: bool = True,
    seed: int = 0,
    progress: bool = True,
    options: ActiveOptions = ActiveOptions(),
    **moved: Any,
) -> ActiveResult:
    """Train a surrogate, decide for its training contexts, label the decisions and points near them, and train on.

    Uniform candidates sit far from the optimum in many dimensions; the surrogate's own decisions sit where it matters,
    and show where it errs: a minimiser seeks out the errors that flatter it.

    Args:
        model: the network, trained in place.
        task: labels the new candidates by its cost.
        data: the first candidates.
        rounds: how often new candidates are labelled.
        near: points near each decision, besides the decision itself; a round costs `1 + near` labels per context.
        epochs: epochs of the first fit.
        first: whether there is a first fit; False if the model has been trained on the data already.
        seed: seed of the splits, the batches and the near points.
        progress: whether to show progress bars.
        options: spread, learning rate, loss and more; see `ActiveOptions`.
        moved: options by keyword, deprecated.

    Raises:
        ModelError: rounds, near or an option is invalid.

    >>> from decision import surrogates, tasks
    >>> task = tasks.make("simplex_socp", features=3, seed=0)
    >>> model = surrogates.make("soc-partial", 3, generator=torch.Generator().manual_seed(0))
    >>> data = task.sample(contexts=20, candidates=8, seed=1)
    >>> active = fit_active(model, task, data, rounds=1, near=1, epochs=4, progress=False)
    >>> data.labels, active.data.labels
    (160, 200)
    """
    options = _with_moved(of_kind("options", options, ActiveOptions), moved)
    rounds, epochs, near = as_integer("rounds", rounds), as_integer("epochs", epochs), as_integer("near", near, 0)
    settings: dict[str, Any] = {name: getattr(options, name) for name in ("loss", "batch_size", "validation")}
    settings |= {"seed": seed, "progress": progress}
    rate, histories, costs = options.learning_rate, [], []
    if first:
        histories.append(fit(model, data, epochs=epochs, learning_rate=rate, options=options.at(0), **settings))
    again = max(1, round(options.share * epochs))
    for number in range(1, rounds + 1):
        more = with_decisions(model, task, data, near=near, spread=options.spread, seed=seed + number)
        costs.append(float(more.y[:, data.y.shape[1]].mean()))
        data = more
        histories.append(fit(model, data, epochs=again, learning_rate=rate / 2, options=options.at(number), **settings))
    return ActiveResult(data, histories, costs)


def _with_moved(options: ActiveOptions, moved: dict[str, Any]) -> ActiveOptions:
    """Return the options with what was a keyword before, of `fit_active` or of a fit."""
    fits = {field.name: moved.pop(field.name) for field in fields(FitOptions) if field.name in moved}
    if fits:
        training = with_moved(options.training, fits, function="ActiveOptions", argument="training")
        options = replace(options, training=training)
    return with_moved(options, moved, function="fit_active", argument="options")


def with_decisions(
    model: Network, task: AnyTask, data: Data, *, near: int = 7, spread: float = 0.1, seed: int = 0
) -> Data:
    """Return the data with each context's decision by the model, and points near it, labelled and appended.

    Args:
        model: a trained network.
        task: labels them.
        data: the contexts, with the candidates so far.
        near: points near each decision, >= 0.
        spread: largest distance, as a share of half the set's diameter.
        seed: seed of the near points.
    """
    near = as_integer("near", near, 0)
    positive("spread", spread)
    x = decide(model, task.feasible_set, data.context, rtol=RTOL).x[:, None]
    draw = stream("near", seed)
    candidates = torch.cat([x, _close(task.feasible_set, x, data.contexts, near, spread, draw)], dim=1)
    if data.gradient is None:
        labels, slopes = task.cost(candidates, data.contexts), None
    else:
        at = candidates.clone().requires_grad_()
        labels = task.cost(at, data.contexts)
        slopes = torch.cat([data.gradient, torch.autograd.grad(labels.sum(), at)[0]], dim=1)
    joined = torch.cat([data.y, labels.detach()], dim=1)
    names = data.x_names, data.context_names
    return Data(torch.cat([data.x, candidates], dim=1), data.context, joined, slopes, None, *names)


def _close(
    feasible_set: FeasibleSet | ConicSet, x: Tensor, context: Tensor, near: int, spread: float, draw: torch.Generator
) -> Tensor:
    """Return points of the set near each x, shape `(contexts, near, n)`."""
    if not isinstance(feasible_set, FeasibleSet):  # no projection is needed between x and a point of the set
        ends = drawn(feasible_set, context.to("cpu", torch.float64), near, draw)
        return x + torch.rand(len(x), near, 1, dtype=torch.float64, generator=draw) * spread * (ends - x)
    steps = torch.randn(len(x), near, x.shape[-1], dtype=torch.float64, generator=draw)
    lengths = torch.rand(len(x), near, 1, dtype=torch.float64, generator=draw) * spread * feasible_set.diameter / 2
    moved: Tensor = x + lengths * steps / torch.linalg.vector_norm(steps, dim=-1, keepdim=True)
    return feasible_set.project(moved)
