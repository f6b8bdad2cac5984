"""Shoulder statistics: how many weights sit where the read-out hardly lets a gradient through, and how they move."""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from socicnn._arrays import Array, IntArray
from socicnn.errors import ModelError
from socicnn.positivity.diagnostics._raws import raw_vector, read_outs

THRESHOLD = -2.944  # softplus' is 0.05 there


@final
class ShoulderStatistics:
    """Follow every entry of the weights that are read out, by snapshots at regular intervals.

    An entry is in the shoulder when raw < threshold. Between two snapshots, the entry rate is the share of the entries
    outside that went in, the leave rate the share of those inside that came out (NaN if there were none). The
    dwell fraction of an entry is the share of snapshots that it spent inside since it first went in; `dwell` is its
    mean over all entries that ever did. Final occupancy alone does not indicate failure.

    Use it as a training callback: `fit(model, data, options=FitOptions(on_step=ShoulderStatistics()))`, or call it as
    `statistics(step, model)` after each step.

    Args:
        every: steps between two snapshots.
        threshold: where the shoulder begins.

    >>> from socicnn import ICNN
    >>> from socicnn.training import FitOptions, fit
    >>> statistics, x = ShoulderStatistics(every=2), torch.randn(64, 2)
    >>> _ = fit(ICNN(2, (8, 8), positivity="softplus"), (x, x.square().sum(1)), epochs=4, progress=False,
    ...         batch_size=16, validation=0, options=FitOptions(on_step=statistics))
    >>> statistics.steps.tolist()
    [2, 4, 6, 8, 10, 12, 14, 16]
    """

    def __init__(self, every: int = 20, threshold: float = THRESHOLD) -> None:
        if every < 1:
            raise ModelError(f"every must be at least 1; received {every}")
        self.every, self.threshold = every, threshold
        self._steps: list[int] = []
        self._rows: list[tuple[float, float, float]] = []
        self._inside: Tensor | None = None
        self._spent: Tensor | None = None  # snapshots inside, per entry
        self._since: Tensor | None = None  # snapshots since it first went in, per entry

    def __call__(self, step: int, model: nn.Module) -> None:
        """Take a snapshot if the step is due for one.

        Raises:
            ModelError: no weight of the model is read out, or it is another model than before.
        """
        if step % self.every == 0:
            self.record(step, raw_vector(read_outs(model)))

    def record(self, step: int, raw: Tensor) -> None:
        """Take a snapshot of raw, from any source.

        Args:
            step: the step that it belongs to.
            raw: what the read-out reads, shape `(d,)`.
        """
        inside = raw.detach() < self.threshold
        before = self._inside
        if before is not None and before.shape != inside.shape:
            raise ModelError(f"a snapshot has {inside.numel()} entries, the earlier ones {before.numel()}")
        entered = left = float("nan")
        if before is not None:
            was_in = int(before.sum())
            was_out = before.numel() - was_in
            went_in, came_out = int((inside & ~before).sum()), int((before & ~inside).sum())
            entered = went_in / was_out if was_out else float("nan")
            left = came_out / was_in if was_in else float("nan")
        self._steps.append(step)
        self._rows.append((float(inside.double().mean()), entered, left))
        if self._spent is None or self._since is None:
            self._spent = torch.zeros(inside.shape, dtype=torch.int32, device=inside.device)
            self._since = torch.zeros_like(self._spent)
        self._spent += inside
        self._since += self._spent > 0
        self._inside = inside

    @property
    def steps(self) -> IntArray:
        """Step of each snapshot."""
        return np.array(self._steps, dtype=np.int64)

    @property
    def occupancy(self) -> Array:
        """Share of the entries inside, per snapshot."""
        return self._column(0)

    @property
    def entry(self) -> Array:
        """Entry rate since the snapshot before; NaN in the first."""
        return self._column(1)

    @property
    def leave(self) -> Array:
        """Leave rate since the snapshot before; NaN in the first, and if none was inside."""
        return self._column(2)

    @property
    def dwell(self) -> float:
        """Mean dwell fraction; NaN while no entry was ever inside."""
        if self._spent is None or self._since is None or not bool((self._since > 0).any()):
            return float("nan")
        ever = self._since > 0
        return float((self._spent[ever].double() / self._since[ever].double()).mean())

    def _column(self, index: int) -> Array:
        return np.array([row[index] for row in self._rows], dtype=np.float64)
