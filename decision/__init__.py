"""Decisions: minimise a learned convex cost over a set, with a certified gap, and judge the decision by its regret."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decision import baselines as baselines
    from decision import metrics as metrics
    from decision import sets as sets
    from decision import tasks as tasks
    from decision.deciding import decide as decide
    from decision.fitting import fit as fit
    from decision.metrics import evaluate as evaluate
    from decision.minimise.answers import Decision as Decision
    from decision.sets import Box as Box
    from decision.sets import Budget as Budget
    from decision.sets import Simplex as Simplex

_HOMES = {
    "Box": "decision.sets",
    "Budget": "decision.sets",
    "Decision": "decision.minimise.answers",
    "Simplex": "decision.sets",
    "decide": "decision.deciding",
    "evaluate": "decision.metrics",
    "fit": "decision.fitting",
}
_MODULES = ("baselines", "metrics", "sets", "tasks")

__all__ = ["Box", "Budget", "Decision", "Simplex", "baselines", "decide", "evaluate", "fit", "metrics", "sets", "tasks"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"decision.{name}")
    raise AttributeError(f"module 'decision' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
