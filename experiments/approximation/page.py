"""The generated parts of the page of results: the tables of the kept rows between two marks."""

from __future__ import annotations

from pathlib import Path

from socicnn._files import replacing

PAGE = Path(__file__).parents[2] / "docs" / "results" / "approximation.md"
BEGIN, END = "<!-- made by `python -m experiments.approximation --preset converged --render` -->", "<!-- end -->"


def with_tables(page: str, tables: str) -> str:
    """Return a page with these tables in the place of those between its marks.

    >>> with_tables(f"before {BEGIN} old {END} after", "new").splitlines()[-1]
    '<!-- end --> after'
    """
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables.strip()}\n\n{END}{after}"


def write(tables: str) -> None:
    """Put tables into the page."""
    text = with_tables(PAGE.read_text(encoding="utf-8"), tables)
    with replacing(PAGE) as draft:
        draft.write_text(text, encoding="utf-8")
