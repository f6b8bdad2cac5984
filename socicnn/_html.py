"""A line and a table as HTML, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence

Row = Sequence[object]
ROWS = 20  # of a table, at most


def html_of(line: str, head: Row, rows: Sequence[Row]) -> str:
    """Return a line, and a table of at most 20 rows if there are any."""
    parts = [f"<p>{_escaped(line)}</p>"]
    if rows:
        parts.append(f"<table>{_row('th', head)}{''.join(_row('td', row) for row in rows[:ROWS])}</table>")
    if len(rows) > ROWS:
        parts.append(f"<p>{ROWS} of {len(rows)} rows</p>")
    return "".join(parts)


def _row(tag: str, cells: Row) -> str:
    return "<tr>" + "".join(f"<{tag}>{_escaped(cell)}</{tag}>" for cell in cells) + "</tr>"


def _escaped(cell: object) -> str:
    """Return a cell as HTML; floats with six digits."""
    return html.escape(f"{cell:.6g}" if isinstance(cell, float) else str(cell))
