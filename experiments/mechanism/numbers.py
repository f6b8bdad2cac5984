"""Numbers for rows and tables: seven digits, and intervals over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.stats import binom, t

from experiments.engine.tables import Row, Value


def rounded(**values: float) -> Row:
    """Return numbers with seven significant digits, without those that are not known.

    >>> rounded(norm=0.123456789, leave=float("nan"), step=20)
    {'norm': 0.1234568, 'step': 20}
    """
    return {name: v if isinstance(v, int) else float(f"{v:.7g}") for name, v in values.items() if not math.isnan(v)}


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95 % interval by Student's law.

    >>> [round(number, 3) for number in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan, math.nan
    error = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
    reach = float(t.ppf(0.975, len(values) - 1)) * error
    return mean, mean - reach, mean + reach


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and an interval of two order statistics that holds it with at least 95 %, whatever the law.

    Fewer than six values do not have one: its ends are then infinite.

    >>> median_interval([float(i) for i in range(30)])
    (14.5, 9.0, 20.0)
    """
    ordered, count = sorted(values), len(values)
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    cut = int(binom.ppf(0.025, count, 0.5))  # values below the interval, and above
    return (middle, ordered[cut - 1], ordered[count - cut]) if cut >= 1 else (middle, -math.inf, math.inf)


def shown(interval: tuple[float, float, float], digits: int = 3) -> str:
    """Return `middle [low, high]`.

    >>> shown((0.0123456, 0.01, 0.02))
    '0.0123 [0.01, 0.02]'
    """
    middle, low, high = (f"{number:.{digits}g}" for number in interval)
    return f"{middle} [{low}, {high}]" if math.isfinite(interval[1]) else middle


def number(value: Value) -> float:
    """Return a number of a row; NaN if it is missing."""
    return float(value) if isinstance(value, int | float) else math.nan
