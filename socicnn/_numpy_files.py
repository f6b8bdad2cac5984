"""Arrays from `.npy` and `.npz` files of strangers: nothing is allocated that the file cannot fill, no code is run."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from socicnn.errors import FileError

_ZIP = b"PK"
_HEADER = 10_000  # bytes that the header of an array may have
# of each version of the array format, the reader of the header and the bytes of its length
_HEADERS: dict[tuple[int, int], tuple[Any, int]] = {
    (1, 0): (np.lib.format.read_array_header_1_0, 2),
    (2, 0): (np.lib.format.read_array_header_2_0, 4),
}
_DEFLATE = 1032  # no stream of `deflate` grows by more than this factor


def read_arrays(
    path: str | os.PathLike[str],
    what: str = "NumPy file of numbers and text",
    hint: str = "write it with numpy.save or numpy.savez",
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a `.npz` file by their names, or that of a `.npy` file under the name "".

    Args:
        path: the file.
        what: what it should be, for messages.
        hint: how to obtain a valid file, for messages.

    Raises:
        FileError: there is no such file, or it is damaged; objects are not read.

    >>> from tempfile import mkdtemp
    >>> path = os.path.join(mkdtemp(), "two.npz")
    >>> np.savez(path, a=np.ones(2), b=3)
    >>> {name: array.tolist() for name, array in read_arrays(path).items()}
    {'a': [1.0, 1.0], 'b': 3}
    """
    try:
        with Path(path).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(len(_ZIP))
            stream.seek(0)
            return _members(stream, size) if start == _ZIP else {"": _array(stream, size)}
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist; check the path") from error
    except OSError as error:
        raise FileError(f"{path} is not a valid {what} ({error.strerror or error}); {hint}") from error
    except Exception as error:  # zipfile, zlib, ast and tokenize each have their own way to say that bytes are damaged
        raise FileError(f"{path} is not a valid {what}; {hint}") from error


def _members(stream: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            packed, whole = member.compress_size, member.file_size
            if name == member.filename or name in arrays:
                raise ValueError(f"{member.filename} is not an array, or occurs twice")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or packed > size:
                raise ValueError(f"{member.filename} is not packed as NumPy packs arrays")
            if whole > (packed if member.compress_type == zipfile.ZIP_STORED else _DEFLATE * packed):
                raise ValueError(f"{member.filename} promises {whole} bytes, which {packed} bytes cannot hold")
            with archive.open(member) as content:
                arrays[name] = _array(content, whole)
    return arrays


def _array(stream: IO[bytes], size: int) -> NDArray[Any]:
    """Read one array from a stream of `size` bytes; its header is read first and compared with that size."""
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the array format is not known")
    read, width = _HEADERS[version]
    start = stream.tell()
    if int.from_bytes(stream.read(width), "little") > _HEADER:
        raise ValueError(f"its header is longer than {_HEADER} bytes")
    stream.seek(start)
    shape, _, kind = read(stream)
    if kind.hasobject:
        raise ValueError("objects are not read")
    needed = math.prod(shape) * kind.itemsize
    if needed != size - stream.tell() or any(length < 0 for length in shape):
        raise ValueError(f"an array of {needed} bytes is not in a file of {size}")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
