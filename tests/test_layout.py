"""The picture of the house: imports go one way, and the parts that need no torch import none."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# lower may not import higher; `experiments`, `benchmarks` and the command line see everything
ORDER = [
    "socicnn._faces",
    "socicnn.errors",
    "socicnn._shadows",
    "socicnn.registry",
    "socicnn.files",
    "socicnn.numpy_files",
    "socicnn.arrays",
    "socicnn.integers",
    "socicnn.margins",
    "socicnn.ranges",
    "socicnn.conic",
    "socicnn.frozen.parts",
    "socicnn.frozen.magnitude",
    "socicnn.packing",
    "socicnn.conic.export",
    "socicnn.tensor_files",
    "socicnn.frozen.fingerprint",
    "socicnn.frozen.storage",
    "socicnn.importers",
    "socicnn.frozen",
    "socicnn.compile",
    "socicnn.positivity",
    "socicnn.nn",
    "socicnn.training",
    "socicnn.density",
    "verify",
    "decision",
    "socicnn_cli",
]
# the package's own list of names imports lazily, so it stands outside the order
OUTSIDE = {"socicnn", "socicnn.__main__"}


def _module(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _rank(module: str) -> int | None:
    matches = [i for i, name in enumerate(ORDER) if module == name or module.startswith(name + ".")]
    return max(matches, key=lambda i: len(ORDER[i])) if matches else None  # the narrowest name


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _sources() -> list[Path]:
    return sorted(
        path for package in ("socicnn", "verify", "decision", "socicnn_cli") for path in (ROOT / package).rglob("*.py")
    )


def test_every_module_has_its_place_in_the_order() -> None:
    lost = [_module(path) for path in _sources() if _rank(_module(path)) is None and _module(path) not in OUTSIDE]
    assert not lost, f"name these in ORDER: {lost}"


@pytest.mark.parametrize("path", _sources(), ids=_module)
def test_imports_go_one_way(path: Path) -> None:
    rank = _rank(_module(path))
    if rank is None:
        return
    for imported in _imports(path):
        other = _rank(imported)
        assert other is None or other <= rank, f"{_module(path)} may not import {imported}"
        assert imported.split(".")[0] not in {"experiments", "benchmarks", "tests"}, f"{_module(path)}: {imported}"


TORCH_FREE = [
    "socicnn",
    "socicnn.conic.program",
    "socicnn.conic.solvers",
    "socicnn.compile",
    "socicnn.frozen.parts",
    "socicnn.packing",
    "socicnn.conic.export",
    "socicnn.tensor_files",
    "socicnn.frozen",
    "socicnn.frozen.storage",
    "socicnn.importers.onnx",
    "socicnn.importers.lpcf",
    "socicnn.importers.ott",
    "verify",
    "verify.core.checker",
    "verify.check",
    "decision",
    "socicnn_cli",  # so that --help and --version answer at once
]


@pytest.mark.parametrize("module", TORCH_FREE)
def test_parts_that_need_no_torch_import_none(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'cvxpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
