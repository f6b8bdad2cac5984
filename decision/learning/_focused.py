"""Decision-focused fine-tuning: descend on the true cost of the decision, through the argmin.

With V(lambda) = min_X f_w + lambda F, the envelope theorem gives dV/dlambda = F(x_lambda) and dV/dw = df_w/dw at
x_lambda, so that the derivative of the decision's cost in the weights is that of a difference of surrogate values:

d/dw F(x_0) = lim_{lambda -> 0} [df_w/dw(x_lambda) - df_w/dw(x_0)] / lambda,   x_lambda = argmin_X f_w + lambda F

In the limit it is the implicit derivative on the active face, wherever there is one. At a kink, where the implicit
derivative is zero or jumps, a finite lambda averages over the pieces that the decision would move through. F is taken
by its tangent at x_0, so that x_lambda is a decision like any other. The price is a bias: at lambda = 0.3 the
derivative along a random direction had the wrong sign in one of four contexts of a `soc-partial` network at n = 10, and
was off by 5 % to 85 % in the others. The exact derivative is that of `DecisionLayer`.

Sources: McAllester, Hazan and Keshet, "Direct loss minimization for structured prediction" (2010); Huang and Gupta,
"Decision-focused learning with directional gradients" (2024).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, final, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from decision._deciding import decide
from decision._layer.module import DecisionLayer
from decision._simulator import AnyTask
from decision.sets import ConicSet
from decision.tasks import Data
from socicnn._integers import as_integer, as_seed, is_number
from socicnn._moved import with_moved
from socicnn._ranges import Ranges
from socicnn._registry import choose, of_kind
from socicnn.errors import ModelError
from socicnn.nn._network import Network
from socicnn.training._losses import Loss, LossName, make_loss
from socicnn.training._options import positive

GradientName = Literal["perturbed", "exact"]

RTOL = 1e-5  # relative accuracy of the decisions that are differentiated


@final
@dataclass(frozen=True)
class FocusedResult:
    """What fine-tuning returns.

    Args:
        costs: mean true cost of the decisions for the held-out contexts, before and at every check.
        best: index of the check whose weights were kept; 0 for those at the start.
        labels: true costs that were asked for, a gradient counted as n + 1.
    """

    costs: list[float]
    best: int
    labels: int


@final
@dataclass(frozen=True)
class FocusedOptions:
    """What seldom changes between runs of `fit_focused`.

    Args:
        anchor: weight of the loss on the candidates of the step's contexts.
        loss: that loss, in units of the spread of y.
        held_out: share of the contexts on which the decisions are checked, in (0, 1).
        every: steps between two checks.
        gradient: `perturbed`, a difference over lambda, which sees beyond the face of the decision and is biased; or
            `exact`, the implicit derivative on the face, which is zero where kinks hold the decision.

    Raises:
        ModelError: an option is invalid; the message names it.
    """

    anchor: float = 1.0
    loss: Loss | LossName | Callable[[Tensor, Tensor], Tensor] = "within_context"
    held_out: float = 0.1
    every: int = 5
    gradient: GradientName = "perturbed"

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "every", as_integer("every", self.every))
        if not (is_number(self.anchor) and 0 <= self.anchor < math.inf):
            raise ModelError(f"anchor must be a finite number >= 0; received {self.anchor!r}")
        if not (is_number(self.held_out) and 0 < self.held_out < 1):
            raise ModelError(f"held_out must lie within (0, 1); received {self.held_out!r}")
        make_loss(self.loss)
        choose("gradient", self.gradient, get_args(GradientName))


def fit_focused(
    model: Network,
    task: AnyTask,
    data: Data,
    *,
    steps: int = 40,
    contexts: int = 128,
    learning_rate: float = 1e-3,
    perturbation: float = 0.3,
    seed: int = 0,
    progress: bool = True,
    options: FocusedOptions = FocusedOptions(),
    **moved: Any,
) -> FocusedResult:
    """Fine-tune a trained surrogate for the true cost of its decisions; the best weights seen are kept.

    Args:
        model: a trained network, changed in place; its weights must not depend on data (finalise a lift first).
        task: gives the true cost and its gradient at the decisions.
        data: labelled candidates, which anchor the surrogate to what it has learned.
        steps: steps of Adam, with a cosine schedule.
        contexts: training contexts per step.
        learning_rate: step size at the start.
        perturbation: lambda of the perturbed gradient: the larger, the smoother and the more biased; see
            `FocusedOptions.gradient` for the exact one.
        seed: seed of the split and of the batches.
        progress: whether to show a progress bar.
        options: the loss on the candidates and the checks; see `FocusedOptions`.
        moved: options by keyword, deprecated.

    Raises:
        ModelError: a setting is invalid, or a network whose weights depend on data.

    >>> from decision import fit, surrogates, tasks
    >>> task = tasks.make("box_socp", features=3, seed=0)
    >>> model = surrogates.make("soc-partial", 3, generator=torch.Generator().manual_seed(0))
    >>> data = task.sample(contexts=40, candidates=8, seed=1)
    >>> _ = fit(model, data, epochs=5, progress=False)
    >>> often = FocusedOptions(every=2)
    >>> focused = fit_focused(model, task, data, steps=4, contexts=16, progress=False, options=often)
    >>> focused.costs[focused.best] <= focused.costs[0]
    True
    """
    options = with_moved(of_kind("options", options, FocusedOptions), moved, function="fit_focused", argument="options")
    steps, contexts = as_integer("steps", steps), as_integer("contexts", contexts)
    positive("perturbation", perturbation)
    positive("learning_rate", learning_rate)
    if model.needs_data:
        raise ModelError("the weights depend on data; fine-tune what `model.finalise(train_data)` returns")
    draw = torch.Generator().manual_seed(as_seed("seed", seed))
    order = torch.randperm(len(data), generator=draw)
    held = max(1, round(options.held_out * len(data)))
    train, checked = data[order[held:]].to(model.dtype).to(model.device), data.contexts[order[:held]]
    measure = make_loss(options.loss)
    mean, scale = train.y.mean(), measure.scale(train.y)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    seen = data.ranges().after(model.ranges, widened=True)
    costs, best, kept = [_cost(model, task, checked)], 0, copy.deepcopy(model.state_dict())
    labels = len(checked)
    model.train()
    layer = DecisionLayer(model, task.feasible_set, rtol=RTOL)
    for step in tqdm(range(1, steps + 1), desc="fine-tune", unit="step", disable=None if progress else True):
        rows = torch.randperm(len(train), generator=draw)[:contexts]
        batch = train[rows]
        if options.gradient == "exact":
            along, points = _exact(layer, task, batch.contexts)
        else:
            along, points = _perturbed(model, task, batch, perturbation)
        labels += len(batch) * (1 + task.in_features)
        seen = seen.widened(Ranges.of(points, batch.context))
        optimiser.zero_grad(set_to_none=True)
        value = (along / scale).mean()
        values = (model(batch.x, batch.contexts.unsqueeze(1)) - mean) / scale
        (value + options.anchor * measure(values, (batch.y - mean) / scale) + model.penalty()).backward()
        optimiser.step()
        schedule.step()
        model.after_step()
        if step % options.every == 0 or step == steps:
            costs.append(_cost(model, task, checked))
            labels += len(checked)
            if costs[-1] < costs[best]:
                best, kept = len(costs) - 1, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    model.ranges = seen
    model.eval()
    return FocusedResult(costs, best, labels)


def _perturbed(model: Network, task: AnyTask, batch: Data, perturbation: float) -> tuple[Tensor, Tensor]:
    """Return values whose gradient in the weights is nearly that of F at the decisions, and the points asked for."""
    x, shifted = perturbed(model, task, batch.contexts.cpu(), perturbation)
    difference = model(shifted.to(batch.x), batch.context) - model(x.to(batch.x), batch.context)
    return difference / perturbation, torch.cat([x, shifted])


def _exact(layer: DecisionLayer, task: AnyTask, context: Tensor) -> tuple[Tensor, Tensor]:
    """Return values whose gradient in the weights is that of F at the decisions, and the decisions."""
    x = layer(context)
    slope = _slope(task, x.detach().cpu(), context.cpu())
    return (slope.to(x) * x).sum(dim=-1), x.detach().cpu()


def _slope(task: AnyTask, x: Tensor, context: Tensor) -> Tensor:
    """Return the gradient of F in x."""
    at = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(task.cost(at, context).sum(), at)
    return slope


def perturbed(
    model: Network, task: AnyTask, context: Tensor, perturbation: float, rtol: float = RTOL
) -> tuple[Tensor, Tensor]:
    """Return the decisions x_0 of the surrogate, and x_lambda, those after lambda F joined it, F by its tangent at x_0.

    Args:
        model: the surrogate.
        task: gives F.
        context: shape `(contexts, p)`.
        perturbation: lambda.
        rtol: relative accuracy of both.

    Returns:
        Both of shape `(contexts, n)`, float64.
    """
    net, feasible_set = model.freeze(context), task.feasible_set
    rows = isinstance(feasible_set, ConicSet)
    moves = context if isinstance(feasible_set, ConicSet) and feasible_set.moves else None  # the network is frozen
    x = decide(net, feasible_set, moves, rtol=rtol).x
    slope = _slope(task, x, context)
    output = replace(net.output, v=net.output.v + perturbation * slope.numpy())
    shifted = replace(net, output=output)
    return x, decide(shifted, feasible_set, moves, rtol=rtol, start=None if rows else x).x


def _cost(model: Network, task: AnyTask, context: Tensor) -> float:
    answer: Any = decide(model, task.feasible_set, context, rtol=RTOL)
    return float(task.cost(answer.x, context).mean())
