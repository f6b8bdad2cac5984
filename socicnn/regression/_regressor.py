"""`ConvexRegressor`: convex regression as a scikit-learn estimator, its result a conic program."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from socicnn._arrays import Array, as_float64
from socicnn._registry import choose
from socicnn._shadows import refuse_shadow
from socicnn.errors import ModelError
from socicnn.nn import SOCICNN
from socicnn.positivity import recipe as make_recipe
from socicnn.positivity._projected import Projected
from socicnn.regression._band import Band, Side, conformal_band
from socicnn.regression._columns import ColumnList, Columns, as_before_on_failure, refuse_unlike
from socicnn.regression._kinds import Kind, network
from socicnn.regression._rows import TableRows
from socicnn.regression._trainer import Trainer
from socicnn.training import Loss
from socicnn.training._losses import MSE, LossName, Mirrored, make_loss

CHUNK = 4096  # rows that are evaluated at once
SEEDS = 2**31 - 2**10


class ConvexRegressor(RegressorMixin, BaseEstimator):
    """Regression by a function that is convex (or concave) in x for every context, exported as a conic program.

    f(x, theta) = s (w'z_L + v'x + c + quadratics + norms), s = 1 or -1; see `SOCICNN`.

    Args:
        kind: `relu` and `softplus` have units alone, `quad` also a quadratic, `norm` two norms, `soc` all of them.
            `stacked` is `soc` plus a maximum of a few planes, weighted by the rows held out, as one network; without
            planes where there is a context, a loss other than `mse`, labels of the gradient, `nonnegative`, another
            recipe, or fewer than 20 rows.
        hidden: widths of the hidden layers; () for none.
        context: columns, by name or place, in which f is free; it is convex in the others.
        increasing: columns in which f increases. Their linear term makes up for what the units can fall by (weights
            in the units have one sign where `nonnegative`); they are not in quadratics and norms.
        decreasing: columns in which f decreases.
        curvature: `convex` or `concave`, in the columns that are not context.
        nonnegative: whether f >= 0 everywhere, by construction; for convex f.
        loss: `mse`, `smooth_l1`, `huber`, `quantile` (the median), or a `Loss`, e.g. `Quantile(0.9)`.
        trainer: how it is trained; `Trainer()` if omitted.
        random_state: seed of the starts and of the rows held out.

    Attributes:
        network_: the network g in float64; f = -g for a concave f. A list of them for several outputs.
        history_: how it was trained, one `History` per output in the same form.
        n_features_in_: number of columns.
        feature_names_in_: their names, if X has names.

    >>> x = np.linspace(-1, 1, 41)[:, None]
    >>> model = ConvexRegressor("quad", hidden=(), random_state=0).fit(x, x[:, 0] ** 2)
    >>> model.score(x, x[:, 0] ** 2) > 0.999
    True
    """

    def __init__(
        self,
        kind: Kind = "stacked",
        *,
        hidden: Sequence[int] = (16,),
        context: ColumnList = None,
        increasing: ColumnList = None,
        decreasing: ColumnList = None,
        curvature: Literal["convex", "concave"] = "convex",
        nonnegative: bool = False,
        loss: Loss | LossName = "mse",
        trainer: Trainer | None = None,
        random_state: Any = None,
    ) -> None:
        self.kind = kind
        self.hidden = hidden
        self.context = context
        self.increasing = increasing
        self.decreasing = decreasing
        self.curvature = curvature
        self.nonnegative = nonnegative
        self.loss = loss
        self.trainer = trainer
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: several outputs are fitted."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    # training

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, gradient: Any = None) -> Self:
        """Fit f to the rows of a table.

        Args:
            X: shape `(rows, columns)`, an array or a DataFrame.
            y: values, shape `(rows,)` or `(rows, outputs)`.
            sample_weight: weights >= 0, shape `(rows,)`; a weight of 2 is the same as a row that occurs twice.
            gradient: labels of the gradient of f in the columns that are not context, in their order, shape
                `(rows, x columns)` or `(rows, outputs, x columns)`.

        Returns:
            Itself.

        Raises:
            ValueError: data that scikit-learn refuses.
            ModelError: an argument is invalid; the message says which.
        """
        with as_before_on_failure(self):
            return self._fit(X, y, sample_weight, gradient)

    def _fit(self, X: Any, y: Any, sample_weight: Any, gradient: Any) -> Self:
        refuse_unlike(X=X, y=y, sample_weight=sample_weight, gradient=gradient)
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64)
        y = np.asarray(y, dtype=np.float64)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        names = getattr(self, "feature_names_in_", None)
        columns = Columns.of(
            names, X.shape[1], context=self.context, increasing=self.increasing, decreasing=self.decreasing
        )
        sign = 1 if choose("curvature", self.curvature, ("convex", "concave")) == "convex" else -1
        if sign < 0 and self.nonnegative:
            raise ModelError("a concave function that is >= 0 everywhere is constant; leave nonnegative out")
        labels = _labels(gradient, y, len(columns.x))
        self._columns, self._sign, self._vector = columns, sign, y.ndim == 1
        seed = int(check_random_state(self.random_state).randint(SEEDS))
        outputs = y[:, None] if y.ndim == 1 else y
        fits = [
            self._fit_output(X, outputs[:, k], weight, None if labels is None else labels[:, k], seed)
            for k in range(outputs.shape[1])
        ]
        self._networks = [model for model, _ in fits]
        self.network_ = self._shaped(self._networks)
        self.history_ = self._shaped([history for _, history in fits])
        return self

    def _fit_output(self, X: Array, y: Array, weight: Array, gradient: Array | None, seed: int) -> Any:
        trainer = Trainer() if self.trainer is None else self.trainer
        if not isinstance(trainer, Trainer):
            raise ModelError(f"trainer must be a Trainer; received {type(trainer).__name__}")
        sign, loss = self._sign, make_loss(self.loss)
        rows = TableRows.of(X, sign * y, weight, None if gradient is None else sign * gradient)
        train, held = rows.split(trainer.validation, seed)
        flipped = Columns(
            self._columns.names, self._columns.x, self._columns.context, tuple(sign * s for s in self._columns.signs)
        )

        def make(start: int) -> SOCICNN:
            return network(
                self.kind, self.hidden, flipped, recipe=trainer.recipe, nonnegative=self.nonnegative, seed=start
            )

        own = loss if sign > 0 else Mirrored(loss)
        data = None if held is None else held.samples(flipped)
        if data is not None and self._stacks(trainer, loss, gradient):
            splits = [(train.samples(flipped), data)]
            for part in range(1, trainer.restarts):
                inner, outer = rows.split(trainer.validation, seed, part)
                assert outer is not None
                splits.append((inner.samples(flipped), outer.samples(flipped)))
            model, history = trainer.run_stacked(make, splits, own, seed)
        else:
            model, history = trainer.run(make, train.samples(flipped), data, own, seed)
        model.ranges = rows.samples(flipped).ranges()
        return model, history

    def _stacks(self, trainer: Trainer, loss: Loss, gradient: Array | None) -> bool:
        """Return whether planes are added: they are fitted by least squares, to values, in x alone."""
        plain = not self._columns.context and gradient is None and not self.nonnegative
        squares = isinstance(loss, MSE)
        return self.kind == "stacked" and plain and squares and isinstance(make_recipe(trainer.recipe), Projected)

    # use

    def predict(self, X: Any) -> Array:
        """Return f at each row, shape `(rows,)` or `(rows, outputs)`."""
        x, theta = self._split(X)
        parts = [slice(first, first + CHUNK) for first in range(0, len(x), CHUNK)]
        with torch.no_grad():
            values = [
                np.concatenate([self._sign * model(x[s], None if theta is None else theta[s]).numpy() for s in parts])
                for model in self._networks
            ]
        return values[0] if self._vector else np.stack(values, axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R2 of the predictions, as scikit-learn's regressors do.

        Raises:
            ModelError: y holds dates or times, or its rows are in another order than those of X.
        """
        refuse_unlike(X=X, y=y, sample_weight=sample_weight)
        return float(super().score(X, y, sample_weight))

    def gradient(self, X: Any) -> Array:
        """Return the gradient of f in the columns that are not context, in their order.

        Returns:
            Shape `(rows, x columns)`, or `(rows, outputs, x columns)`; at a kink, a subgradient.
        """
        x, theta = self._split(X)
        slopes = []
        for model in self._networks:
            at = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(model(at, theta).sum(), at)
            slopes.append(self._sign * slope.numpy())
        return slopes[0] if self._vector else np.stack(slopes, axis=1)

    def to_cvxpy(self, z: Any, context: Any = None) -> Any:
        """Return f(z, theta) as a CVXPY expression, convex or concave as f is; see `socicnn.to_cvxpy`.

        Args:
            z: a CVXPY Variable or affine expression of the columns that are not context, in their order.
            context: theta, in the order of its columns, or a mapping of their names to values.
        """
        from socicnn._cvxpy_atom.build import to_cvxpy

        check_is_fitted(self)
        theta = self._columns.theta(context)
        costs = [to_cvxpy(model, z, theta) for model in self._networks]
        if self._sign < 0:
            costs = [[-part for part in cost] if isinstance(cost, list) else -cost for cost in costs]
        return self._shaped(costs)

    def value_program(self, context: Any = None) -> Any:
        """Return the conic program whose optimal value at x is f(x), or -f(x) for a concave f."""
        from socicnn._compile import value_program

        check_is_fitted(self)
        theta = self._columns.theta(context)
        return self._shaped([value_program(model, theta) for model in self._networks])

    def certify(self, X: Any) -> Any:
        """Prove that `network_` equals its conic program at each row; see `verify.certify`.

        Returns:
            A `Certificate`, or a list of them for several outputs.
        """
        refuse_shadow("verify")
        from verify import certify

        x, theta = self._split(X)
        return self._shaped([certify(model, x, theta) for model in self._networks])

    def conformal(self, X: Any, y: Any, alpha: float = 0.1, *, side: Side = "both") -> Band:
        """Return a band around f that holds a new value with probability 1 - alpha or more.

        It is split conformal prediction: the band moves f by a quantile of the residuals of rows that were not used in
        `fit`. It says nothing about single x, and needs new rows to come from where these rows come from.

        Args:
            X: rows that `fit` has not seen.
            y: their values, shape `(rows,)`.
            alpha: share of new values that may lie outside, between 0 and 1.
            side: `both`, `upper` (values may lie above alone) or `lower`.

        Raises:
            ModelError: several outputs, alpha is not between 0 and 1, too few rows for it, or y is not one finite
                value per row.
        """
        check_is_fitted(self)
        if not self._vector:
            raise ModelError("a band is of one output; fit one estimator per output")
        refuse_unlike(X=X, y=y)
        return conformal_band(copy(self), self.predict(X), y, alpha, side)  # a later fit of this one leaves it alone

    def _split(self, X: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        check_is_fitted(self)
        refuse_unlike(X=X)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        x, theta = self._columns.split(X)
        return torch.from_numpy(x.copy()), None if theta is None else torch.from_numpy(theta.copy())

    def _shaped(self, parts: list[Any]) -> Any:
        """Return the only part, or all of them for several outputs."""
        return parts[0] if self._vector else parts


def _labels(gradient: Any, y: Array, width: int) -> Array | None:
    """Return labels of shape `(rows, outputs, x columns)`."""
    if gradient is None:
        return None
    labels = as_float64(gradient, "gradient")
    outputs = 1 if y.ndim == 1 else y.shape[1]
    wanted = (len(y), outputs, width)
    if outputs == 1 and labels.shape == (len(y), width):
        labels = labels[:, None]
    if labels.shape != wanted or not np.isfinite(labels).all():
        shape = wanted if outputs > 1 else (len(y), width)
        raise ModelError(f"gradient must be finite, of shape {shape}; received shape {labels.shape}")
    return labels
