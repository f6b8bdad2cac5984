"""How experiment 3 judges a model: its decisions by every method, and what the true cost says of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from decision import metrics as judging
from decision._deciding import decide
from decision._region import Region
from decision.metrics import evaluate, relative_error, within_context_error
from decision.tasks import Data
from experiments.baselines.seed.steps import RATE, STRUCTURED_RATE, seed_steps
from experiments.decision.instances import TEST, Instance
from experiments.decision.models import BASELINES, NO_PROGRAM
from experiments.engine.tables import Row
from socicnn.nn._network import Network

RTOL = 1e-6  # relative accuracy to which decisions are certified
TIGHT = 1e-4  # the table counts the contexts that are certified to this
MARGIN = 0.01  # decisions further than this outside the training candidates are counted; x lies in [0, 1]


class Answer(judging.Decided, Protocol):
    """A batch of decisions, with the seconds they took."""

    @property
    def seconds(self) -> float:
        """Wall time."""
        ...


def errors(model: Network, data: Data) -> Row:
    """Return the prediction errors on data."""
    with torch.no_grad():
        f = model(data.x, data.context.unsqueeze(1))
    return {
        "test_relative_error": relative_error(f, data.y),
        "within_context_error": within_context_error(f, data.y),
    }


def judged(name: str, model: Network, instance: Instance) -> dict[str, Row]:
    """Return the metrics of each method's decisions on the test contexts."""
    task, sizes = instance.task, instance.sizes
    theta = task.sample_contexts(sizes.tests, seed=TEST)
    optimum = task.optimum(theta)
    region = Region.of(instance.train)
    ours = decide(model, task.feasible_set, theta, rtol=RTOL)
    answers: dict[str, Answer] = {
        "seed-steps": seed_steps(model, task.feasible_set, theta, rate=rate_of(name)),
        "certified": ours,
    }
    exact = exactly(name, model, instance, theta)
    if exact is not None:
        answers["exact"] = exact
    best = minimiser(list(answers.values()))
    return {
        method: metrics(answer, instance, theta, optimum, region, best, ours.scale)
        for method, answer in answers.items()
    }


def minimiser(answers: list[Answer]) -> Tensor:
    """Return the point of least surrogate value of each context, which stands for its exact minimiser."""
    x, value = answers[0].x.clone(), answers[0].value.clone()
    for answer in answers[1:]:
        size = len(answer.x)
        better = answer.value < value[:size]
        x[:size] = torch.where(better[:, None], answer.x, x[:size])
        value[:size] = torch.minimum(answer.value, value[:size])
    return x


def metrics(
    answer: Answer,
    instance: Instance,
    theta: Tensor,
    optimum: tuple[Tensor, Tensor],
    region: Region,
    best: Tensor,
    scale: Tensor,
) -> Row:
    """Return one row of metrics; regret is split at the surrogate's minimiser `best`, gaps are relative to `scale`."""
    size = len(answer.x)
    found = evaluate(
        instance.task, answer, theta[:size], optimum=(optimum[0][:size], optimum[1][:size]), exact=best[:size]
    )
    relative = found.gap / scale[:size]
    return {
        "contexts": size,
        **found.row(),
        "relative_gap_max": float(relative.max()),
        "certified_share": float((relative <= TIGHT).double().mean()),
        "outside": int(region.outside(answer.x, MARGIN).sum()),
    }


@dataclass(frozen=True)
class Solved:
    """Decisions of a solver."""

    x: Tensor
    value: Tensor
    gap: Tensor
    seconds: float


def exactly(name: str, model: Network, instance: Instance, theta: Tensor) -> Answer | None:
    """Decide through a solver: the conic program; large networks for the first contexts only, softplus not at all."""
    feasible_set = instance.task.feasible_set
    if name == "structured-dcp":
        started = time.perf_counter()
        x = model.minimise(feasible_set, theta)  # type: ignore[operator]  # of the structured models alone
        seconds = time.perf_counter() - started
        with torch.no_grad():
            value = model(x, theta)
        return Solved(x, value, decide(model, feasible_set, theta, rtol=RTOL).gap, seconds)
    if name in NO_PROGRAM:
        return None
    size = instance.sizes.exact if name.endswith("joint") else len(theta)
    return decide(model, feasible_set, theta[:size], method="exact")


def rate_of(name: str) -> float:
    """Return the step size of the authors' decisions."""
    return STRUCTURED_RATE if name in BASELINES else RATE


def count(model: Network) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
