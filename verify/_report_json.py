"""A report as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

_FIELDS = ("forward", "value", "dual", "gap", "max_gap", "passed", "residuals", "solvers", "lo", "hi", "sizes")


def to_json(report: Any, indent: int | None, sort_keys: bool) -> str:
    """Return a `Report` as JSON; a number that is not finite becomes a string.

    Args:
        report: the report.
        indent: spaces per level; None for one line.
        sort_keys: whether keys are sorted.
    """
    plain = {name: _plain(getattr(report, name)) for name in (*_FIELDS, "fingerprint", "times")}
    plain["solvers"] = {name: _plain({**vars(solver), "ok": solver.ok}) for name, solver in report.solvers.items()}
    checks = [_plain(vars(check)) for check in report.checks]
    document = {"ok": report.ok, "agreed": report.agreed, "checks": checks, **plain}
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
