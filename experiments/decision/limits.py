"""What a surrogate with heads affine in theta can reach: the regret that is left by its family, whatever its training.

python -m experiments.decision.limits [--tasks simplex_logistic:10 budget_huber:50 ...]
python -m experiments.decision.limits --tasks simplex_logistic:10 --contenders soc-partial:2 structured-dcp:4

The true cost is taken as it is, but for its term linear in x, c(theta) - quad w^2 m(theta): that is replaced by its
least-squares fit affine in theta over the training contexts. The structured DCP holds what results, but for the shape
of atoms that it lacks (Huber's, log-sum-exps) and the floor of the weights. The regret of its decisions is what kinks
and curvature of the centre m(theta) cost such a family: a trained model above it is limited by atoms or by training.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from decision import tasks
from decision.tasks import Task
from experiments.decision.courses import fitted
from experiments.decision.deciding import optimum, settle
from experiments.decision.instances import FRESH, Instance, Sizes
from experiments.decision.models import configurations
from experiments.engine.tables import Row, markdown

CELLS = ("simplex_logistic:10", "box_logsumexp:10", "budget_huber:10", "budget_huber:50")


def affine(task: Task, theta: Tensor) -> Task:
    """Return the task with a fixed centre, and the linear term that fits its own best, affine in theta.

    Args:
        task: the task.
        theta: contexts of the fit, shape `(contexts, p)`.
    """
    arrays = tasks.task_arrays(task)
    arrays["M"] = np.zeros_like(arrays["M"])
    still = tasks.from_arrays(task.name, arrays, task.feasible_set)
    moved = task.quad * task.w**2 * (task.centre(theta) - still.centre(theta))
    ones = torch.ones(len(theta), 1, dtype=torch.float64)
    found = torch.linalg.lstsq(torch.cat([ones, theta], dim=1), task.linear(theta) - moved).solution
    arrays |= {"c0": found[0].numpy(), "C": found[1:].T.contiguous().numpy()}
    return tasks.from_arrays(task.name, arrays, task.feasible_set)


def limit(instance: Instance, contexts: int) -> Row:
    """Return the regrets of the affine family's decisions for fresh contexts, with the true atoms."""
    task, theta = instance.task, instance.draw(FRESH, contexts)
    still, (_, least) = affine(task, instance.train.context), optimum(task, theta)
    return figures(task.cost(optimum(still, theta)[0], theta) - least)


def longer(instance: Instance, contexts: int, contender: str, share: float) -> Row:
    """Return the regrets for fresh contexts of a configuration trained for a share of its length, network's seed 0."""
    task, theta = instance.task, instance.draw(FRESH, contexts)
    least, (name, number) = optimum(task, theta)[1], contender.split(":")
    given = configurations(name, task.in_features)[int(number)]
    model, _ = fitted(name, "within_context", instance, given, share, 0)
    return {
        "contender": contender,
        "share": share,
        **figures(task.cost(settle(task, model, theta, least).x, theta) - least),
    }


def figures(regret: Tensor) -> Row:
    """Return mean, median and 95 % quantile."""
    shares = {"median": 0.5, "95 %": 0.95}
    return {"mean": float(regret.mean()), **{name: float(regret.quantile(q)) for name, q in shares.items()}}


def main(argv: Sequence[str] | None = None, sizes: Sizes | None = None, contexts: int = 1000) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.decision.limits", description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=CELLS, metavar="TASK:N")
    parser.add_argument("--contenders", nargs="+", default=(), metavar="MODEL:NUMBER", help="trained for longer")
    parser.add_argument("--shares", nargs="+", type=float, default=(2.0, 0.5, 1.0), help="of their length")
    given, rows = parser.parse_args(argv), list[Row]()
    for entry in given.tasks:
        name, n = entry.split(":")
        instance = Instance.of(name, int(n), sizes or Sizes())
        cell: Row = {"task": name, "n": int(n)}
        if not given.contenders:
            rows.append({**cell, **limit(instance, contexts)})
        for share, contender in product(given.shares, given.contenders):
            rows.append({**cell, **longer(instance, contexts, contender, share)})
            print(rows[-1], flush=True)
    print(markdown(rows))


if __name__ == "__main__":
    main()
