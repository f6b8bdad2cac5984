"""Input-convex neural networks as conic programs.

The names below are the public interface; each is imported when first used, so that `socicnn.conic` works where
NumPy and SciPy alone are installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from socicnn.compile import to_cvxpy as to_cvxpy
    from socicnn.compile import value_program as value_program
    from socicnn.frozen import FrozenNet as FrozenNet
    from socicnn.nn import ICNN as ICNN
    from socicnn.nn import SOCICNN as SOCICNN
    from socicnn.nn import load as load
    from socicnn.nn import save as save

_HOMES = {
    "FrozenNet": "socicnn.frozen",
    "ICNN": "socicnn.nn",
    "SOCICNN": "socicnn.nn",
    "load": "socicnn.nn",
    "save": "socicnn.nn",
    "to_cvxpy": "socicnn.compile",
    "value_program": "socicnn.compile",
}

__all__ = ["ICNN", "SOCICNN", "FrozenNet", "__version__", "load", "save", "to_cvxpy", "value_program"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'socicnn' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
