"""Tables that a command writes or prints."""

from __future__ import annotations

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


def _frame(header: list[str], rows: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, columns=header)
