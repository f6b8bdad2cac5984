"""Files that are whole or not there: what is written appears under its name only once it is complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from socicnn.errors import SocicnnError


class FileError(SocicnnError, OSError):
    """A file that cannot be read or written as asked."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the name `path` in one step, on failure it is removed.

    >>> from tempfile import mkdtemp
    >>> target = Path(mkdtemp()) / "note.txt"
    >>> with replacing(target) as draft:
    ...     _ = draft.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileError(f"cannot write {target}: the folder {target.parent} does not exist; make it first")
    if target.is_dir():
        raise FileError(f"cannot write {target}: it is a folder; give a file name")
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    draft = Path(name)
    try:
        yield draft
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())  # the contents reach the disk before the name does
        mask = os.umask(0)
        os.umask(mask)
        draft.chmod(0o666 & ~mask)  # mkstemp makes private files; give the usual permissions
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
