"""Where a command writes: looked at before any work, so that hours of it are not lost at the end."""

from __future__ import annotations

from pathlib import Path

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


def _same(first: Path, second: Path) -> bool:
    """Tell whether both names are of one file, by hard links too."""
    return first.exists() and second.exists() and first.samefile(second)
