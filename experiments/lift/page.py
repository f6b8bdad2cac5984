"""The rows of all parts, put between two marks of the page "What the lift does"."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from experiments.engine.pages import Page
from experiments.lift import flows, gallery, latents, mechanism, tables
from experiments.lift.claims import Claim, table

PAGE = Page("lift.md", "python -m experiments.lift")
# heading -> the rows, made of kept tables; another study adds its own here
PARTS: dict[str, Callable[[], Sequence[Claim]]] = {
    "How it is said to work": mechanism.claims,
    "One dimension": gallery.claims,
    "Tables": tables.claims,
    "Image latents": latents.claims,
    "Flows": flows.claims,
}


def rows() -> str:
    """Return the tables of all parts in Markdown."""
    return "\n\n".join(f"## {heading}\n\n{table(claims())}" for heading, claims in PARTS.items())


def main() -> None:
    """Put the rows into the page."""
    PAGE.write(rows())
