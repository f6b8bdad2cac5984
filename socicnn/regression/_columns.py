"""Which columns of a table are x, which are context, and in which f increases or decreases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self, final

import numpy as np

from socicnn._arrays import Array, as_float64
from socicnn._frames import refuse_columns, refuse_other_order, refuse_times
from socicnn._integers import is_integer
from socicnn.errors import ModelError

ColumnList = str | int | Sequence[str | int] | None


@final
@dataclass(frozen=True)
class Columns:
    """The columns of a table by their places.

    Args:
        names: name of every column; None for an array.
        x: places of the columns that f is convex in.
        context: places of the columns of the context theta.
        signs: one per x: 1 increasing, -1 decreasing, 0 free.
    """

    names: tuple[str, ...] | None
    x: tuple[int, ...]
    context: tuple[int, ...]
    signs: tuple[int, ...]

    @classmethod
    def of(
        cls,
        names: Sequence[str] | None,
        count: int,
        *,
        context: ColumnList,
        increasing: ColumnList,
        decreasing: ColumnList,
    ) -> Self:
        """Return the columns of a table with `count` columns.

        Raises:
            ModelError: a column does not exist or has two roles, or all columns are context.
        """
        known = None if names is None else tuple(map(str, names))
        places = {
            role: _places(role, listed, known, count)
            for role, listed in (("context", context), ("increasing", increasing), ("decreasing", decreasing))
        }
        seen: dict[int, str] = {}
        for role, columns in places.items():
            for place in columns:
                if place in seen:
                    label = repr(known[place]) if known else str(place)
                    raise ModelError(f"column {label} is both {seen[place]} and {role}; a column has one role")
                seen[place] = role
        x = tuple(place for place in range(count) if place not in places["context"])
        if not x:
            raise ModelError("every column is context; f needs at least one column to be convex in")
        signs = tuple(int(place in places["increasing"]) - int(place in places["decreasing"]) for place in x)
        return cls(known, x, places["context"], signs)

    @property
    def x_names(self) -> list[str]:
        """Names of the columns of x: their own, or `x0`, `x1`, ..."""
        return [f"x{i}" for i in range(len(self.x))] if self.names is None else [self.names[i] for i in self.x]

    @property
    def context_names(self) -> list[str]:
        """Names of the columns of the context: their own, or `theta0`, `theta1`, ..."""
        if self.names is None:
            return [f"theta{i}" for i in range(len(self.context))]
        return [self.names[i] for i in self.context]

    def split(self, table: Array) -> tuple[Array, Array | None]:
        """Return x and the context of the rows of a table; None without a context."""
        return table[:, list(self.x)], table[:, list(self.context)] if self.context else None

    def theta(self, context: Any) -> Any:
        """Return a context in the order of its columns: from a mapping of names (a row of a DataFrame too), or as is.

        Raises:
            ModelError: a name is missing.
        """
        if not hasattr(context, "keys"):
            return context
        missing = [name for name in self.context_names if name not in context.keys()]  # noqa: SIM118 (a Series too)
        if missing:
            raise ModelError(f"the context lacks {', '.join(missing)}; it needs {', '.join(self.context_names)}")
        return np.stack([as_float64(context[name], name) for name in self.context_names], axis=-1)


@contextmanager
def as_before_on_failure(estimator: Any) -> Iterator[None]:
    """Leave an estimator as it was where fitting it ends in an error: no old weights beside new columns or signs."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:  # an interrupt too
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def refuse_unlike(**parts: Any) -> None:
    """Refuse data that scikit-learn would take for other numbers, or other rows, than are meant.

    Args:
        parts: X, y, sample_weight or gradient by name, as they were given; None for what was not.

    Raises:
        ModelError: dates or times, text, a frame with a name twice, or rows in another order.
    """
    for name, part in parts.items():
        refuse_repeated(part)
        refuse_columns(part, name)
        refuse_times(part, name)
    refuse_other_order(parts)


def refuse_repeated(X: Any) -> None:
    """Refuse a data frame with a name twice: which of its columns a role means would be a guess.

    Raises:
        ModelError: names stand twice.
    """
    names = Counter(name for name in getattr(X, "columns", ()) if isinstance(name, str))
    repeated = [name for name, times in names.items() if times > 1]
    if repeated:
        raise ModelError(f"X has several columns called {', '.join(map(repr, repeated))}; rename or drop all but one")


def _places(role: str, listed: ColumnList, names: tuple[str, ...] | None, count: int) -> tuple[int, ...]:
    several = isinstance(listed, Iterable) and not isinstance(listed, str) and not is_integer(listed)
    entries: tuple[Any, ...] = () if listed is None else tuple(listed) if several else (listed,)  # type: ignore[arg-type]
    places = [_place(role, entry, names, count) for entry in entries]
    if len(set(places)) < len(places):
        raise ModelError(f"{role} lists a column twice; received {list(entries)}")
    return tuple(places)


def _place(role: str, entry: Any, names: tuple[str, ...] | None, count: int) -> int:
    if is_integer(entry) and -count <= int(entry) < count:
        return int(entry) % count
    if isinstance(entry, str) and names is not None and entry in names:
        return names.index(entry)
    if isinstance(entry, str) and names is None:
        raise ModelError(f"{role} names the column {entry!r}, but X has no names; give a DataFrame, or places")
    close = get_close_matches(str(entry), names or (), n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    there = f"columns {', '.join(names)}" if names else f"{count} columns, counted from 0"
    raise ModelError(f"{role} names {entry!r}{hint}, which is not a column; there are {there[:300]}")
