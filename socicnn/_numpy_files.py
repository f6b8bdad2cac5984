"""Arrays from `.npy` and `.npz` files of strangers: nothing is allocated that the file cannot fill, no code is run."""

from __future__ import annotations

import hashlib
import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from socicnn.errors import FileError

_HEADER = 10_000  # bytes that the header of an array may have
_WIDTHS = {(1, 0): 2, (2, 0): 4}  # bytes of that number, of each version of the array format
_GROWTH = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}  # by what factor a packed member grows at most


def read_arrays(
    path: str | os.PathLike[str], what: str = "NumPy file of numbers and text", hint: str = "write it with numpy.savez"
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a `.npz` file by their names, or that of a `.npy` file under the name "".

    Raises:
        FileError: there is no such file, or it is damaged; the message tells `what` it should be, and the `hint` how to
            obtain one. Objects are not read.
    """
    try:
        with Path(path).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            zipped = stream.read(2) == b"PK"
            stream.seek(0)
            return _members(stream, size) if zipped else {"": _array(stream, size)}
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
            packed, whole, growth = member.compress_size, member.file_size, _GROWTH.get(member.compress_type)
            if name == member.filename or name in arrays:
                raise ValueError(f"{member.filename} is not an array, or occurs twice")
            if growth is None or packed > size:
                raise ValueError(f"{member.filename} is not packed as NumPy packs arrays")
            if whole > growth * packed:
                raise ValueError(f"{member.filename} promises {whole} bytes, which {packed} bytes cannot hold")
            with archive.open(member) as content:
                arrays[name] = _array(content, whole)
    return arrays


def _array(stream: IO[bytes], size: int) -> NDArray[Any]:
    """Read one array from a stream of `size` bytes; its header is read first and compared with that size."""
    version = np.lib.format.read_magic(stream)
    if version not in _WIDTHS:
        raise ValueError(f"version {version} of the array format is not known")
    start = stream.tell()
    if int.from_bytes(stream.read(_WIDTHS[version]), "little") > _HEADER:
        raise ValueError(f"its header is longer than {_HEADER} bytes")
    stream.seek(start)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    if kind.hasobject:
        raise ValueError("objects are not read")
    needed = math.prod(shape) * kind.itemsize
    if needed != size - stream.tell() or any(length < 0 for length in shape):
        raise ValueError(f"an array of {needed} bytes is not in a file of {size}")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def digest(arrays: dict[str, NDArray[Any]]) -> str:
    """Return SHA-256 over names, types, shapes and contents: damage is told from a claim that is false."""
    hashed = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        hashed.update(f"{name} {array.dtype.str} {np.shape(arrays[name])}".encode())
        hashed.update(array.tobytes())
    return hashed.hexdigest()
