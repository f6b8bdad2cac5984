"""How experiment 3 judges a model: its decisions by every method, and what the true cost says of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from decision import metrics as judging
from decision._deciding import decide
from decision._options import DecideOptions
from decision._region import Region
from decision.metrics import evaluate, relative_error, within_context_error
from decision.tasks import Data
from experiments.baselines.seed.steps import RATE, STRUCTURED_RATE, seed_steps
from experiments.decision.deciding import Decisions, each, optimum, settle
from experiments.decision.instances import TEST, Instance
from experiments.decision.models import BASELINES, NOT_BY_SOLVERS
from experiments.decision.versions import RTOL as RTOL
from experiments.engine.tables import Row
from socicnn.nn._network import Network

TIGHT = 1e-4  # the table counts the contexts that are certified to this
MARGIN = 0.01  # decisions further than this outside the training candidates are counted; x lies in [0, 1]


Found = judging.Decided  # a batch of decisions


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
    theta = instance.draw(TEST, sizes.tests)
    known = optimum(task, theta)
    region = Region.of(instance.train)
    ours = settle(task, model, theta, known[1])
    answers: dict[str, Found] = {
        "seed-steps": seed_steps(model, task.feasible_set, theta, rate=rate_of(name)),
        "certified": ours,
    }
    exact = exactly(name, model, instance, theta, ours)
    if exact is not None:
        answers["exact"] = exact
    best = minimiser(list(answers.values()))
    return {
        method: metrics(answer, instance, theta, known, region, best, ours.scale) for method, answer in answers.items()
    }


def minimiser(answers: list[Found]) -> Tensor:
    """Return the point of least surrogate value of each context, which stands for its exact minimiser."""
    x, value = answers[0].x.clone(), answers[0].value.clone()
    for answer in answers[1:]:
        size = len(answer.x)
        better = answer.value < value[:size]
        better |= value[:size].isnan()  # a context at which an earlier way failed
        x[:size] = torch.where(better[:, None], answer.x, x[:size])
        value[:size] = torch.where(better, answer.value, value[:size])
    return x


def metrics(
    answer: Found,
    instance: Instance,
    theta: Tensor,
    optimum: tuple[Tensor, Tensor],
    region: Region,
    best: Tensor,
    scale: Tensor,
) -> Row:
    """Return one row of metrics; regret is split at the surrogate's minimiser `best`, gaps are relative to `scale`.

    A context at which this way, or every solver of the optimum, failed is counted as `failed`, and in nothing else.
    """
    size = len(answer.x)
    decided = answer.x.isfinite().all(dim=1) & optimum[1][:size].isfinite()
    rows = decided.nonzero()[:, 0]
    answer = Chosen(answer.x[rows], answer.value[rows], answer.gap[rows])
    found = evaluate(instance.task, answer, theta[rows], optimum=(optimum[0][rows], optimum[1][rows]), exact=best[rows])
    relative = found.gap / scale[rows]
    return {
        "contexts": size,
        "failed": size - len(rows),
        **found.row(),
        "relative_gap_max": float(relative.max()),
        "certified_share": float((relative <= TIGHT).double().mean()),
        "outside": int(region.outside(answer.x, MARGIN).sum()),
    }


@dataclass(frozen=True)
class Chosen:
    """Decisions of any way.

    Args:
        x: shape `(contexts, n)`, NaN where the way failed.
        value: the surrogate's values, shape `(contexts,)`.
        gap: proven gaps, shape `(contexts,)`.
    """

    x: Tensor
    value: Tensor
    gap: Tensor


def exactly(
    name: str, model: Network, instance: Instance, theta: Tensor, ours: Decisions | None = None
) -> Found | None:
    """Decide through a solver: the conic program; large networks for the first contexts only, smooth ones not at all.

    Args:
        name: name of the model.
        model: the surrogate.
        instance: the task and its sizes.
        theta: contexts, shape `(contexts, p)`.
        ours: certified decisions for the same contexts, whose bounds the gaps of the structured DCP rest on.
    """
    feasible_set = instance.task.feasible_set
    if name == "structured-dcp":
        x = model.minimise(feasible_set, theta, on_failure="nan")  # type: ignore[operator]  # of the structured models
        with torch.no_grad():
            value = model(x, theta)
        return Chosen(x, value, torch.full_like(value, torch.nan) if ours is None else gap_of(value, ours))
    if name in NOT_BY_SOLVERS:
        return None
    size = instance.sizes.exact if name.endswith("joint") else len(theta)

    def way(some: Tensor) -> tuple[Tensor, ...]:
        answer = decide(model, feasible_set, some, method="exact")
        return answer.x, answer.value, answer.gap

    def second(some: Tensor) -> tuple[Tensor, ...]:
        answer = decide(model, feasible_set, some, method="exact", options=DecideOptions(solver="scs"))
        return answer.x, answer.value, answer.gap

    return Chosen(*each(way, theta[:size], second))


def gap_of(value: Tensor, certified: Found) -> Tensor:
    """Return value less the certified lower bound of the same surrogate."""
    return (value - (certified.value - certified.gap)).clamp(min=0.0)


def rate_of(name: str) -> float:
    """Return the step size of the authors' decisions."""
    return STRUCTURED_RATE if name in BASELINES else RATE


def count(model: Network) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
