"""Decisions as the benchmark's authors take them: a fixed number of small projected Adam steps from a few starts.

Small steps are not all that is lost. Adam scales each coordinate by the size of its own gradient, and where the set
ties coordinates together by a sum the Euclidean projection does not undo that: the iteration rests at points that are
no minimiser.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from decision.sets import FeasibleSet
from socicnn._integers import as_seed

RATE = 2e-3  # of the networks
STRUCTURED_RATE = 3e-3  # of the structured PCF and DCP
BETAS, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True, eq=False)
class SeedAnswer:
    """Decisions of `seed_steps`.

    Args:
        x: decisions, shape `(contexts, n)`, in the type of the computation.
        value: the surrogate's values there, shape `(contexts,)`.
        gap: certified gap at a single subgradient g, g'(x - minimise_linear(g)).
        context: the contexts.
        seconds: time taken.
    """

    x: Tensor
    value: Tensor
    gap: Tensor
    context: Tensor
    seconds: float


def seed_steps(
    model: nn.Module,
    feasible_set: FeasibleSet,
    context: Tensor,
    *,
    rate: float = RATE,
    steps: int = 200,
    restarts: int = 5,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> SeedAnswer:
    """Take projected Adam steps from `restarts` starts and keep the best value seen, all contexts at once.

    x <- project(x - Adam(gradient)), starts: the centre of the set and projected uniform points of [0, 1]^n.

    Args:
        model: called as `model(x, context)`, convex in x; it is copied.
        feasible_set: the set X.
        context: shape `(contexts, p)`.
        rate: step size of Adam.
        steps: number of steps.
        restarts: number of starts.
        seed: seed of the starts.
        dtype: of the computation.

    >>> import torch
    >>> from decision import Box, surrogates
    >>> model = surrogates.make("relu-joint", 3)
    >>> seed_steps(model, Box(3), torch.zeros(4, 8), steps=5).x.shape
    torch.Size([4, 3])
    """
    started = time.perf_counter()
    model = copy.deepcopy(model).to(dtype).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    contexts, n = len(context), feasible_set.n
    theta = context.to(dtype)[None]
    draw = torch.Generator().manual_seed(as_seed("seed", seed))
    uniform = torch.rand(restarts - 1, contexts, n, dtype=torch.float64, generator=draw)
    x = torch.cat([feasible_set.centre().expand(1, contexts, n), feasible_set.project(uniform)]).to(dtype)

    def value_and_gradient(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        value: Tensor = model(x, theta)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    best, best_x = torch.full((restarts, contexts), torch.inf, dtype=dtype), x.clone()
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(1, steps + 2):
        value, g = value_and_gradient(x)
        better = value < best
        best, best_x = torch.where(better, value, best), torch.where(better[..., None], x, best_x)
        if step > steps:  # the last iterate counts too
            break
        first = BETAS[0] * first + (1 - BETAS[0]) * g
        second = BETAS[1] * second + (1 - BETAS[1]) * g.square()
        corrected = (second / (1 - BETAS[1] ** step)).sqrt() + EPSILON
        x = feasible_set.project(x - rate * first / (1 - BETAS[0] ** step) / corrected)
    value, start = best.min(dim=0)
    x = best_x[start, torch.arange(contexts)]
    _, g = value_and_gradient(x[None])
    gap = (g[0] * (x - feasible_set.minimise_linear(g[0]))).sum(dim=-1)
    return SeedAnswer(x, value, gap, context, time.perf_counter() - started)
