"""The steps of one run, by torch's own optimisers."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import nn

from socicnn.training._run import Run


@final
class SingleEngine:
    """Takes the steps of one run.

    Args:
        run: the run.
        on_step: called as `on_step(step, model)` after every step.
    """

    def __init__(self, run: Run, on_step: Any = None) -> None:
        self.runs, self.on_step = [run], on_step

    def epoch(self) -> list[float]:
        """Run one pass over the training data; return its mean loss."""
        (run,) = self.runs
        model: Any = run.model
        penalty, after_step = (getattr(model, name, None) for name in ("penalty", "after_step"))
        for group in run.optimiser.param_groups:
            group["lr"] = run.rate()
        shuffled = run.shuffled()
        total = torch.zeros((), dtype=torch.float64, device=run.device)
        model.train()
        for first in range(0, len(shuffled), run.batch_size):
            batch = shuffled[slice(first, first + run.batch_size)]
            run.optimiser.zero_grad(set_to_none=True)
            run.frame.condition(model, batch.x, batch.aligned())
            loss = run.error(batch)
            objective = loss if penalty is None else loss + penalty()
            objective.backward()
            if run.settings["clip"] is not None:
                nn.utils.clip_grad_norm_(run.parameters, run.settings["clip"])
            run.optimiser.step()
            if after_step is not None:
                after_step()
            total += loss.detach() * len(batch)
            run.steps += 1
            if self.on_step is not None:
                self.on_step(run.steps, model)
        return [float(total) / len(shuffled)]

    def keep(self, runs: list[Run]) -> None:
        """Go on, or stop."""
        self.runs = runs
