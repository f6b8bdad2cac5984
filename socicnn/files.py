"""Files that are whole or not there: what is written appears under its name only once it is complete."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socicnn.errors import SocicnnError

_MASK = os.umask(0)  # can only be read by setting it: once, before there are threads
os.umask(_MASK)


class FileError(SocicnnError, OSError):
    """A file that cannot be read or written as asked."""


def check_place(target: Path) -> None:
    """Raise a FileError where no file of that name can be: the folder does not exist, or the name is a folder's."""
    if not target.parent.is_dir():
        raise FileError(f"cannot write {target}: the folder {target.parent} does not exist; make it first")
    if target.is_dir():
        raise FileError(f"cannot write {target}: it is a folder; give a file name")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes the name `path` in one step, on failure it is removed.

    Raises:
        FileError: the file cannot be written there.

    >>> from tempfile import mkdtemp
    >>> target = Path(mkdtemp()) / "note.txt"
    >>> with replacing(target) as draft:
    ...     _ = draft.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    target = Path(path)
    check_place(target)
    draft = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        draft = Path(name)
        yield draft
        with draft.open("rb") as stream:
            os.fsync(stream.fileno())  # the contents reach the disk before the name does
        draft.chmod(0o666 & ~_MASK)  # mkstemp makes private files; give the usual permissions
        os.replace(draft, target)
    except FileError:
        raise
    except OSError as error:  # no permission, a full disk
        raise FileError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)


def read_arrays(
    path: str | os.PathLike[str],
    what: str = "NumPy file of numbers and text",
    mend: str = "write it with numpy.save or numpy.savez",
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a `.npz` file by their names, or that of a `.npy` file under the name "".

    Args:
        path: the file.
        what: what it should be, for messages.
        mend: how to come by a whole one, for messages.

    Raises:
        FileError: there is no such file, or it is damaged; objects are not read.
    """
    try:
        # opened here, as np.load leaves a file that is not a whole archive open
        with Path(path).open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            return {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist; check the path") from error
    # what a damaged archive raises, found by changing one byte at a time
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(f"{path} is not a whole {what}; {mend}") from error
