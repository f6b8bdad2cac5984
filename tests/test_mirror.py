"""tests/ has the folders of the source, private or not, and its files lean on contracts/ and support/ alone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "tests").rglob("*.py"))
TESTS = [path for path in FILES if path.name.startswith("test_")]
# the source's folders, a private one by its name without the underscore: verify/_core is tested in tests/verify/core
SOURCE = {
    Path(*(part.removeprefix("_") for part in path.relative_to(ROOT).parts))
    for package in ("socicnn", "verify", "decision", "socicnn_cli", "experiments", "benchmarks")
    for path in [ROOT / package, *(ROOT / package).rglob("*")]
    if path.is_dir() and path.name != "__pycache__"
} | {Path()}


def _named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TESTS, ids=_named)
def test_a_test_lies_in_the_folder_of_its_subject(path: Path) -> None:
    folder = path.parent.relative_to(ROOT / "tests")
    assert folder in SOURCE, f"there is no {folder}/ in the source"


@pytest.mark.parametrize("path", FILES, ids=_named)
def test_nothing_is_imported_from_a_test_file(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            leaf = module.split(".")[-1]
            assert not (module.startswith("tests.") and leaf.startswith("test_")), f"{module}: move it to tests/support"
