"""Rounds of L-BFGS: many starts on few points, the best of them on all, the best one to the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from experiments.approximation.additive import AdditiveMeanSquare, is_additive
from experiments.approximation.slopes import MeanSquare, written_out
from experiments.approximation.starts import revive
from socicnn.training import Data

MEMORY = 60  # pairs that L-BFGS keeps: twice as fast to the same error as 20
EVERY, WINDOW, LEAST_GAIN = 25, 100, 1e-3  # a round ends when a window of iterations gains less on validation data


class Round(NamedTuple):
    """One round.

    Args:
        kept: networks that take part, those of least validation loss before.
        points: of the training points at most.
        iterations: of L-BFGS at most.
        ridge: penalty on the squares of the weights without offsets.
        dtype: in which the loss is computed.
    """

    kept: int
    points: int
    iterations: int
    ridge: float
    dtype: torch.dtype = torch.float32


ALL = 10**9  # networks, or points
FINE = 1e-6  # loss in standardised units, below which float32 runs out of digits: a relative error of about 1e-3


def rounds(screen: int, polish: int) -> tuple[Round, ...]:
    """Return the rounds, given the iterations of the first two and of the third."""
    return (
        Round(ALL, 1500, screen, 1e-4),
        Round(2, ALL, screen, 1e-5),
        Round(1, ALL, polish, 0.0),
        Round(1, ALL, 100, 0.0, torch.float64),
    )


def descend(
    networks: Sequence[Any], train: Data, validation: Data, screen: int, polish: int, generator: torch.Generator
) -> Any:
    """Train networks of one seed in rounds and return the best of them in float64.

    Branches that died in the first round start anew in the second: from there they are found when they are needed.

    Args:
        networks: of one architecture, from several starts.
        train: the training points.
        validation: points that choose among networks, and among the weights of each.
        screen: iterations of the rounds that choose.
        polish: iterations of the round of the one that is left; float64 follows where float32 runs out of digits.
        generator: draws the rows of branches that died.
    """
    mean, scale = train.y.mean(), train.y.std()
    x_mean, x_scale = train.x.mean(dim=0), train.x.std(dim=0)
    for network in networks:
        network.standardise(x_mean=x_mean, x_scale=x_scale, y_mean=mean, y_scale=scale)
    units = [((part.x - x_mean) / x_scale, (part.y - mean) / scale) for part in (train, validation)]
    ranked, losses = list(networks), [np.inf]
    for number, given in enumerate(rounds(screen, polish)):
        ranked = ranked[: given.kept]
        if number == 1:
            for network in ranked:
                revive(network, generator)
        if given.dtype is torch.float64 and min(losses) > FINE:
            break
        losses = [_Descent(network, units, given).run() for network in ranked]
        ranked = [network for _, network in sorted(zip(losses, ranked, strict=True), key=lambda pair: pair[0])]
    return ranked[0].double()


class _Descent:
    """One network in one round; `run` leaves its best weights by validation in it and returns their loss."""

    def __init__(self, network: Any, units: Sequence[tuple[Tensor, Tensor]], given: Round) -> None:
        self.network, self.given = network.to(given.dtype), given
        (x, y), held = ([part.to(given.dtype) for part in pair] for pair in units)
        self.x, self.y, self.held = x[: given.points], y[: given.points], tuple(held)
        named = dict(network.named_parameters())
        self.parameters = list(named.values())
        self.sizes = [parameter.numel() for parameter in self.parameters]
        penalised = [p.ndim > 1 or name.rpartition(".")[2] == "v" for name, p in named.items()]
        self.ridge = given.ridge * torch.tensor(penalised).repeat_interleave(torch.tensor(self.sizes)).to(given.dtype)
        self.written = _written(network, self.x, self.y)
        self.count, self.best, self.point, self.seen = 0, np.inf, np.empty(0), list[float]()

    def run(self) -> float:
        """Minimise, leave the best weights in the network, and return their validation loss."""
        start = torch.cat([parameter.detach().ravel() for parameter in self.parameters]).double().numpy()
        self.look(start)
        settings = {"maxiter": self.given.iterations, "maxfun": 3 * self.given.iterations, "maxcor": MEMORY}
        found = optimize.minimize(
            self.evaluate, start, jac=True, method="L-BFGS-B", callback=self, options={**settings, "ftol": 0, "gtol": 0}
        )
        self.look(found.x)
        self.assign(self.flat(self.point))
        return self.best

    def assign(self, flat: Tensor) -> None:
        """Put a vector of all numbers into the network."""
        with torch.no_grad():
            for parameter, part in zip(self.parameters, flat.split(self.sizes), strict=True):
                parameter.copy_(part.view_as(parameter))

    def evaluate(self, point: Any) -> tuple[float, Any]:
        """Return the penalised loss on the training points and its gradient."""
        flat = self.flat(point)
        if self.written is not None:
            loss, slopes = self.written(flat)
        else:
            self.assign(flat)
            value = (self.network.standard_value(self.x) - self.y).square().mean()
            loss = value.item()
            slopes = torch.cat([slope.ravel() for slope in torch.autograd.grad(value, self.parameters)])
        pull = self.ridge * flat
        return loss + float(pull @ flat), (slopes + 2 * pull).double().numpy()

    def flat(self, point: Any) -> Tensor:
        """Return SciPy's point in the round's type."""
        return torch.from_numpy(point).to(self.given.dtype)

    def look(self, point: Any) -> None:
        """Keep the point if it is the best on validation data so far."""
        self.assign(self.flat(point))
        with torch.no_grad():
            loss = float((self.network.standard_value(self.held[0]) - self.held[1]).double().square().mean())
        if loss < self.best or not self.point.size:
            self.best, self.point = loss, point.copy()
        self.seen.append(self.best)

    def __call__(self, intermediate_result: Any) -> None:  # SciPy goes by the argument's name
        self.count += 1
        if self.count % EVERY:
            return
        self.look(intermediate_result.x)
        back = WINDOW // EVERY
        if len(self.seen) > back and self.seen[-1] > (1 - LEAST_GAIN) * self.seen[-1 - back]:
            raise StopIteration


def _written(network: Any, x: Tensor, y: Tensor) -> MeanSquare | AdditiveMeanSquare | None:
    """Return the loss with its gradient written out, None where autograd has to do."""
    if is_additive(network):
        return AdditiveMeanSquare(network, x, y)
    return MeanSquare(network, x, y) if written_out(network) else None
