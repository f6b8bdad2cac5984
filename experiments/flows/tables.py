"""One Markdown table per law: held-out nats of the flows over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from experiments.engine.tables import Row, Value, grouped, markdown
from experiments.mechanism.numbers import median_interval, number, shown
from experiments.positivity.jobs import HELD_OUT, generator
from socicnn.density import cloud

ARM = ("recipe", "start", "learning_rate", "blocks")


def median(values: Sequence[float]) -> str:
    """Return `median [interval]`: 95 %, or the least and the largest of fewer than six values.

    >>> median([3.0, 1.0, 2.0])
    '2 [1, 3]'
    """
    middle, low, high = median_interval(values)
    return shown((middle, *((low, high) if len(values) > 5 else (min(values), max(values)))), 4)


def column(rows: Sequence[Mapping[str, Value]], name: str) -> list[float]:
    """Return the numbers of a column, without those that are missing."""
    return [value for row in rows if not math.isnan(value := number(row.get(name)))]


def summary(rows: Sequence[Row]) -> str:
    """Return the tables, the least median first; `emitted` is the median change when a lift reads the held-out points.

    `ms` is the time of the processor per step and seed.
    """
    parts = []
    for (law,), members in grouped(rows, ("law",)).items():
        lines: list[tuple[float, Row]] = []
        for key, group in grouped(members, ARM).items():
            nats = column(group, "nll")
            line: Row = dict(zip(("recipe", "start", "step size", "blocks"), key, strict=True))
            line |= {"seeds": len(group), "nats": median(nats), "least": f"{min(nats):.3f}"}
            changes = [
                number(row["nll_emitted_from_test"]) - number(row["nll"]) for row in group if row["recipe"] == "lift"
            ]
            line["emitted"] = median(changes) if changes else ""
            line["residual"] = f"{max(column(group, 'residual')):.0e}"
            line["ms"] = f"{1e3 * sum(column(group, 'seconds')) / sum(column(group, 'steps')):.1f}"
            lines.append((median_interval(nats)[0], line))
        ordered = [line for _, line in sorted(lines, key=lambda entry: entry[0])]
        parts.append(f"### {law}\n\n{markdown(ordered)}")
    return "\n\n".join(parts)


def entropy_of_eight_gaussians(count: int = 1024) -> float:
    """Return the mean of -log p of the eight Gaussians over the held-out points: on average no density is below it."""
    x = cloud("eight_gaussians").sample(count, generator(0, HELD_OUT), torch.float64)
    angle, deviation = torch.arange(8, dtype=torch.float64) * (math.pi / 4), 0.5 / 1.414
    centres = 4 / 1.414 * torch.stack([angle.cos(), angle.sin()], dim=1)
    exponents = -0.5 * (torch.cdist(x, centres) / deviation).square()
    return float((math.log(16 * math.pi * deviation**2) - torch.logsumexp(exponents, dim=1)).mean())
