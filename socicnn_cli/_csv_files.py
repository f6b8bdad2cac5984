"""CSV files, read strictly: entries that are not plain numbers and unclear column names are refused, never guessed."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from socicnn._arrays import Array
from socicnn._files import FileError, replacing

# decimal numbers in ASCII; Python's float() takes 1_000 and digits of every script too
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE)
_DIGITS = "(0|[1-9][0-9]{0,8})"


def read_csv(path: Path) -> tuple[list[str], Array]:
    """Return header and rows of a CSV file; the header is empty if the first line is numbers.

    Raises:
        FileError: the file is not text, has rows of unequal length, or an entry that is not a number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            numbered = enumerate(csv.reader(stream), start=1)
            lines = [(number, row) for number, row in numbered if any(map(str.strip, row))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} is not a CSV text file ({error}); save it as UTF-8 CSV") from None
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    if not lines:
        raise FileError(f"{path} is empty; it needs a header x0,x1,... and one row per point")
    header: list[str] = []
    if not all(map(_NUMBER.fullmatch, lines[0][1])):
        header = [cell.strip() for cell in lines[0][1]]
        lines = lines[1:]
    marks = ((";", "semicolons"), ("\t", "tabs"))
    separators = [name for mark, name in marks if any(mark in cell for cell in header)]
    if separators:
        raise FileError(
            f"{path} separates its columns by {separators[0]}; save it with commas, or name its columns: `socicnn fit "
            "DATA --target NAME` takes any separator"
        )
    width = len(header) or len(lines[0][1])
    for number, row in lines:
        if len(row) != width:
            raise FileError(f"{path}, line {number}: {len(row)} entries where {width} were expected; complete the row")
        for place, cell in enumerate(row):
            if not _NUMBER.fullmatch(cell):
                column = header[place] if header else f"column {place}"
                raise FileError(
                    f"{path}, line {number}: {column} is {cell[:80]!r}, not a number; write it as 1234.5 or remove "
                    "the row"
                )
    if not lines:
        raise FileError(f"{path} has a header and no rows; it needs one row per point")
    return header, np.array([[float(cell) for cell in row] for _, row in lines])


def columns(path: Path, header: Sequence[str], prefix: str) -> list[int]:
    """Return the places of the columns prefix0, prefix1, ..., in order.

    Raises:
        FileError: a column is there twice or missing, or is spelled nearly like one of these.
    """
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise FileError(f"{path} has several columns {twice[0]}; give each a name of its own")
    places: dict[int, int] = {}
    for place, name in enumerate(header):
        if re.fullmatch(prefix + _DIGITS, name):
            places[int(name.removeprefix(prefix))] = place
        elif re.fullmatch(rf"{prefix}[\W_]*\d+[\W_]*", unicodedata.normalize("NFKC", name), re.IGNORECASE):
            raise FileError(
                f"{path} has a column {name!r}, which is not one of {prefix}0, {prefix}1, ... (small letters, no "
                "signs, no leading zeros); rename or remove it"
            )
    missing = next((i for i in range(len(places)) if i not in places), None)
    if missing is not None:
        raise FileError(
            f"{path} has no column {prefix}{missing}; number the columns {prefix}0, {prefix}1, ... without gaps"
        )
    return [places[i] for i in sorted(places)]


def refuse_others(path: Path, header: Sequence[str], places: Sequence[int]) -> None:
    """Raise a FileError if a file has columns that are not used: data is never dropped silently."""
    others = [name for place, name in enumerate(header) if place not in set(places)]
    if others:
        raise FileError(
            f"{path} has columns other than x0, x1, ..., theta0, theta1, ... and y: {', '.join(others)[:200]}; "
            "rename those to learn from, remove the others"
        )


def write_csv(path: Path, header: list[str], rows: Any) -> None:
    """Write a table with exact decimal numbers, atomically."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(header)
        table.writerows([repr(float(cell)) if isinstance(cell, float) else cell for cell in row] for row in rows)


def print_csv(header: list[str], rows: Any) -> None:
    """Print a table with six digits, names quoted where they hold a comma."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows([f"{cell:.6g}" for cell in row] for row in rows)
    typer.echo(text.getvalue(), nl=False)
