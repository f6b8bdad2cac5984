"""Tables that a command writes or prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from socicnn._files import replacing


def write_csv(path: Path, header: list[str], rows: Any) -> None:
    """Write a table as CSV, atomically, with decimal numbers that are read back to the last bit."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as stream:
        _frame(header, rows).to_csv(stream, index=False, na_rep="nan")


def print_csv(header: list[str], rows: Any) -> None:
    """Print a table as CSV, numbers that are not whole with six digits, names quoted where they hold a comma."""
    typer.echo(_frame(header, rows).to_csv(index=False, na_rep="nan", float_format="%.6g"), nl=False)


def own_names(own: Sequence[str], users: Sequence[str]) -> list[str]:
    """Return names for a command's own columns beside a user's: with underscores at the end where the name is taken.

    What is renamed is said in one sentence.

    >>> own_names(["gap", "outside"], ["outside", "outside_"])
    ['gap', 'outside__']
    """
    names = list[str]()
    for name in own:
        while name in users or name in names:
            name += "_"
        names.append(name)
    renamed = [f"{name!r} to {new!r}" for name, new in zip(own, names, strict=True) if name != new]
    if renamed:
        listed = ", ".join(renamed)
        typer.echo(f"the table has columns of the same names, so the command's own are renamed: {listed}", err=True)
    return names


def _frame(header: list[str], rows: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, columns=header)
