"""The tasks of the benchmark: parametric convex costs with known optima."""

from __future__ import annotations

import warnings
from typing import Any

from decision.tasks.data import Data
from decision.tasks.families import from_arrays, make, names, task_arrays
from decision.tasks.task import CostBlock, Task

__all__ = ["CostBlock", "Data", "Task", "from_arrays", "make", "names", "task_arrays"]


def __getattr__(name: str) -> Any:
    """Return what an old name stands for, with a warning."""
    if name != "Block":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    warnings.warn("decision.tasks.Block is now decision.tasks.CostBlock", DeprecationWarning, stacklevel=2)
    return CostBlock
