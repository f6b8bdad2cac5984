"""Averages of the weights along a run: of every step (stochastic weight averaging), or the latest (exponential)."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from socicnn.errors import ModelError


@final
class WeightAverage:
    """Average the parameters over the steps of a run; hand it to `fit` as `on_step`, then call `put`.

    Weights that are held non-negative by projection, or read out by a convex function, stay so: the average is a
    network of the same kind. It is not an average of the functions; for that see `Ensemble`.

    Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization" (2018).

    Args:
        decay: None for the plain average of all steps; else the weight of the past, for instance 0.999.
        start: steps to leave out at first.

    >>> from socicnn import SOCICNN
    >>> from socicnn.training import FitOptions, fit
    >>> x = torch.rand(64, 2, generator=torch.Generator().manual_seed(0))
    >>> model, average = SOCICNN(2, (8,)), WeightAverage()
    >>> options = FitOptions(schedule="constant", on_step=average)
    >>> _ = fit(model, (x, x.square().sum(dim=1)), epochs=5, progress=False, options=options)
    >>> average.count
    20
    >>> average.put(model)
    """

    def __init__(self, decay: float | None = None, start: int = 0) -> None:
        if decay is not None and not 0 < decay < 1:
            raise ModelError(f"decay must lie in (0, 1), or be None; received {decay}")
        self.decay, self.start, self.count = decay, start, 0
        self._means: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, step: int, model: nn.Module) -> None:
        """Take in the parameters after a step."""
        if step <= self.start:
            return
        self.count += 1
        # the exponential average begins as a plain one, so that it forgets the start
        share = 1 / self.count if self.decay is None else max(1 / self.count, 1 - self.decay)
        for name, parameter in model.named_parameters():
            if name not in self._means:
                self._means[name] = parameter.detach().double().clone()
            self._means[name].lerp_(parameter.detach().double(), share)

    @torch.no_grad()
    def put(self, model: nn.Module) -> None:
        """Put the average in the model's place.

        Raises:
            ModelError: no step has been taken in.
        """
        if not self.count:
            raise ModelError("there is nothing to average: no step was taken in; lower start, or train longer")
        for name, parameter in model.named_parameters():
            parameter.copy_(self._means[name])
