"""What all results have in common: a verdict, a summary, one line, and a table for notebooks.

Those that hold values f also have `value` and `gap`, arrays in the units of f, and `max_gap`, the largest |gap|.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

Row = Sequence[object]


class Result(ABC):
    """Base of what functions return as their verdict: `Report`, `Certificate`, `Decision`, `History` and others."""

    @property
    @abstractmethod
    def ok(self) -> bool:
        """Whether all is well; each result says what that means."""

    @abstractmethod
    def summary(self) -> str:
        """Return a few sentences or lines for a reader, the verdict first."""

    def line(self) -> str:
        """Return the summary's first line."""
        return self.summary().partition("\n")[0]

    def table(self) -> tuple[Row, Sequence[Row]]:
        """Return the head and the rows of a small table for notebooks; no rows for none."""
        return (), ()

    def __str__(self) -> str:
        """Return the summary."""
        return self.summary()

    def __repr__(self) -> str:
        """Return one line, whatever the size of the result."""
        return f"<{type(self).__name__}: {self.line()}>"

    def _repr_html_(self) -> str:
        """Return the first line and the table, for a notebook."""
        from socicnn._html import html_of

        return html_of(self.line(), *self.table())
