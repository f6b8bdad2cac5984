"""Input-convex neural networks as conic programs.

The names below are the public interface; each is imported when first used, so that `socicnn.conic` works where
NumPy and SciPy alone are installed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from socicnn._faces import face

__version__ = "0.2.0"

if Path(getattr(sys.modules.get("__main__"), "__file__", None) or "").stem in ("verify", "decision"):
    from socicnn._shadows import warn_of_script  # a script of that name hides a package of ours

    warn_of_script()

if TYPE_CHECKING:
    from socicnn import conic as conic
    from socicnn import density as density
    from socicnn import errors as errors
    from socicnn import frozen as frozen
    from socicnn import importers as importers
    from socicnn import nn as nn
    from socicnn import positivity as positivity
    from socicnn import regression as regression
    from socicnn import training as training
    from socicnn._compile import value_program as value_program
    from socicnn._cvxpy_atom.build import to_cvxpy as to_cvxpy
    from socicnn._cvxpy_atom.parameters import ContextParameters as ContextParameters
    from socicnn.errors import ModelError as ModelError
    from socicnn.errors import SocicnnError as SocicnnError
    from socicnn.frozen import FrozenNet as FrozenNet
    from socicnn.nn import ICNN as ICNN
    from socicnn.nn import SOCICNN as SOCICNN
    from socicnn.nn import ConvSOCICNN as ConvSOCICNN
    from socicnn.nn import NetOptions as NetOptions
    from socicnn.nn import RecurrentSOCICNN as RecurrentSOCICNN
    from socicnn.nn import load as load
    from socicnn.nn import save as save
    from socicnn.regression import ConvexRegressor as ConvexRegressor
    from socicnn.regression import MaxAffine as MaxAffine
    from socicnn.training import fit as fit

__all__ = face(
    __name__,
    {
        "ContextParameters": "socicnn._cvxpy_atom.parameters",
        "ConvSOCICNN": "socicnn.nn",
        "ConvexRegressor": "socicnn.regression",
        "FrozenNet": "socicnn.frozen",
        "ICNN": "socicnn.nn",
        "MaxAffine": "socicnn.regression",
        "ModelError": "socicnn.errors",
        "NetOptions": "socicnn.nn",
        "RecurrentSOCICNN": "socicnn.nn",
        "SOCICNN": "socicnn.nn",
        "SocicnnError": "socicnn.errors",
        "fit": "socicnn.training",
        "load": "socicnn.nn",
        "save": "socicnn.nn",
        "to_cvxpy": "socicnn._cvxpy_atom.build",
        "value_program": "socicnn._compile",
    },
    modules=("conic", "density", "errors", "frozen", "importers", "nn", "positivity", "regression", "training"),
    own=("__version__",),
)
