"""The tables of the mechanism: means over seeds with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from experiments.engine.tables import Row, Value, grouped, markdown
from experiments.mechanism.numbers import mean_interval, number, shown

Rows = Sequence[Mapping[str, Value]]
RUN = ("law", "start_from", "arm")
NAMES = {"law": "law", "start_from": "start", "arm": "arm"}


def of(rows: Rows, **wanted: Value) -> list[Mapping[str, Value]]:
    """Return the rows with these values."""
    return [row for row in rows if all(row.get(column) == value for column, value in wanted.items())]


def per_seed(rows: Rows, measure: Callable[[Rows], float]) -> list[float]:
    """Return a measure of each seed's rows, without the seeds for which it is not known."""
    values = [measure(members) for members in grouped(rows, ("seed",)).values()]
    return [value for value in values if not math.isnan(value)]


def column(rows: Rows, name: str) -> list[float]:
    """Return the numbers of a column, without those that are missing."""
    return [value for row in rows if not math.isnan(value := number(row.get(name)))]


def mean(name: str) -> Callable[[Rows], float]:
    """Return the measure: mean over the noted steps."""
    return lambda rows: float(np.mean(values)) if (values := column(rows, name)) else math.nan


def last(name: str) -> Callable[[Rows], float]:
    """Return the measure: value at the last step."""
    return lambda rows: values[-1] if (values := column(rows, name)) else math.nan


def first(name: str) -> Callable[[Rows], float]:
    """Return the measure: value at the first noted step."""
    return lambda rows: values[0] if (values := column(rows, name)) else math.nan


def in_shoulder(rows: Rows) -> float:
    """Return the mean norm over the noted steps at which the least weight is below -3 (figure 6)."""
    values = [number(row["norm"]) for row in rows if number(row["least"]) < -3]
    return float(np.mean(values)) if values else math.nan


def falls(rows: Rows) -> float:
    """Return how far the occupancy is from growing monotonically: the sum of its falls between noted steps."""
    values = column(rows, "occupancy")
    return -sum(min(after - before, 0.0) for before, after in pairwise(values))


def peak(rows: Rows) -> float:
    """Return the largest norm over the last one."""
    values = column(rows, "norm")
    return max(values) / values[-1] if values and values[-1] > 0 else math.nan


def summary(rows: Rows, measures: Mapping[str, Callable[[Rows], float]]) -> list[Row]:
    """Return one line per law, start and arm: the mean of each measure over the seeds, and its interval."""
    lines: list[Row] = []
    for key, members in grouped(rows, RUN).items():
        line: Row = dict(zip(NAMES.values(), key, strict=True))
        line["seeds"] = len(grouped(members, ("seed",)))
        for name, measure in measures.items():
            values = per_seed(members, measure)
            line[name] = shown(mean_interval(values)) if values else "-"
        lines.append(line)
    return lines


ABLATION = {
    "norm while the least weight is below -3": in_shoulder,
    "largest norm / last": peak,
    "least weight at the start": first("least"),
    "at the end": last("least"),
    "trailing trace, mean over the steps": mean("trace"),
}
SHOULDER = {
    "occupancy at step 20": first("occupancy"),
    "at the end": last("occupancy"),
    "sum of its falls": falls,
    "median weight at the end": last("median"),
    "leave rate": mean("leave"),
    "of a fixed batch": mean("leave_still"),
    "dwell fraction": last("dwell"),
}
PROBE = {
    "norm": last("norm"),
    "trace": last("trace"),
    "noise part": last("noise"),
    "curvature part": last("curvature"),
    "cosine": last("cosine"),
    "independent, 8 pairs": last("parted_8"),
    "128 pairs": last("parted_128"),
    "trace of the Hessian": last("hessian"),
    "what the fluctuation adds to it": last("hessian_added"),
    "what Lemma 1 says": lambda rows: last("trace")(rows) / last("kappa")(rows) ** 2,
}


def signs(rows: Rows) -> tuple[int, int, int, int]:
    """Return the numbers of probes, of traces below zero, of those below and above it by two standard errors."""
    pairs = [(number(row["trace"]), number(row["trace_error"])) for row in rows if row["slack"]]
    below, above = (sum(sign * value > 2 * error for value, error in pairs) for sign in (-1, 1))
    return len(pairs), sum(value < 0 for value, _ in pairs), below, above


def escape(rows: Rows) -> list[Row]:
    """Return one line per noise: rates and mean times, simulated and exact."""
    lines: list[Row] = []
    for (sigma,), members in grouped(rows, ("sigma",)).items():
        line: Row = {"sigma_Jac": sigma, "rate": shown(mean_interval(column(members, "rate")))}
        line["exact rate"] = members[0]["exact_rate"]
        times = column(members, "time")
        line["mean time of those that escape"] = shown(mean_interval(times), 4) if times else "-"
        line["exact mean"] = f"{number(members[0].get('exact_time')):.4g}" if times else "-"
        line["the envelope"] = f"{number(members[0]['envelope']):.4g}" if sigma else "-"
        lines.append(line)
    return lines


def slope(rows: Rows, least: float, name: str = "time") -> float:
    """Return the slope of log mean time in log sigma_Jac from a noise on.

    Args:
        rows: rows of the equation.
        least: the least noise that counts.
        name: `time` or `exact_time`.
    """
    groups = {number(key[0]): column(members, name) for key, members in grouped(rows, ("sigma",)).items()}
    points = [(sigma, float(np.mean(times))) for sigma, times in groups.items() if sigma >= least and times]
    sigmas, times = zip(*points, strict=True)
    return float(np.polyfit(np.log(sigmas), np.log(times), 1)[0])


def rendered(rows: Rows) -> str:
    """Return every table in Markdown."""
    training, probes, equation = (of(rows, study=study) for study in ("training", "probe", "escape"))
    parts = []
    if training:
        parts += ["### Cross-covariance on the trailing window", markdown(summary(training, ABLATION))]
        parts += ["### The shoulder", markdown(summary(training, SHOULDER))]
    if probes:
        probes = [row for row in probes if number(row["jitter"]) > 0]
        parts += ["### Probes at the end of training", markdown(summary(probes, PROBE))]
        count, below, clearly, _ = signs([row for row in probes if row["arm"] == "lift"])
        parts.append(
            f"Of {count} probes of the lift {below} have a trace below zero, {clearly} by two standard errors."
        )
    if equation:
        parts += ["### The bias-channel equation", markdown(escape(equation))]
    return "\n\n".join(parts)
