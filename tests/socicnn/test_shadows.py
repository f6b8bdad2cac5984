"""A user's own verify.py or decision.py is told in one sentence, with what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(folder), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("verify", ("verify", "m.safetensors", "--points", "p.npy")),
        ("decision", ("decide", "m.safetensors", "--set", "simplex")),
        ("decision", ("demo",)),
        ("verify", ("demo",)),
    ],
)
@pytest.mark.parametrize("form", ["file", "folder"])
def test_the_command_says_which_file_hides_a_package(
    package: str, words: tuple[str, ...], form: str, tmp_path: Path
) -> None:
    own = tmp_path / (f"{package}.py" if form == "file" else f"{package}/__init__.py")
    own.parent.mkdir(exist_ok=True)
    own.write_text("print('mine')\n")
    run = _run(tmp_path, "-m", "socicnn", *words)
    assert run.returncode == 2
    assert len(run.stderr.strip().splitlines()) == 1
    assert f"{own} hides the package `{package}` of socicnn; rename that file" in run.stderr
    assert "mine" not in run.stdout  # it was not even imported


def test_commands_that_need_no_such_package_run_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_text("")
    (tmp_path / "decision.py").write_text("")
    run = _run(tmp_path, "-m", "socicnn", "--version")
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("package", ["verify", "decision"])
def test_a_script_of_that_name_is_warned_of(package: str, tmp_path: Path) -> None:
    (tmp_path / f"{package}.py").write_text("import socicnn\n")
    run = _run(tmp_path, f"{package}.py")
    assert run.returncode == 0
    assert f"this script is called {package}.py" in run.stderr
    assert "rename the script" in run.stderr


def test_nothing_is_said_where_nothing_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "verify_my_model.py").write_text("import socicnn, verify, decision; verify.certify; decision.decide\n")
    run = _run(tmp_path, "verify_my_model.py")
    assert (run.returncode, run.stderr) == (0, "")


def test_a_module_of_that_name_in_a_package_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "verify.py").write_text("import socicnn, verify; verify.certify\n")
    run = _run(tmp_path, "-m", "tools.verify")
    assert (run.returncode, run.stderr) == (0, "")
