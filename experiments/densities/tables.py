"""One Markdown table per data set: held-out nats with their error, and what is known about log Z."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from experiments.engine.tables import Row, Value, grouped

MEANING = "Mean of -log p over held-out rows, in nats of standardised columns; less is better."
RELIABLE = 100.0  # effective sample size from which on an estimate of log Z is believed


def summary(rows: Sequence[Row]) -> str:
    """Return a document: what the numbers are, and the tables."""
    return f"# Densities of tables\n\n{MEANING}\n\n{sections(rows, '##')}\n"


def sections(rows: Sequence[Row], mark: str) -> str:
    """Return a heading and a table per data set, the best model first.

    `nats` is the mean over the seeds of the held-out mean of -log p, +- its standard error: that of the mean over the
    test rows, log Z's included, or the one of the seeds, whichever is larger.

    Args:
        rows: the rows.
        mark: of the headings, e.g. `##`.
    """
    lines: list[str] = []
    for (data,), members in grouped(rows, ("data",)).items():
        lines += [
            "",
            f"{mark} {data}",
            "",
            "| model | start | step size | nats | log Z, two estimates | ess | seconds | seeds |",
        ]
        lines += ["|---|---|---:|---:|---:|---:|---:|---:|"]
        groups = grouped(members, ("model", "start", "learning_rate"))
        for (model, law, rate), own in sorted(groups.items(), key=lambda entry: _mean(entry[1], "nll")):
            shown = f"{rate:g}" if isinstance(rate, float) and rate else ""
            nats = f"{_mean(own, 'nll'):.3f} +- {error(own):.3f}"
            lines += [
                f"| {model} | {'' if law == 'none' else law} | {shown} | {nats} | {_log_z(own)} | {_ess(own)} | "
                f"{_mean(own, 'seconds'):.0f} | {len(own)} |"
            ]
    return "\n".join(lines).strip()


def error(rows: Sequence[Mapping[str, Value]]) -> float:
    """Return the standard error of the mean nats of some seeds."""
    within = [math.hypot(_number(row, "sampling_error"), _number(row, "log_z_error")) for row in rows]
    values = [_number(row, "nll") for row in rows]
    between = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return max(math.sqrt(statistics.fmean([w * w for w in within]) / len(rows)), between)


def _log_z(rows: Sequence[Mapping[str, Value]]) -> str:
    """Return the largest difference of the two estimates over the seeds, in their common standard errors."""
    if "log_z" not in rows[0]:
        return ""
    worst = max(rows, key=lambda row: abs(_number(row, "log_z") - _number(row, "log_z_direct")))
    error = math.hypot(_number(worst, "log_z_error"), _number(worst, "log_z_direct_error"))
    return f"{_number(worst, 'log_z') - _number(worst, 'log_z_direct'):+.3f} +- {error:.3f}"


def _ess(rows: Sequence[Mapping[str, Value]]) -> str:
    """Return the least effective sample sizes, annealed and direct, marked where the first is too small."""
    if "log_z" not in rows[0]:
        return ""
    led, direct = (min(_number(row, f"effective_sample_size{end}") for row in rows) for end in ("", "_direct"))
    return f"{led:.0f} / {direct:.0f}" + ("" if led >= RELIABLE else " unreliable")


def _mean(rows: Sequence[Mapping[str, Value]], column: str) -> float:
    return statistics.fmean(_number(row, column) for row in rows)


def _number(row: Mapping[str, Value], column: str) -> float:
    value = row.get(column, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0
