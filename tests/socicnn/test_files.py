"""A file is whole or not there."""

import stat
from pathlib import Path

import pytest

from socicnn.files import FileError, replacing


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
