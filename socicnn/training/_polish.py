"""A finish by L-BFGS: all data at once, in float64, projected weights kept above their floor by bounds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import optimize
from torch import Tensor, nn

from socicnn._arrays import Array
from socicnn.training._data import Samples
from socicnn.training._frame import Frame

EVERY = 10  # iterations between two looks at the validation data
MEMORY = 20  # pairs that L-BFGS keeps


def polish(
    model: nn.Module,
    frame: Frame,
    objective: Callable[[nn.Module, Samples], Tensor],
    train: Samples,
    judge: Callable[[nn.Module], float] | None,
    iterations: int,
    tick: Callable[[float], None],
) -> list[float]:
    """Minimise an objective from the model's present weights, and leave the best ones that were seen in it.

    Source: Byrd, Lu, Nocedal, Zhu, A limited memory algorithm for bound constrained optimization (1995), in SciPy.

    Args:
        model: the model; it is trained as a float64 copy.
        frame: the units of the samples.
        objective: the loss of a model on samples.
        train: the training data.
        judge: a model's validation loss, evaluated every 10 iterations; None keeps the last weights.
        iterations: iterations at most.
        tick: called after every iteration with the objective.

    Returns:
        The validation losses looked at (the objectives where there is no validation).
    """
    wide = copy.deepcopy(model).double()
    if getattr(wide, "needs_data", False):  # weights that depend on the data can be evaluated in training alone
        wide.train()
    data = train.like(wide)
    parameters = [parameter for parameter in wide.parameters() if parameter.requires_grad]
    best: tuple[float, Array | None] = (math.inf if judge is None else judge(wide), None)
    seen: list[float] = []
    count = 0

    def evaluate(point: Array) -> tuple[float, Array]:
        _assign(parameters, point)
        wide.zero_grad(set_to_none=True)
        frame.condition(wide, data.x, data.aligned())
        value = objective(wide, data)
        value.backward()
        return value.item(), _joined([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])

    def look(result: optimize.OptimizeResult) -> None:
        nonlocal best, count
        count += 1
        tick(float(result.fun))
        if count % EVERY and count < iterations:
            return
        _assign(parameters, result.x)
        value = float(result.fun) if judge is None else judge(wide)
        seen.append(value)
        if judge is None or value < best[0]:
            best = (value, result.x.copy())

    def callback(intermediate_result: optimize.OptimizeResult) -> None:  # SciPy goes by the argument's name
        look(intermediate_result)

    result = optimize.minimize(
        evaluate,
        _joined(parameters),
        jac=True,
        method="L-BFGS-B",
        bounds=optimize.Bounds(_lower(wide, parameters), np.inf),
        callback=callback,
        options={"maxiter": iterations, "maxfun": 3 * iterations, "maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0},
    )
    if judge is None:
        best = (float(result.fun), result.x)
    if best[1] is not None:
        _assign(parameters, best[1])
        model.load_state_dict(wide.state_dict())  # to the model's own type
    return seen


def _joined(tensors: list[Any]) -> Array:
    return np.concatenate([tensor.detach().cpu().numpy().ravel() for tensor in tensors])


@torch.no_grad()
def _assign(parameters: list[nn.Parameter], point: Array) -> None:
    at = 0
    for parameter in parameters:
        part = torch.from_numpy(point[at : at + parameter.numel()].copy()).reshape(parameter.shape)
        parameter.copy_(part)
        at += parameter.numel()


def _lower(model: nn.Module, parameters: list[nn.Parameter]) -> Array:
    """Return the least value of every entry: the floor of what a recipe projects, else minus infinity."""
    floors: dict[int, float] = {}
    for module in model.modules():
        if hasattr(module, "floors"):
            own: Any = module.floors
            floors |= {id(module.get_parameter(name)): floor for name, floor in own().items()}
    return np.concatenate([np.full(p.numel(), floors.get(id(p), -np.inf)) for p in parameters])
