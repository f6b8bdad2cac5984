"""Ten regression tables in five folds, every model at its defaults.

python -m experiments.tables --preset tiny|paper [--only table=norm model=lpcf] [--status]

A row is a table, a model and a fold: R2 on the fold's test rows, and the CPU seconds of fitting and predicting (of lpcf
those of fitting alone). The power data are read from the folder that SOCICNN_DATA names; LightGBM, XGBoost and cvxreg
come with `pip install 'socicnn[tables]'`, lpcf has an environment of its own (`make .venv-pcf/.ready`). A cell that
lacks its package or data is listed as failed.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row
from experiments.tables.data import NAMES, load
from experiments.tables.models import MODELS
from experiments.tables.ranks import summary

FOLDS = 5
VERSION = {"socicnn stacked": 5, "ours": 4, "others": 1}  # go up when what is run changes
PRESETS: dict[str, tuple[tuple[str, ...], tuple[str, ...], int]] = {  # tables, models, folds that are run
    "tiny": (("monotone", "linnerud"), ("max-affine", "ridge", "linear"), 2),
    "paper": (NAMES, tuple(MODELS), FOLDS),
}


def fit_fold(*, table: str, model: str, fold: int, version: int) -> list[Row]:
    """Fit a model on the training rows of a fold and score it on the others.

    Args:
        table: its name.
        model: its name.
        fold: which of the five.
        version: of this function.
    """
    data = load(table)
    train, test = list(KFold(FOLDS, shuffle=True, random_state=0).split(data.X))[fold]
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages, about their own dependencies
        values, seconds = MODELS[model](data, data.X[train], data.y[train], data.X[test])
    spent = time.process_time() - started if seconds is None else seconds
    if not np.isfinite(values).all():
        raise ArithmeticError(f"{model} predicts values that are not finite")
    return [{"convex": data.convex, "r2": float(r2_score(data.y[test], values)), "seconds": spent}]


def cells(preset: str) -> list[Cell]:
    """Return one cell per model, table and fold."""
    tables, models, folds = PRESETS[preset]
    return [
        Cell({"table": table, "model": model, "fold": fold}, fit_fold, {"version": _version(model)})
        for fold in range(folds)
        for table in tables
        for model in models
    ]


def _version(model: str) -> int:
    return VERSION.get(model, VERSION["ours" if model.startswith("socicnn") else "others"])


def main(argv: Sequence[str] | None = None) -> None:
    given = options("tables", "Fit every model at its defaults to ten regression tables, five folds each.", argv)
    print(summary(given.run(cells(given.preset)).rows))
