"""What users hold beside arrays of numbers: objects, dates and times, and data frames with rows in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from socicnn.errors import ModelError

_TIMES = {"M": "dates", "m": "times"}  # by NumPy's letter
SHOWN = 8  # columns that a message names at most


def refuse_columns(frame: Any, name: str) -> None:
    """Refuse a data frame with a column of dates, times or text, by the column's name; anything else passes.

    Raises:
        ModelError: the first such column, and what it holds.
    """
    for label in _labels(frame):
        column = frame[label]
        kind = getattr(getattr(column, "dtype", None), "kind", None)
        what = _TIMES.get(kind or "")
        if kind in ("O", "T", "U"):
            text = next((entry for entry in column if isinstance(entry, str) and not _reads_as_number(entry)), None)
            other = next((entry for entry in column if not _may_be_number(entry)), None)  # periods, intervals, lists
            what = None if other is None else f"entries of type {type(other).__name__}"
            what = what if text is None else f"text, e.g. {text[:20]!r}"
        if what is not None:
            raise ModelError(f"column {label!r} of {name} holds {what}; make numbers of it, or leave it out")


def refuse_times(values: Any, name: str) -> None:
    """Refuse arrays, series and lists of dates or times; frames are for `refuse_columns`, anything else passes.

    NumPy makes numbers of them in silence, in the unit that they happen to be stored in: an hour is 3.6e9 or 3.6e12,
    and a missing one is -9.2e18.

    Raises:
        ModelError: what they are.
    """
    if _labels(values) or hasattr(values, "detach") or hasattr(values, "toarray"):  # neither torch nor SciPy has dates
        return
    try:
        array = np.asarray(() if values is None else values)
    except ValueError:  # rows of different lengths, which others refuse
        return
    except TypeError:  # an Arrow table, whose columns share no type of NumPy's
        raise ModelError(
            f"{name} must hold real numbers; received dates or times beside numbers: make numbers of them, in one unit"
        ) from None
    what = _TIMES.get(array.dtype.kind)
    if array.dtype.kind == "O":
        other = next((entry for entry in array.reshape(-1) if _of_dates(entry)), None)
        what = None if other is None else f"entries of type {type(other).__name__}"
    # pandas' dates with a zone say so themselves: their arrays hold objects
    what = _TIMES.get(getattr(getattr(values, "dtype", None), "kind", None) or "", what)
    if what is not None:
        raise ModelError(f"{name} must hold real numbers; received {what}: make numbers of them, in one unit")


def refuse_other_order(parts: Mapping[str, Any]) -> None:
    """Refuse pandas objects that have the same labels of rows in different orders: row i would meet another row.

    Args:
        parts: argument's name -> what a user gave; what has no labels of rows passes.

    Raises:
        ModelError: two of them, and how to mend it.
    """
    labelled = {name: part.index for name, part in parts.items() if hasattr(getattr(part, "index", None), "isin")}
    for (name, labels), (other, more) in zip(labelled.items(), list(labelled.items())[1:], strict=False):
        if len(labels) == len(more) and not labels.equals(more) and _same_labels(labels, more):
            raise ModelError(
                f"{name} and {other} have the same row labels in different orders, so that row i of one belongs to "
                f"another row of the other; align them by .loc, or give .to_numpy() if they are in order as they are"
            )


def _same_labels(labels: Any, more: Any) -> bool:
    """Return whether each label stands as often in both; frames put together without new labels hold 0 in every row."""
    if not bool(labels.isin(more).all()):
        return False
    times, others = (each.value_counts(dropna=False) for each in (labels, more))
    return len(times) == len(others) and bool((times.reindex(others.index) == others).all())


def refuse_reordered_columns(frame: Any, other: Any, name: str, where: str) -> None:
    """Refuse a data frame with the columns of another one in another order: column j would stand for another.

    Args:
        frame: what a user gave; what has no columns passes.
        other: what came before it.
        name: of both.
        where: where the frame was given.

    Raises:
        ModelError: both orders, and how to mend it.
    """
    labels, before = map(_labels, (frame, other))
    if labels != before and set(labels) == set(before):
        raise ModelError(
            f"{name} of {where} has the columns {labels[:8]}, before they were in the order {before[:8]}; give them in "
            "that order"
        )


def column_names(frame: Any) -> tuple[str, ...] | None:
    """Return the names of the columns of a data frame or an Arrow table; None unless each is a text."""
    arrow = hasattr(frame, "column_names") and hasattr(frame, "num_columns")
    return _all_text(_labels(frame) or (frame.column_names if arrow else ()))


def refuse_other_columns(ranges: Any, part: Literal["x", "context"], values: Any, name: str | None = None) -> None:
    """Refuse a data frame, or one row of one, whose columns are not those that a network was trained with.

    Args:
        ranges: the `ranges` of the network, which hold the names; None if it has none.
        part: which of its columns.
        values: what a user gave; what has no names, such as an array, passes: it goes by position.
        name: of the argument, for messages; `part` if omitted.

    Raises:
        ModelError: both lists of columns, and how to mend it.
    """
    known = getattr(ranges, f"{part}_names", None)
    if known is None:
        return
    names = column_names(values)
    index: Any = getattr(values, "index", None)
    row = hasattr(index, "isin") and not _labels(values)
    # its entries are called as the columns of its frame; of the only column, it may be a part of that
    if row and len(index) == len(known) > 1:
        names = _all_text(list(index))
    agreed_columns(names, known, name or part)


def agreed_columns(names: tuple[str, ...] | None, known: tuple[str, ...] | None, name: str) -> tuple[str, ...] | None:
    """Return the names of columns where two sides agree, or only one has any; arrays have none and go by position.

    Args:
        names: what was given now.
        known: what the network was trained with.
        name: of the argument, for messages.

    Raises:
        ModelError: both lists, and how to mend it.
    """
    if names is None or known is None or names == known:
        return known if names is None else names
    same = [a == b for a, b in zip(names, known, strict=False)]
    first = same.index(False) if False in same else len(same)
    first = 0 if max(len(names), len(known)) <= SHOWN else first  # of many columns those where they part
    where = f" from place {first} on" if first else ""
    mend = f"give frame[{[*known]}]" if len(known) <= SHOWN else "give them in that order"
    mend = mend if set(known) <= set(names) else "give them by these names"
    raise ModelError(
        f"{name} has{where} the columns {_listed(names[first:])}, but the network is trained with "
        f"{_listed(known[first:])} in this order; {mend}, or .to_numpy() to go by position"
    )


def _listed(names: Sequence[str]) -> str:
    return repr([*names[:SHOWN]]) if len(names) <= SHOWN else f"{repr([*names[:SHOWN]])[:-1]}, ...]"


def _all_text(labels: Sequence[Any]) -> tuple[str, ...] | None:
    return tuple(map(str, labels)) if len(labels) and all(isinstance(label, str) for label in labels) else None


def _labels(frame: Any) -> list[Any]:
    """Return the names of the columns of a data frame; none of a series, and of an Arrow table, whose are no labels."""
    return list(frame.columns) if hasattr(frame, "dtypes") and hasattr(frame, "columns") else []


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _may_be_number(entry: Any) -> bool:
    """Return whether an entry may stand for a number: it is one, text or missing."""
    return isinstance(entry, str | bytes) or hasattr(entry, "__float__") or _missing(entry)


def _of_dates(entry: Any) -> bool:
    """Return whether an entry is a date, a time or a period of Python or pandas."""
    return type(entry).__module__.partition(".")[0] in {"datetime", "pandas"} and not _may_be_number(entry)


def _missing(entry: Any) -> bool:
    return entry is None or type(entry).__name__ in {"NAType", "NaTType"}


def odd_entry(array: NDArray[np.object_]) -> str | None:
    """Return what an array of objects holds that NumPy would convert in silence, or could not; None if nothing is."""
    for entry in array.reshape(-1):
        if isinstance(entry, str | bytes):
            return "text"
        if isinstance(entry, complex | np.complexfloating):
            return "complex numbers"
        if _missing(entry):
            return "missing values"
    return None
