"""The rows of all parts, put between two marks of the page "What the lift does"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.lift import gallery, mechanism
from experiments.lift.claims import Claim, table
from socicnn._files import replacing

PAGE = Path(__file__).parents[2] / "docs" / "results" / "lift.md"
BEGIN, END = "<!-- made by `python -m experiments.lift` -->", "<!-- end -->"
# heading -> the rows, made of kept tables; another study adds its own here
PARTS: dict[str, Callable[[], Sequence[Claim]]] = {
    "How it is said to work": mechanism.claims,
    "One dimension": gallery.claims,
}


def rows() -> str:
    """Return the tables of all parts in Markdown."""
    return "\n\n".join(f"## {heading}\n\n{table(claims())}" for heading, claims in PARTS.items())


def with_rows(page: str, text: str) -> str:
    """Return a page with this text between its marks.

    >>> with_rows(f"before {BEGIN} old {END} after", "new").splitlines()[-1]
    '<!-- end --> after'
    """
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}"


def main() -> None:
    """Put the rows into the page."""
    text = with_rows(PAGE.read_text(encoding="utf-8"), rows())
    with replacing(PAGE) as draft:
        draft.write_text(text, encoding="utf-8")
