"""Arrays from files of strangers: read whole, or refused before anything is allocated."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from socicnn._files import FileError
from socicnn._numpy_files import read_arrays


def test_arrays_come_back_and_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.arange(3))
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.ones(1))
    assert {name: array.tolist() for name, array in read_arrays(tmp_path / "one.npy").items()} == {"": [0, 1, 2]}
    assert sorted(read_arrays(tmp_path / "two.npz")) == ["a", "b"]
    with pytest.raises(FileError, match="does not exist"):
        read_arrays(tmp_path / "three.npz")
    with pytest.raises(FileError, match="not a valid NumPy file"):
        read_arrays(tmp_path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_with_any_byte_changed_is_read_or_refused(tmp_path: Path, save) -> None:
    path = tmp_path / "arrays.npz"
    save(path, a=np.arange(40.0), b=np.array(["some", "words"]))
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        for flip in (0xFF, 0x01):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            try:
                read_arrays(path)
            except FileError:
                refused += 1
    assert refused > len(whole)  # checksums tell most of it


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def archive(path: Path, name: str, content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr(name, content)
    return path


def lying(path: Path, size: int) -> Path:
    """An archive whose directory promises more bytes than there are."""
    archive(path, "x.npy", header((size // 8,)) + bytes(80))
    whole = bytearray(path.read_bytes())
    place = whole.index(b"PK\x01\x02")
    whole[place + 24 : place + 28] = min(size, 2**32 - 2).to_bytes(4, "little")
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(header((2**40,))),
        lambda path: path.write_bytes(header((2**40,)) + bytes(8000)),
        lambda path: path.write_bytes(header((-1,))),
        lambda path: path.write_bytes(header((2**70, 3))),
        lambda path: path.write_bytes(header((3,), "|O") + bytes(24)),
        lambda path: path.write_bytes(header((3,)).replace(b"}", b"(") + bytes(24)),
        lambda path: path.write_bytes(header((3,)).replace(b"'", b"\xff") + bytes(24)),
        lambda path: path.write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"(" * 5000),
        lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535),
        lambda path: archive(path, "x.npy", header((2**40,))),
        lambda path: archive(path, "x.npy", header((2**40,)), zipfile.ZIP_STORED),
        lambda path: archive(path, "x.npy", header((4,)) + bytes(32), zipfile.ZIP_LZMA),
        lambda path: archive(path, "readme.txt", b"hello"),
        lambda path: archive(path, "x.npy", b"hello"),
        lambda path: lying(path, 2**33),
        lambda path: lying(path, 2**31),
    ],
)
def test_nothing_is_allocated_that_the_file_cannot_fill(tmp_path: Path, make) -> None:
    path = tmp_path / "broken"
    make(path)
    tracemalloc.start()
    with pytest.raises(FileError, match="not a valid NumPy file") as caught:
        read_arrays(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 2**24


def test_honest_archives_of_zeros_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros(10**6), f=np.asfortranarray(np.eye(3)), e=np.zeros((0, 5)))
    content = read_arrays(tmp_path / "zeros.npz")
    assert content["x"].shape == (10**6,)
    assert content["e"].shape == (0, 5)
    np.testing.assert_array_equal(content["f"], np.eye(3))
