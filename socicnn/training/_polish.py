"""A finish by L-BFGS: all data at once, in float64, projected weights kept above their floor by bounds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import optimize
from torch import Tensor, nn

from socicnn._arrays import Array
from socicnn.training._data import Data
from socicnn.training._frame import Frame

PIECE = 16_384  # points that are differentiated at a time: all at once would not fit the cache
EVERY = 10  # iterations between two looks at the validation data
MEMORY = 20  # pairs that L-BFGS keeps
PATIENCE, LEAST_GAIN = 3, 0.01  # looks without a validation loss lower by that share, before a stage ends

LEAST_FALL = 1e-3  # relative fall of a penalised objective between two looks, below which a stage ends


class Polished(NamedTuple):
    """What a finish came to.

    Args:
        losses: validation losses looked at, one at least; the objectives where there is no validation.
        ridge: penalty of the stage whose weights were kept.
        iterations: of that stage up to those weights; 0 where the weights at the start were kept.
    """

    losses: list[float]
    ridge: float
    iterations: int


def polish(
    model: nn.Module,
    frame: Frame,
    objective: Callable[[nn.Module, Data], Tensor],
    penalty: Callable[[nn.Module], Tensor],
    train: Data,
    judge: Callable[[nn.Module], float] | None,
    iterations: int,
    tick: Callable[[float], None],
    ridge: Sequence[float] = (),
) -> Polished:
    """Minimise an objective from the model's present weights, and leave the best ones that were seen in it.

    Source: Byrd, Lu, Nocedal, Zhu, A limited memory algorithm for bound constrained optimization (1995), in SciPy.

    Args:
        model: the model; it is trained as a float64 copy.
        frame: the units of the samples.
        objective: the mean loss of a model on samples.
        penalty: what is added for the weights alone.
        train: the training data.
        judge: a model's validation loss, evaluated every 10 iterations and after the last; None keeps the last weights.
        iterations: iterations at most.
        tick: called after every iteration with the objective.
        ridge: penalties lambda, one stage each: the objective plus lambda times the squares of the weights that
            `_penalised` names. Each stage starts from the best weights of the one before. A stage ends where its
            validation loss no longer falls, and all end with a stage that is worse than the one before, once one of
            them has been better than the start.

    Returns:
        What was seen, and which stage was kept.
    """
    wide = copy.deepcopy(model).double()
    if getattr(wide, "needs_data", False):  # weights that depend on the data can be evaluated in training alone
        wide.train()
    data = train.like(wide)
    pieces = _pieces(data, whole=getattr(wide, "needs_data", False))
    parameters = [parameter for parameter in wide.parameters() if parameter.requires_grad]
    bounds = optimize.Bounds(_lower(wide, parameters), np.inf)
    best: tuple[float, Array | None] = (math.inf if judge is None else judge(wide), None)
    seen: list[float] = []
    at, before, kept = _joined(parameters), math.inf, (0.0, 0)
    for strength in list(ridge) or [0.0]:
        weights = _penalised(wide) if strength else []

        def evaluate(point: Array, strength: float = strength, weights: list[nn.Parameter] = weights) -> Any:
            _assign(parameters, point)
            for parameter in parameters:
                parameter.grad = None
            frame.condition(wide, data.x, data.aligned())
            total = 0.0
            for piece, share in pieces:
                value = share * objective(wide, piece)
                value.backward()
                total += value.item()
            value = penalty(wide)
            for weight in weights:
                value = value + strength * weight.square().sum()
            if value.requires_grad:
                value.backward()
            return total + value.item(), _joined(
                [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
            )

        def watch(point: Array, value: float) -> float:
            _assign(parameters, point)
            watched = value if judge is None else judge(wide)
            seen.append(watched)
            return watched

        stage = _Stage(watch, tick, iterations, at, ends_early=bool(ridge), judged=judge is not None)
        result = optimize.minimize(
            evaluate,
            at,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=stage,
            options={"maxiter": iterations, "maxfun": 3 * iterations, "maxcor": MEMORY, "ftol": 0.0, "gtol": 0.0},
        )
        if stage.looked != stage.count:  # L-BFGS ended it between two looks, or before the first
            stage.look(result.x, float(result.fun))
        if judge is None:
            best, at, kept = (float(result.fun), result.x), result.x, (strength, stage.count)
            continue
        at = stage.point
        if stage.best < best[0]:
            best, kept = (stage.best, stage.point), (strength, stage.best_count)
        if stage.best >= before and best[1] is not None:  # else all were too strong for a start as good as this one
            break
        before = stage.best
    if best[1] is not None:
        _assign(parameters, best[1])
        model.load_state_dict(wide.state_dict())  # to the model's own type
    return Polished(seen, *kept)


def _pieces(data: Data, *, whole: bool) -> list[tuple[Data, float]]:
    """Return samples in pieces of equal size but for the last, and the share that each has of them."""
    points = data.y.numel()
    count = 1 if whole else math.ceil(points / PIECE)
    size = math.ceil(len(data) / count)
    cut = [data[slice(first, first + size)] for first in range(0, len(data), size)]
    return [(piece, len(piece) / len(data)) for piece in cut]


@dataclass
class _Stage:
    """What SciPy calls after every iteration: it looks at the validation loss, keeps the best point, may end the stage.

    Args:
        watch: returns what is watched at a point, whose objective is given.
        tick: called with the objective.
        iterations: iterations at most.
        point: the best point so far; the start at first.
        ends_early: whether a stage may end before its iterations.
        judged: whether there are validation data.
    """

    watch: Callable[[Array, float], float]
    tick: Callable[[float], None]
    iterations: int
    point: Array
    ends_early: bool
    judged: bool
    best: float = math.inf
    last: float = math.inf
    count: int = 0
    stale: int = 0
    best_count: int = 0
    looked: int = -1  # the count at the last look

    def look(self, point: Array, value: float) -> None:
        """Keep the point if it is the best so far."""
        watched, self.looked = self.watch(point, value), self.count
        self.stale = 0 if watched < (1 - LEAST_GAIN) * self.best else self.stale + 1
        if watched < self.best:
            self.best, self.point, self.best_count = watched, point.copy(), self.count

    def __call__(self, intermediate_result: optimize.OptimizeResult) -> None:  # SciPy goes by the argument's name
        """Count an iteration."""
        self.count += 1
        value = float(intermediate_result.fun)
        self.tick(value)
        if self.count % EVERY and self.count < self.iterations:
            return
        self.look(intermediate_result.x, value)
        flat, self.last = value > (1 - LEAST_FALL) * self.last, value
        if self.ends_early and (flat or (self.judged and self.stale >= PATIENCE)):
            raise StopIteration


def _penalised(model: nn.Module) -> list[nn.Parameter]:
    """Return the trained weights without biases and offsets: b, c, e, d of a network, one-axis parameters elsewhere."""
    return [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and (parameter.ndim > 1 or name.rpartition(".")[2] in ("theta", "v", "diagonal"))
    ]


def _joined(tensors: list[Any]) -> Array:
    return np.concatenate([tensor.detach().cpu().numpy().ravel() for tensor in tensors])


@torch.no_grad()
def _assign(parameters: list[nn.Parameter], point: Array) -> None:
    parts = torch.from_numpy(point.copy()).split([parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.copy_(part.view_as(parameter))


def _lower(model: nn.Module, parameters: list[nn.Parameter]) -> Array:
    """Return the least value of every entry: the floor of what a recipe projects, else minus infinity."""
    floors: dict[int, float] = {}
    for module in model.modules():
        if hasattr(module, "floors"):
            own: Any = module.floors
            floors |= {id(module.get_parameter(name)): floor for name, floor in own().items()}
    return np.concatenate([np.full(p.numel(), floors.get(id(p), -np.inf)) for p in parameters])
