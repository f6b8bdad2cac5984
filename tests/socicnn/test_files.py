"""A file is whole or not there."""

import stat
from pathlib import Path

import numpy as np
import pytest

from socicnn.files import FileError, read_arrays, replacing


def test_a_failure_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_success_replaces_in_one_step_with_the_usual_permissions(tmp_path: Path) -> None:
    target, other = tmp_path / "table.csv", tmp_path / "plain.csv"
    other.write_text("x")
    with replacing(target) as draft:
        draft.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("name", ["missing/file.csv", "."])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="cannot write"), replacing(tmp_path / name):
        pytest.fail("the body must not run")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="the system has no /proc, a folder that takes no files")
def test_a_folder_that_takes_no_files_is_named() -> None:
    with pytest.raises(FileError, match=r"cannot write /proc/x\.json: "), replacing("/proc/x.json"):
        pytest.fail("the body must not run")


def test_arrays_come_back_and_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.arange(3))
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.ones(1))
    assert {name: array.tolist() for name, array in read_arrays(tmp_path / "one.npy").items()} == {"": [0, 1, 2]}
    assert sorted(read_arrays(tmp_path / "two.npz")) == ["a", "b"]
    with pytest.raises(FileError, match="does not exist"):
        read_arrays(tmp_path / "three.npz")
    with pytest.raises(FileError, match="not a whole NumPy file"):
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
