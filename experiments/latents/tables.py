"""Markdown of the energies of latents: held-out nats per digit, and what is known about log Z."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from experiments.densities.tables import error
from experiments.engine.tables import Value, grouped
from experiments.latents.energies import MODELS

Rows = Sequence[Mapping[str, Value]]


def section(rows: Rows, seeds: int) -> str:
    """Return the tables of some rows.

    Args:
        rows: one per model, seed and digit.
        seeds: number of seeds of the preset.
    """
    models = [model for model in MODELS if any(row["model"] == model for row in rows)]
    run = len({row["seed"] for row in rows})
    lines = [
        f"Mean of -log p over the held-out latents of each digit, in nats; less is better. {run} of {seeds} seeds.",
        "",
        f"| digit | {' | '.join(models)} |",
        f"|---|{'---:|' * len(models)}",
    ]
    for (digit,), own in sorted(grouped(rows, ("digit",)).items()):
        cells = [_nats([row for row in own if row["model"] == model]) for model in models]
        lines.append(f"| {digit} | {' | '.join(cells)} |")
    means = [f"{_mean([row for row in rows if row['model'] == model], 'nll'):.3f}" for model in models]
    lines += [f"| mean | {' | '.join(means)} |", ""]
    lines += [
        "| model | below the Gaussian | log Z, largest difference of two estimates | least ess, annealed / direct | "
        "seconds per digit |",
        "|---|---:|---:|---:|---:|",
    ]
    for model in models:
        own = [row for row in rows if row["model"] == model]
        if "log_z" in own[0] and own[0]["log_z"] is not None:
            lines.append(f"| {model} | {_below(rows, own)} | {_diagnostics(own)} |")
    restored = _mean(rows, "restored")
    lines += [
        "",
        f"The autoencoder restores held-out images with a root mean square error of {restored:.3f} per pixel.",
    ]
    return "\n".join(lines)


def _nats(rows: Rows) -> str:
    return f"{_mean(rows, 'nll'):.2f} +- {error(rows):.2f}" if rows else ""


def _below(rows: Rows, own: Rows) -> str:
    """Return on how many digits a model is below the Gaussian, seed by seed."""
    gaussian = {(row["digit"], row["seed"]): _number(row, "nll") for row in rows if row["model"] == "Gaussian"}
    pairs = [(_number(row, "nll"), gaussian[key]) for row in own if (key := (row["digit"], row["seed"])) in gaussian]
    return f"{sum(a < b for a, b in pairs)} of {len(pairs)}"


def _diagnostics(own: Rows) -> str:
    worst = max((_number(row, "log_z") - _number(row, "log_z_direct") for row in own), key=abs)
    led, direct = (min(_number(row, f"effective_sample_size{end}") for row in own) for end in ("", "_direct"))
    return f"{worst:+.3f} | {led:.0f} / {direct:.0f} | {_mean(own, 'seconds'):.0f}"


def _mean(rows: Rows, column: str) -> float:
    return statistics.fmean(_number(row, column) for row in rows)


def _number(row: Mapping[str, Value], column: str) -> float:
    value = row.get(column, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0
