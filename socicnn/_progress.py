"""Progress where somebody looks: a bar in terminals and notebooks, lines of the logger `socicnn` elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tqdm import tqdm
from tqdm.auto import tqdm as notebook_tqdm

SECONDS = 10.0  # between two lines of the log

log = logging.getLogger("socicnn")
log.addHandler(logging.NullHandler())


def in_notebook() -> bool:
    """Tell whether this is a kernel of Jupyter, whose output is not a terminal and yet looked at."""
    return "ipykernel" in sys.modules


class Progress:
    """A progress bar; its lines also go to the logger `socicnn` at level INFO, one each ten seconds and at the end.

    Args:
        total: steps in all.
        description: its label.
        unit: of a step.
        shown: whether to show a bar, where there is a terminal or a notebook.
        initial: steps behind already.
    """

    def __init__(self, total: int, description: str, unit: str, *, shown: bool, initial: int = 0) -> None:
        kind: Any = notebook_tqdm if in_notebook() else tqdm
        disable = (False if in_notebook() else None) if shown else True  # None: if it is not a terminal
        self.bar = kind(total=total, initial=initial, desc=description, unit=unit, disable=disable)
        self.total, self.description, self.unit = total, description, unit
        self.done, self.text, self.logged = initial, "", time.monotonic()

    def step(self, text: str) -> None:
        """Count a step, with what is known after it."""
        self.done += 1
        self.text = text
        self.bar.update()
        self.bar.set_postfix_str(text)
        if time.monotonic() - self.logged >= SECONDS:
            self._line()

    def _line(self) -> None:
        self.logged = time.monotonic()
        log.info("%s: %s %d of %d, %s", self.description, self.unit, self.done, self.total, self.text)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
        if self.text:
            self._line()
