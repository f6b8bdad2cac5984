"""Prediction bands by split conformal prediction: how far new values lie from f, whatever their distribution.

With residuals r_1 .. r_m of rows that training has not seen and q the ceil((m + 1)(1 - alpha))-th smallest of them, a
new value lies in f(x) + [-q, q] (r = |y - f|), or below f(x) + q (r = y - f), with probability at least 1 - alpha.

Source: Vovk, Gammerman, Shafer, Algorithmic learning in a random world, 2005; Lei et al., 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from socicnn._arrays import Array, as_float64
from socicnn._frames import refuse_other_order
from socicnn._registry import choose
from socicnn.errors import ModelError, ProgramError

if TYPE_CHECKING:
    from socicnn.regression._regressor import ConvexRegressor

Side = Literal["both", "upper", "lower"]


@final
@dataclass(frozen=True)
class Band:
    """The interval [f(x) - below, f(x) + above] around a prediction.

    Args:
        model: the estimator as it was when the band was made; fitting it anew does not change the band.
        alpha: share of new values that may lie outside.
        below: width below f; infinite for an upper bound.
        above: width above f; infinite for a lower bound.
        rows: number of rows that it was made from.
    """

    model: ConvexRegressor
    alpha: float
    below: float
    above: float
    rows: int

    def __str__(self) -> str:
        """Return what the band promises in one sentence."""
        ends = {"below": self.below, "above": self.above}
        sides = " and ".join(f"{width:.4g} {name}" for name, width in ends.items() if not math.isinf(width))
        return f"{1 - self.alpha:.4g} of new rows like the {self.rows} given lie at most {sides} the prediction"

    def predict(self, X: Any) -> tuple[Array, Array]:
        """Return the lower and the upper end at each row; infinite on a side that is open."""
        f = self.model.predict(X)
        return f - self.below, f + self.above

    def coverage(self, X: Any, y: Any) -> float:
        """Return the share of values that lie in the band.

        Args:
            X: rows.
            y: their values, shape `(rows,)`.

        Raises:
            ModelError: y is not finite, or has not one value per row.
        """
        refuse_other_order({"X": X, "y": y})
        f = self.model.predict(X)
        values = _values(y, f)
        lower, upper = f - self.below, f + self.above
        return float(np.mean((values >= lower) & (values <= upper)))

    def upper(self, z: Any, context: Any = None) -> Any:
        """Return the upper end f(z) + above as a CVXPY expression: convex where f is, e.g. for `upper <= limit`.

        Of several contexts it is a list, one expression each.

        Raises:
            ProgramError: the band has no upper end.
        """
        if math.isinf(self.above):
            raise ProgramError("this band is open above; make it with side='upper' or 'both'")
        return self._moved(z, context, self.above)

    def lower(self, z: Any, context: Any = None) -> Any:
        """Return the lower end f(z) - below as a CVXPY expression: concave where f is; of several contexts a list.

        Raises:
            ProgramError: the band has no lower end.
        """
        if math.isinf(self.below):
            raise ProgramError("this band is open below; make it with side='lower' or 'both'")
        return self._moved(z, context, -self.below)

    def _moved(self, z: Any, context: Any, distance: float) -> Any:
        """Return f(z) + distance at one context, or at each of several."""
        f = self.model.to_cvxpy(z, context)
        return [part + distance for part in f] if isinstance(f, list) else f + distance


def conformal_band(model: ConvexRegressor, predicted: Array, y: Any, alpha: float, side: Side) -> Band:
    """Return the band of an estimator from its predictions at rows that training has not seen.

    Raises:
        ModelError: alpha is not between 0 and 1, the shapes differ, or there are too few rows.
    """
    choose("side", side, ("both", "upper", "lower"))
    if not 0 < alpha < 1:
        raise ModelError(f"alpha must lie between 0 and 1; received {alpha!r}")
    y = _values(y, predicted)
    rank = math.ceil((len(y) + 1) * (1 - alpha) * (1 - 1e-12))  # 0.9 * 10 is 9, whatever its last bit
    if rank > len(y):
        least = math.ceil(1 / alpha * (1 - 1e-12)) - 1
        raise ModelError(f"alpha {alpha:g} needs at least {least} rows; received {len(y)}")
    residual = y - predicted
    scores = {"both": np.abs(residual), "upper": residual, "lower": -residual}[side]
    width = float(np.sort(scores)[rank - 1])
    return Band(
        model,
        alpha,
        below=math.inf if side == "upper" else width,
        above=math.inf if side == "lower" else width,
        rows=len(y),
    )


def _values(y: Any, predicted: Array) -> Array:
    """Return values to compare with predictions: no other shape, which NumPy would spread over all pairs of rows.

    Raises:
        ModelError: they are not finite, or not one per row.
    """
    values = as_float64(y, "y")
    if values.shape != predicted.shape:
        mend = "flatten it" if values.size == predicted.size else "give the values of these rows"
        raise ModelError(
            f"y must hold one value per row, shape {predicted.shape}; received shape {values.shape}: {mend}"
        )
    if not np.isfinite(values).all():
        raise ModelError(f"y has {int((~np.isfinite(values)).sum())} entries that are not finite; leave these rows out")
    return values
