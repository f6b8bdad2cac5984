"""A user's table as it is: separators, decimal commas, dates, quoted names, missing values, compression, parquet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, final

import numpy as np

from socicnn._arrays import Array
from socicnn._files import FileError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MISSING = ["?", "-", "--"]  # beside what pandas takes for missing: empty, NA, NaN, null, ...
COMPRESSED = {".gz", ".bz2", ".xz", ".zip", ".zst"}
SHOWN = 40  # names that a message lists
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_COMMA = r"[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?"  # a number whose decimal mark, if it has one, is a comma
_NO_NAME = re.compile(r"(Unnamed: \d+)?")  # what pandas calls a column without a name, such as the index that it writes


@final
@dataclass(frozen=True, eq=False)
class NumberTable:
    """The rows of some columns that have a finite number in each of them.

    Args:
        values: shape `(rows, columns)`.
        rows: number of each row in the file, counted from 1 below the header.
        dropped: column -> number of rows in which it is missing.
        total: rows of the file.
    """

    values: Array
    rows: Any
    dropped: dict[str, int]
    total: int

    def said(self) -> str:
        """Return in a sentence how many rows were dropped and why; empty if none were."""
        count = self.total - len(self.values)
        if not count:
            return ""
        where = ", ".join(f"{name} in {number}" for name, number in self.dropped.items())
        return f"dropped {count} of {self.total} rows with missing values ({where})"


def names_of(text: str | None) -> list[str]:
    """Return the names in an option: separated by commas, quoted where a name has one."""
    if text is None:
        return []
    (row,) = csv.reader([text], skipinitialspace=True)
    return [name.strip() for name in row if name.strip()]


def read_frame(path: Path, *, bare: bool = False) -> Any:
    """Return a table as a DataFrame, its names as strings and its numbers to the last bit.

    Args:
        path: CSV or the like, compressed or not, or parquet.
        bare: whether a file may begin with numbers instead of names; its columns are then called 0, 1, ...

    Raises:
        FileError: the file is missing, broken or empty, two columns have one name, or it does not tell whether its
            first line are names, or its commas decimal marks.
    """
    if not path.exists():
        raise FileError(f"no file {path}; check the path")
    if path.is_dir():
        raise FileError(f"{path} is a folder; name a file")
    frame = _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _text(path, bare)
    frame.columns = [str(name).strip() for name in frame.columns]
    twice = sorted({name for name in frame.columns if list(frame.columns).count(name) > 1})
    if twice:
        raise FileError(f"{path} has several columns {twice[0]!r}; give each a name of its own")
    if not len(frame):
        raise FileError(f"{path} has no rows; it needs a header and one row per observation")
    return frame


def named_frame(path: Path, names: Sequence[str]) -> Any:
    """Return a table that may have columns of these names, or none; errors are those of `read_frame`."""
    return read_frame(path, bare=not any(map(_NUMBER.fullmatch, names)))


def numbers(path: Path, frame: Any, names: Sequence[str]) -> NumberTable:
    """Return the rows in which all of these columns are finite numbers.

    Raises:
        FileError: a column does not exist, or holds text or dates; or no row is left.
    """
    columns = {name: column_of(path, frame, name) for name in names}
    values = np.column_stack([columns[name] for name in names])  # a name may stand twice
    whole = np.isfinite(values).all(axis=1)
    if not whole.any():
        raise FileError(f"{path} has no row with a number in each of {', '.join(names)[:300]}; complete the rows")
    dropped = {name: int(count) for name, column in columns.items() if (count := np.sum(~np.isfinite(column)))}
    return NumberTable(values[whole], np.flatnonzero(whole) + 1, dropped, len(frame))


def numeric_names(frame: Any) -> list[str]:
    """Return the names of the columns that hold numbers alone; columns without a name are left out."""
    return [str(name) for name in frame.columns if _holds_numbers(frame[name]) and not _NO_NAME.fullmatch(str(name))]


def _holds_numbers(column: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column))


def column_of(path: Path, frame: Any, name: str) -> Array:
    """Return a column as numbers, NaN where a value is missing.

    Raises:
        FileError: there is no such column, or it holds text, dates or durations.
    """
    import pandas as pd

    if name not in frame.columns:
        there = [str(column) for column in frame.columns]
        lowered = {column.lower(): column for column in there}
        close = get_close_matches(name.lower(), lowered, n=1)
        hint = f" (did you mean {lowered[close[0]]!r}?)" if close else ""
        raise FileError(f"{path} has no column {name!r}{hint}; it has {', '.join(there[:SHOWN])}")
    column = frame[name]
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        raise FileError(f"column {name!r} of {path} holds dates; make numbers of them (e.g. the hour), or leave it out")
    if pd.api.types.is_timedelta64_dtype(column):  # as numbers they depend on the unit that the file is kept in
        raise FileError(f"column {name!r} of {path} holds durations; make numbers of them, e.g. hours, or leave it out")
    converted = pd.to_numeric(column, errors="coerce")
    text = column[converted.isna() & column.notna()]
    if len(text):
        raise FileError(
            f"column {name!r} of {path} holds text, e.g. {str(text.iloc[0])[:60]!r} in row {int(text.index[0]) + 1} "
            f"({len(text)} rows); make numbers of it, or leave it out"
        )
    found_numbers: Array = converted.to_numpy(dtype=np.float64, na_value=np.nan)
    return found_numbers


def _parquet(path: Path) -> Any:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError:
        raise FileError(f'{path}: reading parquet needs pyarrow; run: pip install "socicnn[parquet]"') from None
    except Exception as error:  # whatever a damaged file makes of the reader
        raise FileError(f"{path} is not a valid parquet file ({' '.join(str(error).split())[:200]})") from None


def _text(path: Path, bare: bool) -> Any:
    import pandas as pd

    try:
        with pd.io.common.get_handle(path, "r", encoding="utf-8-sig", compression="infer") as handles:
            text = handles.handle.read()
        header = next((line for line in text.splitlines() if line.strip()), "")
        if not header:
            raise FileError(f"{path} is empty; it needs a header and one row per observation")
        separator = _separator(header)
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        bare = bare and all(map(_NUMBER.fullmatch, names))
        if bare and names == [str(i) for i in range(len(names))]:  # what pandas writes for columns without names
            raise FileError(
                f"{path} begins with {', '.join(names)[:80]}, which may be names or a row of numbers; name the "
                "columns, x0, x1, ... or theta0, theta1, ..., or write 0.0 for the first number"
            )
        if bare and len(names) == 1 and not text.splitlines()[0].strip():  # a missing value, or no row at all
            raise FileError(f"{path} begins with an empty line; write nan for a missing value, or remove the line")
        if len(set(names)) < len(names) and not bare:  # pandas would number them
            name = next(name for name in names if names.count(name) > 1)
            raise FileError(f"{path} has several columns {name!r}; give each a name of its own")
        options: dict[str, Any] = {
            "sep": separator,
            "na_values": MISSING,
            "skipinitialspace": True,
            "low_memory": False,
            "header": None if bare else 0,
            "skip_blank_lines": len(names) > 1,  # in a file of one column an empty line is a missing value
        }
        text = text.strip() if len(names) == 1 else text
        if pd.__version__.startswith(("2.", "3.0")):  # later ones are exact to the last bit by default
            options["float_precision"] = "round_trip"
        frame = pd.read_csv(io.StringIO(text), **options)
        if separator != "," and (commas := _with_commas(frame)):
            points, frame = frame, pd.read_csv(io.StringIO(text), decimal=",", **options)
            mixed = [name for name in frame if _holds_numbers(points[name]) and not _holds_numbers(frame[name])]
            if mixed:
                raise FileError(
                    f"{path} has numbers with a comma in column {str(commas[0])!r} and with a point in column "
                    f"{str(mixed[0])!r}; write all of them with one decimal mark, and none for thousands"
                )
    except FileError:
        raise
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not UTF-8 text ({error}); save it as UTF-8 CSV") from None
    except (OSError, EOFError, ValueError) as error:  # a parser's error is a ValueError
        said = " ".join(str(error).split())
        ragged = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said)
        if ragged is not None:
            expected, line, seen = ragged.groups()
            raise FileError(f"{path}, line {line}: {seen} entries instead of {expected}; correct the row") from None
        raise FileError(f"cannot read {path} as a table: {said[:200]}") from None
    if isinstance(frame.index, pd.MultiIndex) or not isinstance(frame.index, pd.RangeIndex):
        raise FileError(f"{path} has rows with more entries than its header; complete the header")
    return frame


def _with_commas(frame: Any) -> list[Any]:
    """Return the columns that hold text which is numbers with decimal commas, all of it."""
    columns = []
    for name in frame.columns:
        cells = frame[name].dropna()
        if len(cells) and not _holds_numbers(cells):
            cells = cells.astype(str).str.strip()
            if cells.str.contains(",").any() and cells.str.fullmatch(_COMMA).all():
                columns.append(name)
    return columns


def _separator(header: str) -> str:
    """Return the separator that makes the most columns of a header, quotes respected."""
    counts = {mark: len(next(csv.reader([header], delimiter=mark))) for mark in SEPARATORS}
    return max(counts, key=lambda mark: counts[mark])
