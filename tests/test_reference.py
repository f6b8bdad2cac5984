"""docs/reference.md lists what is public, no more and no less."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _listed() -> dict[str, set[str]]:
    """Return module -> the names that the page lists for it."""
    sections = re.split(r"^## ", (ROOT / "docs/reference.md").read_text(), flags=re.MULTILINE)[1:]
    return {
        section.split("\n", 1)[0]: set(re.findall(r"^\| `(\w+)", section, flags=re.MULTILINE)) for section in sections
    }


def test_the_reference_lists_the_public_names() -> None:
    listed = _listed()
    for module, names in listed.items():
        public = {name for name in import_module(module).__all__ if f"{module}.{name}" not in listed}
        assert names == public, f"run `python docs/make_reference.py`: {module} differs by {names ^ public}"


def test_every_package_with_a_face_is_in_the_reference() -> None:
    listed = set(_listed())
    faces = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("socicnn", "verify", "decision")
        for path in (ROOT / package).rglob("__init__.py")
        if re.search(r"^__all__ = face\(", path.read_text(), flags=re.MULTILINE)
    }
    assert faces <= listed, f"add these to docs/make_reference.py: {faces - listed}"


def test_the_script_writes_the_page() -> None:
    code = "from make_reference import reference; print(reference())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "docs",
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    assert run.stdout.startswith("# Reference")
    for module, names in _listed().items():
        assert f"## {module}\n" in run.stdout
        assert all(f"`{name}" in run.stdout for name in names)
