"""A file is whole or not there."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from socicnn import _files as files
from socicnn._files import FileError, check_place, replacing


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


def test_a_link_is_followed(tmp_path: Path) -> None:
    target, link, chain = tmp_path / "v3.txt", tmp_path / "latest.txt", tmp_path / "chain.txt"
    target.write_text("old")
    link.symlink_to("v3.txt")
    chain.symlink_to("latest.txt")
    with replacing(chain) as draft:
        draft.write_text("new")
    assert link.is_symlink()
    assert chain.is_symlink()
    assert target.read_text() == "new"
    dangling, elsewhere = tmp_path / "dangling.txt", tmp_path / "later.txt"
    dangling.symlink_to(elsewhere)
    with replacing(dangling) as draft:
        draft.write_text("made")
    assert dangling.is_symlink()
    assert elsewhere.read_text() == "made"
    lost = tmp_path / "lost.txt"
    lost.symlink_to(tmp_path / "nowhere" / "file.txt")
    with pytest.raises(FileError, match="does not exist; make it first"):
        check_place(lost)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "secret.txt"
    target.write_text("old")
    target.chmod(mode)
    with replacing(target) as draft:
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600  # nobody else reads the draft meanwhile
        draft.write_text("new")
    assert stat.S_IMODE(target.stat().st_mode) == mode
    assert target.read_text() == "new"


def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "fixed.txt"
    target.write_text("old")
    target.chmod(0o444)
    with pytest.raises(FileError, match=r"the file is read-only; make it writable"), replacing(target):
        pytest.fail("the body must not run")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    content: list[str] = []
    reader = threading.Thread(target=lambda: content.append(pipe.read_text()))
    reader.start()
    with replacing(pipe) as draft:
        draft.write_text("{}" * 100_000)
    reader.join()
    assert content == ["{}" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_pipe_without_a_reader_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    with pytest.raises(FileError, match=r"cannot write .*pipe.json: nobody reads this pipe"), replacing(pipe) as draft:
        draft.write_text("{}")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system has no /dev/fd")
def test_what_the_shell_has_open_is_written_through(tmp_path: Path) -> None:
    code = "from socicnn._files import replacing\nwith replacing('/dev/stdout') as draft: draft.write_text('kept\\n')\n"
    with (tmp_path / "out.txt").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out.txt").read_text() == "kept\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "kept\n"


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    target, other = tmp_path / "table.csv", tmp_path / "other.csv"
    code = (
        "import os, signal, sys\nfrom socicnn._files import replacing\n"
        "with replacing(sys.argv[1]) as draft: draft.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    for place in (target, target, other):
        subprocess.run([sys.executable, "-c", code, str(place)], check=False)
    left = sorted(tmp_path.iterdir())
    assert len(left) == 2  # the second write to the same name has swept the first one's draft
    with replacing(target) as draft:
        draft.write_text("whole")
    assert target.read_text() == "whole"
    assert [path.name.split(".draft-")[0] for path in sorted(tmp_path.iterdir())] == [".other.csv", "table.csv"]


def test_the_draft_of_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    with replacing(target) as first:
        first.write_text("first")
        with replacing(target) as second:
            second.write_text("second")
        assert target.read_text() == "second"
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_writers_of_one_name_at_once_lose_nothing(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for _ in range(40):
                with replacing(target) as draft:
                    draft.write_text(str(number) * 1000)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    assert len(set(target.read_text())) == 1
    assert list(tmp_path.iterdir()) == [target]


def test_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".csv")
    with replacing(target) as draft:
        draft.write_text("whole")
    assert target.read_text() == "whole"
