"""Files that are whole or not there: what is written appears under its name only once it is complete."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from socicnn.errors import FileError as FileError

try:
    import fcntl
except ImportError:  # Windows: drafts that a killed process left stay there
    fcntl = None  # type: ignore[assignment]

_MASK = os.umask(0)  # can only be read by setting it: once, before there are threads
os.umask(_MASK)
_DESCRIPTORS = tuple(map(Path, ("/dev", "/dev/fd", "/proc/self/fd")))
PATIENCE = 5.0  # seconds that a pipe may be without a reader


def check_place(path: str | os.PathLike[str]) -> None:
    """Raise a FileError if no file can be written there, before any work is done for it.

    Raises:
        FileError: the folder does not exist or takes no files, the name is a folder's, or the file is read-only.
    """
    target = _target(Path(path))
    if target is None:
        return
    folder = target.parent if Path(path).is_symlink() else Path(path).parent
    if not folder.is_dir():
        raise FileError(f"cannot write {path}: the folder {folder} does not exist; make it first")
    if target.is_dir():
        raise FileError(f"cannot write {path}: it is a folder; give a file name")
    if target.exists() and not (target.stat().st_mode & 0o222 and os.access(target, os.W_OK)):
        raise FileError(f"cannot write {path}: the file is read-only; make it writable, or choose another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(f"cannot write {path}: the folder {folder} takes no new files; choose another place")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to; on success it takes the name `path` in one step, on failure it is removed.

    A link is followed: the file that it names is replaced. A file that is replaced keeps its permissions. A pipe or a
    device is not replaced: what was written is copied to it. A draft that a killed process left next to the file is
    removed by the next write to the same name.

    Raises:
        FileError: the file cannot be written there.

    >>> from tempfile import mkdtemp
    >>> target = Path(mkdtemp()) / "note.txt"
    >>> with replacing(target) as draft:
    ...     _ = draft.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    place = Path(path)
    check_place(place)
    target = _target(place)
    folder = Path(tempfile.gettempdir()) if target is None else target.parent
    draft, handle = None, -1
    try:
        handle, draft = _draft(folder, (target or place).name, place.suffix)
        yield draft
        if target is None:
            _pour(draft, place)
        else:
            _settle(draft, target)
    except FileError:
        raise
    except OSError as error:  # no permission, a full disk
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)
            os.close(handle)


def _target(path: Path) -> Path | None:
    """Return the file that is to be replaced, at the end of all links; None for what is written through."""
    if path.parent in _DESCRIPTORS:  # /dev/stdout: the shell has it open, so another file of its name is of no use
        return None
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # nothing there yet, or a link to nothing
        mode = stat.S_IFREG
    return Path(os.path.realpath(path)) if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None


def _draft(folder: Path, name: str, suffix: str) -> tuple[int, Path]:
    """Make an empty file that this process holds locked, so that others tell it from one that was left behind."""
    prefix = f".{name[:60]}.draft-"
    _sweep(folder, prefix, suffix)
    while True:
        handle, made = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
        draft = Path(made)
        if locked(handle, wait=True) and not _names(draft, handle):  # swept between its making and its locking
            os.close(handle)
            continue
        return handle, draft


def _sweep(folder: Path, prefix: str, suffix: str) -> None:
    """Remove the drafts of that name that nobody holds."""
    if fcntl is None:
        return
    with os.scandir(folder) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(prefix) and entry.name.endswith(suffix)]
    for path in left:
        try:
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # gone meanwhile, or somebody else's
            continue
        if locked(handle) and _names(Path(path), handle):
            os.unlink(path)
        os.close(handle)


def locked(handle: int, *, wait: bool = False) -> bool:
    """Lock an open file until it is closed; False if another process holds it, or the file system knows no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _names(path: Path, handle: int) -> bool:
    """Tell whether the path still is the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _settle(draft: Path, target: Path) -> None:
    """Give the draft the target's name, permissions and owner."""
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())  # the contents reach the disk before the name does
    try:
        old = target.stat()
    except FileNotFoundError:
        draft.chmod(0o666 & ~_MASK)  # mkstemp makes private files; give the usual permissions
    else:
        if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            with suppress(PermissionError):  # only the administrator may give files away
                os.chown(draft, old.st_uid, old.st_gid)
        draft.chmod(stat.S_IMODE(old.st_mode))
    os.replace(draft, target)


def _pour(draft: Path, place: Path) -> None:
    """Copy the draft into a pipe or device; a pipe that nobody reads is given up after a while."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            handle = os.open(place, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
            break
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > end:
                raise FileError(f"cannot write {place}: nobody reads this pipe; start its reader first") from None
            time.sleep(0.02)
    os.set_blocking(handle, True)
    with draft.open("rb") as source, open(handle, "wb") as sink:
        shutil.copyfileobj(source, sink)
