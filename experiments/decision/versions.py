"""What a row is bound to: the versions of what made it, checked when a table is read and named in the row.

A row whose settings or versions are not today's is left out of every table, which says so, and is made again by the
next run. Raise a number whenever the same settings would give other rows.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from experiments.engine.tables import Row

OPTIMISER = 2  # `decide`: gaps relative to the scale of `decision._minimise.reference`; 1 stopped at 1e-6 (1 + abs f)
TRAINING = 2  # the finish by L-BFGS is shortened with the epochs, and the structured models have one, too
PROTOCOL = 2  # one accuracy for every model in choice, judging and on fresh contexts
RTOL = 1e-6  # relative accuracy to which decisions are certified
FINE = 1e-9  # and where regrets are too small to be told apart by it
PACKAGES = ("torch", "clarabel")  # named in rows, but not asked for: any version should give the same table


def bound() -> dict[str, Any]:
    """Return the versions and accuracies for the settings of a cell, so that its fingerprint changes with them."""
    return {"optimiser": OPTIMISER, "training": TRAINING, "protocol": PROTOCOL, "rtol": RTOL, "fine": FINE}


def named() -> Row:
    """Return the columns that name the versions in a row."""
    return {**bound(), "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES)}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
