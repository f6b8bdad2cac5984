"""A report as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

_FIELDS = ("forward", "value", "dual", "gap", "max_gap", "passed", "residuals")
_MORE = ("lo", "hi", "sizes", "fingerprint")


def to_json(report: Any, indent: int | None, sort_keys: bool) -> str:
    """Return a `Report` as JSON, the key of a field that it lacks empty; what is not finite becomes a string.

    Args:
        report: the report.
        indent: spaces per level; None for one line.
        sort_keys: whether keys are sorted.
    """
    solvers, times = getattr(report, "solvers", {}), getattr(report, "times", {})
    document = {"ok": report.ok, "agreed": getattr(report, "agreed", True)}
    document["checks"] = [_plain(vars(check)) for check in report.checks]
    document |= {name: _plain(getattr(report, name)) for name in _FIELDS}
    document["solvers"] = {name: _plain({**vars(solver), "ok": solver.ok}) for name, solver in solvers.items()}
    document |= {name: _plain(getattr(report, name)) for name in _MORE}
    document["times"] = _plain(times)
    return json.dumps(document, allow_nan=False, indent=indent, sort_keys=sort_keys)


def _plain(value: Any) -> Any:
    """Return what JSON can hold."""
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
