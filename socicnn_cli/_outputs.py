"""Where a command writes, looked at before any work, so that hours of it are not lost at the end; and its JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from socicnn._files import FileError, check_place


def check_output(path: Path | None, option: str, *inputs: Path | None, suffixes: tuple[str, ...] = ()) -> None:
    """Check that a file can be written there, and that the command does not read it.

    Args:
        path: the file; None if the option was left out.
        option: its name, for messages.
        inputs: files that are read.
        suffixes: what its name may end in; anything if omitted.

    Raises:
        FileError: the folder does not exist, the path is a folder, an input, or ends otherwise.
    """
    if path is None:
        return
    check_place(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise FileError(f"{option} must end in {' or '.join(suffixes)}; received {path}")
    for other in inputs:
        if other is not None and (other.resolve() == path.resolve() or _same(other, path)):
            raise FileError(f"{option} {path} would overwrite a file that is read; give it another name")


def as_json(facts: Any) -> str:
    """Return facts as JSON; a number that is not finite is null."""
    return json.dumps(finite(facts), indent=2, allow_nan=False)


def finite(facts: Any) -> Any:
    """Return facts with None in place of each number that is not finite, which JSON does not have."""
    if isinstance(facts, dict):
        return {name: finite(entry) for name, entry in facts.items()}
    if isinstance(facts, list | tuple):
        return [finite(entry) for entry in facts]
    return None if isinstance(facts, float) and not math.isfinite(facts) else facts


def _same(first: Path, second: Path) -> bool:
    """Tell whether both names are of one file, by hard links too."""
    return first.exists() and second.exists() and first.samefile(second)
