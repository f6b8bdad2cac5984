"""Pages of results with a generated part: text between two marks, of which the first names the command that made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from socicnn._files import replacing

END = "<!-- end -->"
_RESULTS = Path(__file__).parents[2] / "docs" / "results"


@final
@dataclass(frozen=True)
class Page:
    """A page of results.

    Args:
        name: of its file.
        command: what makes the part between its marks.
        folder: where the page is.
    """

    name: str
    command: str
    folder: Path = _RESULTS

    @property
    def path(self) -> Path:
        """Return where the page is."""
        return self.folder / self.name

    @property
    def begin(self) -> str:
        """Return the mark before the generated part."""
        return f"<!-- made by `{self.command}` -->"

    def filled(self, page: str, text: str) -> str:
        """Return the page's text with another one between its marks.

        >>> page = Page("lift.md", "python -m experiments.lift")
        >>> page.filled("a <!-- made by `python -m experiments.lift` --> old <!-- end --> z", "new").splitlines()
        ['a <!-- made by `python -m experiments.lift` -->', '', 'new', '', '<!-- end --> z']
        """
        before, _, rest = page.partition(self.begin)
        return f"{before}{self.begin}\n\n{text.strip()}\n\n{END}{rest.partition(END)[2]}"

    def write(self, text: str) -> None:
        """Put text between the marks of the file, in one step."""
        content = self.filled(self.path.read_text(encoding="utf-8"), text)
        with replacing(self.path) as draft:
            draft.write_text(content, encoding="utf-8")
