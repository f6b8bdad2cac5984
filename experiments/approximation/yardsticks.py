"""What the networks are compared with: maxima of planes, lpcf, and gradient-boosted trees, which are not convex."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from experiments.approximation.shapes import most
from experiments.approximation.targets import drawn, relative_error
from experiments.engine.tables import Row
from socicnn.importers.lpcf import sections
from socicnn.regression import MaxAffine
from socicnn.training import Data

Fitted = tuple[Callable[[torch.Tensor], Any], int, float]  # values at points, parameters, processor seconds
PIECES = (8, 32)  # of a maximum of planes, and as many as the parameters allow: the best on validation data


def fit_yardstick(
    preset: str,
    target: str,
    d: int,
    model: str,
    shape: str,
    block: int,
    *,
    seeds: Sequence[int],
    points: Sequence[int],
    version: int,
) -> list[Row]:
    """Fit one yardstick per seed and return one row each; the arguments are those of `fit_networks`."""
    rows = list[Row]()
    for seed in seeds:
        train, validation, test = drawn(target, d, seed, points)
        values, parameters, seconds = YARDSTICKS[model](train, validation, seed)
        errors = {
            f"{name}error": relative_error(torch.as_tensor(np.asarray(values(part.x))), part.y)
            for name, part in (("relative_", test), ("validation_", validation))
        }
        rows.append({"seed": seed, "parameters": parameters, **errors, "train_s": seconds})
    return rows


def _max_affine(train: Data, validation: Data, seed: int) -> Fitted:
    started, d = time.process_time(), train.x.shape[1]
    fits = [
        MaxAffine(pieces, restarts=2, random_state=seed).fit(train.x.numpy(), train.y.numpy())
        for pieces in (*PIECES, most(d) // (d + 1))
    ]
    errors = [relative_error(torch.as_tensor(fit.predict(validation.x.numpy())), validation.y) for fit in fits]
    best = fits[int(np.argmin(errors))]
    return lambda x: best.predict(x.numpy()), best.slopes_.size + best.offsets_.size, time.process_time() - started


def _trees(train: Data, validation: Data, seed: int) -> Fitted:
    """Boost trees until a tenth of the training points no longer gains; the parameters are the leaves."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    started = time.process_time()
    model = HistGradientBoostingRegressor(max_iter=1000, early_stopping=True, random_state=seed)
    model.fit(train.x.numpy(), train.y.numpy())
    leaves = sum(tree.get_n_leaf_nodes() for stage in model._predictors for tree in stage)
    return lambda x: model.predict(x.numpy()), leaves, time.process_time() - started


def _lpcf(train: Data, validation: Data, seed: int) -> Fitted:
    """Fit lpcf's network of two equal ReLU layers and a full quadratic, as large as the others, by its own defaults.

    They are 200 steps of Adam and up to 2,000 iterations of L-BFGS; from one start per seed. Its matrices are emitted
    once, as there is no context: the seconds are less than lpcf alone takes.
    """
    from experiments.baselines.lpcf.fitting import fit_lpcf
    from experiments.baselines.lpcf.function import LPCFSettings

    d, width = train.x.shape[1], 1
    while lpcf_parameters(d, width + 1) <= most(d):
        width += 1
    theta = torch.zeros(1, 1, dtype=torch.float64)  # there is no context
    settings = LPCFSettings(widths=(width, width), quadratic=0, loss="lpcf")
    fitted = fit_lpcf(Data(train.x[None], theta, train.y[None]), settings, seed=seed, share_matrices=True)

    def values(x: torch.Tensor) -> Any:
        with torch.no_grad():
            return fitted(x[None], theta)[0].numpy()

    return values, lpcf_parameters(d, width), fitted.seconds


def lpcf_parameters(d: int, width: int) -> int:
    """Return the numbers that lpcf fits with two layers of a width and a full triangular quadratic."""
    return sum(math.prod(part) for part in sections(d, (width, width), 0))


YARDSTICKS: dict[str, Callable[[Data, Data, int], Fitted]] = {
    "max-affine": _max_affine,
    "lpcf": _lpcf,
    "trees": _trees,
}
