"""Tidy tables: CSV whose values come back as they were, summaries over groups, Markdown.

A row is `{column: value}` with strings, integers, floats, booleans or None; an empty field is None, which is the same
as a column that the row does not have.
"""

from __future__ import annotations

import csv
import math
import os
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from socicnn._files import replacing
from socicnn.errors import SocicnnError

Value = str | int | float | bool | None
Row = dict[str, Value]

_INTEGER = re.compile(r"-?\d+")


class TableError(SocicnnError, ValueError):
    """A table, or a value for one, that cannot be used as it is."""


def as_value(given: Any, column: str) -> Value:
    """Return a value that a table keeps without loss, from itself or from a scalar of NumPy or torch.

    Raises:
        TableError: it is something else, or a string that would come back as another value.
    """
    value = given.item() if hasattr(given, "item") and getattr(given, "ndim", 1) == 0 else given
    if value is None or isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        raise TableError(
            f"column '{column}' holds a {type(value).__name__}; give a string, a number, a boolean or None"
        )
    if parsed(value) != value:
        raise TableError(f"column '{column}' holds the string {value!r}, which would be read back as something else")
    return value


def written(value: Value) -> str:
    """Return the text of a value; `parsed` gives the value back, floats to the last bit."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def parsed(text: str) -> Value:
    """Return the value of a text.

    >>> parsed("7"), parsed("7.0"), parsed("true"), parsed(""), parsed("relu")
    (7, 7.0, True, None, 'relu')
    """
    if text in ("", "true", "false"):
        return {"": None, "true": True, "false": False}[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def write_table(path: str | os.PathLike[str], rows: Sequence[Mapping[str, Value]], first: Sequence[str] = ()) -> None:
    """Write rows as CSV in one step; the file is whole or as it was.

    Args:
        path: where; the folder is made if need be.
        rows: the rows; a column that some of them lack is empty there.
        first: columns to begin with; the others follow as they first appear.
    """
    columns = list(dict.fromkeys([*first, *(column for row in rows for column in row)]))
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([written(row.get(column)) for column in columns] for row in rows)


def read_table(path: str | os.PathLike[str]) -> list[Row]:
    """Read what `write_table` wrote; empty fields are left out of the rows.

    Raises:
        TableError: there is no such file, or its rows are of different lengths.
    """
    source = Path(path)
    if not source.is_file():
        raise TableError(f"there is no table {source}; run the experiment that makes it first")
    with source.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.reader(stream))
    columns = lines[0] if lines else []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(columns):
            raise TableError(f"line {number} of {source} has {len(line)} fields, its header {len(columns)}")
    return [
        {column: parsed(text) for column, text in zip(columns, line, strict=True) if text != ""} for line in lines[1:]
    ]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile, linear between order statistics.

    >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0])
    (2.0, 3.0, 4.0)
    """
    ordered = sorted(values)
    if not ordered:
        raise TableError("quartiles of no values: the group has none")

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low]) if place > low else ordered[low]

    return at(0.25), at(0.5), at(0.75)


def median_and_quartiles(values: Sequence[float]) -> str:
    """Return `median [lower, upper]` with three significant digits."""
    low, middle, high = quartiles(values)
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def mean_and_deviation(values: Sequence[float]) -> str:
    """Return `mean ± standard deviation` with three significant digits; the mean alone of one value."""
    mean = statistics.fmean(values)
    return f"{mean:.3g} ± {statistics.stdev(values):.3g}" if len(values) > 1 else f"{mean:.3g}"


def grouped(
    rows: Iterable[Mapping[str, Value]], by: Sequence[str]
) -> dict[tuple[Value, ...], list[Mapping[str, Value]]]:
    """Return the rows of each combination of the columns `by`, in order of first appearance."""
    groups: dict[tuple[Value, ...], list[Mapping[str, Value]]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(column) for column in by), []).append(row)
    return groups


def summary(
    rows: Iterable[Mapping[str, Value]],
    by: Sequence[str],
    columns: Sequence[str],
    show: Callable[[Sequence[float]], str] = median_and_quartiles,
) -> list[Row]:
    """Return one row per group: the group's columns, how many rows it has, and what `show` makes of each column.

    Values that are missing or not finite are left out; where none remains the field is a dash.
    """
    found: list[Row] = []
    for group, members in grouped(rows, by).items():
        row: Row = {**dict(zip(by, group, strict=True)), "count": len(members)}
        for column in columns:
            given = [member.get(column) for member in members]
            numbers = [float(v) for v in given if isinstance(v, int | float) and math.isfinite(v)]
            row[column] = show(numbers) if numbers else "-"
        found.append(row)
    return found


def markdown(rows: Sequence[Mapping[str, Value]], columns: Sequence[str] | None = None) -> str:
    """Return a Markdown table; numbers have three significant digits and stand to the right.

    >>> print(markdown([{"arm": "lift", "tv": 0.0123456}]))
    | arm | tv |
    |---|---:|
    | lift | 0.0123 |
    """
    names = list(columns) if columns is not None else list(dict.fromkeys(name for row in rows for name in row))

    def shown(value: Value) -> str:
        if isinstance(value, float):
            return f"{value:.3g}"
        return written(value).replace("|", "\\|")

    right = {name for name in names if rows and all(_number(row.get(name)) for row in rows)}
    lines = [f"| {' | '.join(names)} |", f"|{'|'.join('---:' if name in right else '---' for name in names)}|"]
    lines += [f"| {' | '.join(shown(row.get(name)) for name in names)} |" for row in rows]
    return "\n".join(lines)


def _number(value: Value) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
