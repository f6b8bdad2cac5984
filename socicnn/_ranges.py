"""The ranges of the data that a network was trained on: it has learned nothing outside them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from socicnn._arrays import Array, BoolArray, as_float64
from socicnn._frames import agreed_columns, refuse_other_columns
from socicnn.errors import ModelError

MARGIN = 0.01  # share of a column's width: a finite sample stops short of the ends of what it was drawn from


@final
@dataclass(frozen=True, eq=False)
class Ranges:
    """Least and largest value of each entry of x and of the context; copied, float64, read-only.

    Args:
        x_lower: least values, of the shape of one x.
        x_upper: largest values.
        context_lower: least values, of the shape of one context; None for a network without a context.
        context_upper: largest values.
        x_names: names of the columns of x, where the data were a frame with names; they are how a frame in another
            order is told.
        context_names: the same of the context.

    Raises:
        ModelError: shapes that differ, an entry that is not finite, a lower end above its upper end, one end of the
            context without the other, or names that are not one text per column.

    >>> ranges = Ranges.of([[0.0, 1.0], [2.0, 5.0]])
    >>> ranges
    Ranges(x: 2 entries in [0, 5])
    >>> ranges.outside_x([[1.0, 3.0], [1.0, 6.0]]).tolist()
    [False, True]
    """

    x_lower: Array
    x_upper: Array
    context_lower: Array | None = None
    context_upper: Array | None = None
    x_names: tuple[str, ...] | None = None
    context_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Copy the arrays and check them."""
        if (self.context_lower is None) != (self.context_upper is None):
            raise ModelError("context_lower and context_upper belong together; give both or neither")
        for name in ("x", "context"):
            ends = []
            for end in ("lower", "upper"):
                bound = getattr(self, f"{name}_{end}")
                if bound is None:
                    continue
                array = np.array(as_float64(bound))
                array.flags.writeable = False
                object.__setattr__(self, f"{name}_{end}", array)
                ends.append(array)
            if not ends:
                continue
            lower, upper = ends
            if lower.shape != upper.shape or not np.isfinite(ends).all() or (lower > upper).any():
                raise ModelError(
                    f"{name}_lower and {name}_upper must be finite, of equal shape, and lower <= upper; received "
                    f"shapes {lower.shape} and {upper.shape}"
                )
        for part in ("x", "context"):
            lower = getattr(self, f"{part}_lower")
            names = checked_names(getattr(self, f"{part}_names"), None if lower is None else lower.shape, part)
            object.__setattr__(self, f"{part}_names", names)

    @classmethod
    def of(cls, x: Any, context: Any = None, *, x_axes: int = 1, context_axes: int = 1) -> Ranges:
        """Return the ranges of points and contexts.

        Args:
            x: points, shape `(*batch, *input_shape)`.
            context: contexts, shape `(*batch, *context_shape)`; None without contexts.
            x_axes: number of axes of one x: 1 for vectors, 3 for images of channels, rows and columns.
            context_axes: number of axes of one context.

        Raises:
            ModelError: no points, or entries that are not finite.
        """
        ends: list[Any] = []
        for name, values, axes in (("x", x, x_axes), ("context", context, context_axes)):
            if values is None:
                continue
            array = as_float64(values)
            lead = tuple(range(array.ndim - axes))
            if not lead or not array.size:
                raise ModelError(f"the ranges of {name} need at least one row; received shape {array.shape}")
            ends += [array.min(axis=lead), array.max(axis=lead)]
        return cls(*ends)

    def outside_x(self, x: Any, margin: float = MARGIN) -> BoolArray:
        """Return whether each point leaves the ranges in any entry, shape `(*batch,)`.

        Args:
            x: points, shape `(*batch, *input_shape)`.
            margin: share of an entry's width that a point may lie beyond its ends.

        Raises:
            ModelError: the shape does not fit, or a frame has other columns.
        """
        refuse_other_columns(self, "x", x)
        return _outside("x", as_float64(x), self.x_lower, self.x_upper, margin)

    def outside_context(self, context: Any, margin: float = MARGIN) -> BoolArray:
        """Return whether each context leaves the ranges in any entry, shape `(*batch,)`.

        Args:
            context: contexts, shape `(*batch, *context_shape)`.
            margin: share of an entry's width that a context may lie beyond its ends.

        Raises:
            ModelError: the shape does not fit, a frame has other columns, or the ranges have no context.
        """
        refuse_other_columns(self, "context", context)
        if self.context_lower is None or self.context_upper is None:
            raise ModelError("these ranges have no context; the network was trained without one")
        return _outside("context", as_float64(context), self.context_lower, self.context_upper, margin)

    def widened(self, other: Ranges) -> Ranges:
        """Return the least ranges that hold both, with the names of columns that either has.

        Names that differ are refused: entry j would be the range of two things, and no frame would be told from another
        any more.

        Raises:
            ModelError: their shapes or their names of columns differ.
        """
        own, more = self._arrays(), other._arrays()
        if [(k, v.shape) for k, v in own.items()] != [(k, v.shape) for k, v in more.items()]:
            raise ModelError(f"ranges of different shapes cannot be joined: {self} and {other}")
        join = {"lower": np.minimum, "upper": np.maximum}
        ends: dict[str, Any] = {name: join[name.split("_")[1]](array, more[name]) for name, array in own.items()}
        return Ranges(**ends).named_as(other).named_as(self)

    def after(self, before: Ranges | None, *, widened: bool) -> Ranges:
        """Return the ranges to store in a network after training on data with these, by the names that are known.

        Args:
            before: the ranges in the network before, None for a fresh one.
            widened: whether training went on with what it had learned, so that both count.

        Raises:
            ModelError: the network was trained with columns of other names.
        """
        if before is None:
            return self
        return before.widened(self) if widened else self.named_as(before)

    def named_as(self, other: Ranges) -> Ranges:
        """Return the same ranges with the names of columns that either has; those of other shapes are left out.

        Raises:
            ModelError: their names differ.
        """
        names: dict[str, Any] = {}
        for part in ("x", "context"):
            known = getattr(other, f"{part}_names")
            alike = np.shape(getattr(self, f"{part}_lower")) == np.shape(getattr(other, f"{part}_lower"))
            own = getattr(self, f"{part}_names")
            names[f"{part}_names"] = agreed_columns(own, known, part) if alike or own is not None else None
        return replace(self, **names)

    def to_json(self) -> str:
        """Return the ranges as text that `from_json` reads back to the last bit."""
        ends = {name: array.tolist() for name, array in self._arrays().items()}
        names = {"x_names": self.x_names, "context_names": self.context_names}
        return json.dumps(ends | {name: value for name, value in names.items() if value is not None}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Ranges:
        """Return the ranges that `to_json` wrote.

        Raises:
            ModelError: the text holds no ranges.
        """
        try:
            fields = json.loads(text)
            names = {name: fields.pop(name, None) for name in ("x_names", "context_names")}
            ends: dict[str, Any] = {str(name): np.array(values, dtype=np.float64) for name, values in fields.items()}
            return cls(**ends, **names)
        except (TypeError, ValueError, AttributeError, RecursionError, ModelError) as error:
            raise ModelError(f"the ranges cannot be read ({error})") from None

    def __reduce__(self) -> tuple[type[Ranges], tuple[Any, ...]]:
        """Return how to copy: through the constructor, so that copies are read-only too."""
        ends = (self.x_lower, self.x_upper, self.context_lower, self.context_upper)
        return Ranges, (*ends, self.x_names, self.context_names)

    def __repr__(self) -> str:
        """Return one line: sizes and the least and largest entry."""
        parts = [f"x: {_spanned(self.x_lower, self.x_upper)}"]
        if self.context_lower is not None and self.context_upper is not None:
            parts.append(f"context: {_spanned(self.context_lower, self.context_upper)}")
        return f"Ranges({', '.join(parts)})"

    def _arrays(self) -> dict[str, Array]:
        names = ("x_lower", "x_upper", "context_lower", "context_upper")
        return {name: array for name in names if (array := getattr(self, name)) is not None}


def checked_names(names: Any, shape: tuple[int, ...] | None, part: str) -> tuple[str, ...] | None:
    """Return names of columns as a tuple, None for none.

    Args:
        names: what was given as names.
        shape: of one row; None where there are no rows.
        part: `x` or `context`, whose names they are.

    Raises:
        ModelError: they are not one text per column.
    """
    if names is None:
        return None
    texts = isinstance(names, tuple | list) and all(isinstance(entry, str) for entry in names)
    if not texts or shape != (len(names),):
        received = f"received {names!r} for rows of shape {shape}" if shape else f"received {names!r}"
        raise ModelError(f"{part}_names must be a tuple of texts, one per column; {received}")
    return tuple(names)


def _outside(name: str, values: Array, lower: Array, upper: Array, margin: float) -> BoolArray:
    if values.shape[values.ndim - lower.ndim :] != lower.shape or values.ndim < lower.ndim:
        raise ModelError(f"the ranges have a {name} of shape {lower.shape}; received points of shape {values.shape}")
    ulp = np.spacing(np.maximum(np.abs(lower), np.abs(upper)))
    slack = np.maximum(margin * (upper - lower), 8 * ulp)  # a constant column keeps the width of its rounding
    beyond = ~((values >= lower - slack) & (values <= upper + slack))  # NaN is outside
    return np.asarray(beyond.reshape(*beyond.shape[: values.ndim - lower.ndim], -1).any(axis=-1))


def _spanned(lower: Array, upper: Array) -> str:
    if not lower.size:
        return "no entries"
    return f"{lower.size} entr{'y' if lower.size == 1 else 'ies'} in [{lower.min():.4g}, {upper.max():.4g}]"
