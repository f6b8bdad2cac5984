"""Forward and backward through decisions: `DecisionLayer` beside cvxpylayers with Clarabel inside, on the same program.

python -m benchmarks.decision_layer [--features 10 50] [--batch 64] [--repeat 5] [--preset tiny]

CPU milliseconds of a whole batch, one thread, medians of paired turns after a first call, and the ratio of the two in
each turn. The layer gives gradients in all weights and in the context. cvxpylayers gets the network's conic program
with its vectors b and q as parameters, made before the clock starts, and gives gradients in those alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

import decision
from decision import surrogates, tasks
from decision.baselines import cvxpylayer
from decision.sets import FeasibleSet
from decision.tasks import Task
from socicnn._compile import compile_net
from socicnn.conic._program import ConicProgram

HEADER = ("n", "batch", "DecisionLayer, ms", "cvxpylayers, ms", "ratio", "least", "most", "largest difference of x")
TINY = {"features": [3], "batch": 4, "repeat": 1, "epochs": 1, "contexts": 16}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decision_layer", description=__doc__)
    parser.add_argument("--preset", choices=("paper", "tiny"), default="paper")
    parser.add_argument("--task", choices=tasks.names(), default="simplex_socp")
    parser.add_argument("--surrogate", choices=surrogates.names(), default="soc-partial")
    parser.add_argument("--features", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--contexts", type=int, default=200, help="training contexts of the surrogates")
    parser.add_argument("--epochs", type=int, default=10, help="of their training: times hardly depend on it")
    given = parser.parse_args(argv)
    if given.preset == "tiny":
        vars(given).update(TINY)
    torch.set_num_threads(1)
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for n in given.features:
        print(f"| {' | '.join(row(n, given))} |", flush=True)


def row(n: int, given: argparse.Namespace) -> list[str]:
    """Return one row of the table."""
    task = tasks.make(given.task, features=n, seed=2026)
    model = trained(task, given)
    theta = task.sample_contexts(given.batch, seed=3)
    layer = decision.DecisionLayer(model, task.feasible_set)
    conic = conic_layer(model, task.feasible_set, theta)

    def ours() -> Tensor:
        model.zero_grad()
        context = theta.clone().requires_grad_()
        x = layer(context)
        task.cost(x, theta).sum().backward()
        return x.detach()

    def theirs() -> Tensor:
        x = conic()
        loss = task.cost(x, theta).sum()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # cvxpylayers hands NumPy tensors the old way
            loss.backward()
        return x.detach()

    difference = float((ours() - theirs()).abs().max())
    turns = [(cpu(ours), cpu(theirs)) for _ in range(given.repeat)]
    mine, others = (1e3 * statistics.median(column) for column in zip(*turns, strict=True))
    ratios = [b / a for a, b in turns]
    spread = [f"{value:.3g}" for value in (statistics.median(ratios), min(ratios), max(ratios))]
    return [str(n), str(given.batch), f"{mine:.4g}", f"{others:.4g}", *spread, f"{difference:.0e}"]


def trained(task: Task, given: argparse.Namespace) -> Any:
    """Return a surrogate that was trained briefly."""
    data = task.sample(given.contexts, 16, seed=1)
    model = surrogates.make(given.surrogate, task.in_features, generator=torch.Generator().manual_seed(0))
    decision.fit(model, data, epochs=given.epochs, batch_size=16, seed=0, progress=False)
    return model.finalise((data.x[:, 0], data.context)).double()


def conic_layer(model: Any, feasible_set: FeasibleSet, theta: Tensor) -> Callable[[], Tensor]:
    """Return the forward pass of cvxpylayers on the network's program, b and q of each context given."""
    import cvxpy as cp

    programs = compile_net(model.freeze(theta)).program
    free = [programs[i].free(feasible_set.rows()) for i in range(len(theta))]
    layer, n = compiled(free[0], cp), feasible_set.n
    b, q = (torch.tensor(np.stack(vectors)) for vectors in ([one.b for one in free], [one.c for one in free]))

    def forward() -> Tensor:
        leaves = [b.clone().requires_grad_(), q.clone().requires_grad_()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the solver's word about accuracy
            (v,) = layer(*leaves, solver_args={**cvxpylayer.SOLVER, **cvxpylayer.BACKWARD})
        found: Tensor = v[:, :n]
        return found

    return forward


def compiled(program: ConicProgram, cp: Any) -> Any:
    """Return a CvxpyLayer of min q'v s.t. b - A v in K, with b and q as parameters."""
    layers = cvxpylayer.require()
    rows, columns = program.A.shape
    v, b, q = cp.Variable(columns), cp.Parameter(rows), cp.Parameter(columns)
    s, K = b - program.A @ v, program.cones
    constraints, first = [], K.zero + K.nonnegative
    if K.zero:
        constraints.append(s[: K.zero] == 0)
    if K.nonnegative:
        constraints.append(s[K.zero : first] >= 0)
    for size in K.second_order:
        constraints.append(cp.SOC(s[first], s[first + 1 : first + size]))
        first += size
    return layers.CvxpyLayer(cp.Problem(cp.Minimize(q @ v), constraints), parameters=[b, q], variables=[v])


def cpu(way: Callable[[], Any]) -> float:
    """Return the CPU seconds of one call."""
    started = time.process_time()
    way()
    return time.process_time() - started


if __name__ == "__main__":
    main()
