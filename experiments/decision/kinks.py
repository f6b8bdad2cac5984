"""Which contexts carry the mean regret: those whose optimum sits at the tip of a cone of the true cost.

python -m experiments.decision.kinks [--task budget_twocone_socp] [--n 10] [--contenders soc-partial:1 structured-dcp:3]

At a tip, A x* = d(theta), the true cost rises like lambda ||A (x - x*)||, in proportion to the error of the decision;
elsewhere it rises with its square. Each contender is trained in full with one of its configurations, on the instance
that configurations were shaped on, and judged on 1,000 fresh contexts, as `contest` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from decision.tasks import Task
from experiments.decision.courses import fitted
from experiments.decision.deciding import optimum, settle
from experiments.decision.instances import FRESH, Instance, Sizes
from experiments.decision.models import configurations
from experiments.engine.tables import Row, markdown
from socicnn.errors import ModelError

EDGES = (0.0, 1e-4, 0.05, 0.2, float("inf"))  # of the distance ||A x* - d|| to the nearest tip


def distances(task: Task, x: Tensor, theta: Tensor) -> Tensor:
    """Return min_k ||A_k x - d_k(theta)|| over the cones of a cost, shape `(contexts,)`."""
    if task.atom.elementwise:
        raise ModelError(f"{task.name} has no cones; choose a task whose family term is a norm, e.g. simplex_socp")
    images = [x @ block.A.T - block.offset(theta) for block in task.blocks]
    return torch.stack([torch.linalg.vector_norm(image, dim=-1) for image in images]).amin(dim=0)


def table(regrets: dict[str, Tensor], distance: Tensor) -> list[Row]:
    """Return one row per contender and range of distances: contexts, share of the summed regret, mean and median."""
    rows: list[Row] = []
    for name, regret in regrets.items():
        for low, high in pairwise(EDGES):
            chosen = regret[(distance >= low) & (distance < high)]
            row: Row = {"contender": name, "distance to a tip": f"{low:g} to {high:g}", "contexts": len(chosen)}
            if len(chosen):
                share = float(chosen.sum() / regret.sum())
                row |= {"share": f"{100 * share:.0f} %", "mean": float(chosen.mean())}
                row["median"] = float(chosen.quantile(0.5))
            rows.append(row)
    return rows


def main(argv: Sequence[str] | None = None, sizes: Sizes | None = None, contexts: int = 1000) -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.decision.kinks", description=__doc__)
    parser.add_argument("--task", default="budget_twocone_socp")
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument(
        "--contenders", nargs="+", default=["soc-partial:1", "structured-dcp:3"], metavar="MODEL:NUMBER"
    )
    given = parser.parse_args(argv)
    instance = Instance.of(given.task, given.n, sizes or Sizes())
    theta = instance.draw(FRESH, contexts)
    x, least = optimum(instance.task, theta)
    distance, regrets = distances(instance.task, x, theta), {}
    for contender in given.contenders:
        name, number = contender.split(":")
        model, _ = fitted(
            name,
            "within_context",
            instance,
            configurations(name, given.n)[int(number)],
            instance.sizes.share,
            instance.sizes.instance,
        )
        regrets[contender] = instance.task.cost(settle(instance.task, model, theta, least).x, theta) - least
    print(markdown(table(regrets, distance)))


if __name__ == "__main__":
    main()
