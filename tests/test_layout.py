"""The picture of the house: imports go one way, and the parts that need no torch import none."""

import ast
import subprocess
import sys

import pytest

from tests.support.house import circles, imports, in_strings, sources

# lower may not import higher; `experiments`, `benchmarks` and the command line see everything
ORDER = [
    "socicnn._faces",
    "socicnn.errors",
    "socicnn._shadows",
    "socicnn.registry",
    "socicnn.results",
    "socicnn.files",
    "socicnn.numpy_files",
    "socicnn.arrays",
    "socicnn.integers",
    "socicnn.moved",
    "socicnn.margins",
    "socicnn.ranges",
    "socicnn.conic.cones",
    "socicnn.conic.blocks",
    "socicnn.conic.solution",
    "socicnn.conic.data",
    "socicnn.conic._residuals",
    "socicnn.conic.solvers",
    "socicnn.conic.prepared",
    "socicnn.conic.program",
    "socicnn.conic.builder",
    "socicnn.frozen.checks",
    "socicnn.frozen.terms",
    "socicnn.frozen.parts",
    "socicnn.frozen.magnitude",
    "socicnn.packing",
    "socicnn.conic.export",
    "socicnn.tensor_files",
    "socicnn.frozen.fingerprint",
    "socicnn.frozen.storage",
    "socicnn.importers",
    "socicnn.frozen",
    "socicnn.witness",
    "socicnn.compile",
    "socicnn.positivity",
    "socicnn.nn",
    "socicnn.cvxpy_atom",
    "socicnn.training",
    "socicnn.density",
    "verify",
    "decision",
    "socicnn_cli",
]
# the package's own list of names imports lazily, so it stands outside the order
OUTSIDE = {"socicnn", "socicnn.__main__", "socicnn.conic"}


def _rank(module: str) -> int | None:
    matches = [i for i, name in enumerate(ORDER) if module == name or module.startswith(name + ".")]
    return max(matches, key=lambda i: len(ORDER[i])) if matches else None  # the narrowest name


def _named(module: str) -> set[str]:
    """Return what a file imports: at its top, in functions, for type checkers, and by names in strings."""
    tree, targets = sources()[module], set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            targets.add(node.module)
            targets |= {f"{node.module}.{alias.name}" for alias in node.names}
    return targets | in_strings(tree)


def test_every_module_has_its_place_in_the_order() -> None:
    lost = [module for module in sources() if _rank(module) is None and module not in OUTSIDE]
    assert not lost, f"name these in ORDER: {lost}"


@pytest.mark.parametrize("module", sources())
def test_imports_go_one_way(module: str) -> None:
    rank = _rank(module)
    if rank is None:
        return
    for imported in _named(module):
        other = _rank(imported)
        assert other is None or other <= rank, f"{module} may not import {imported}"
        assert imported.split(".")[0] not in {"experiments", "benchmarks", "tests"}, f"{module}: {imported}"


def test_no_files_import_each_other_in_a_circle() -> None:
    assert not circles()


def test_imports_in_strings_functions_and_faces_are_seen() -> None:
    assert "socicnn.nn.feedforward" in imports("socicnn.nn.kinds")  # a registry's "module:name"
    assert "verify.equivalence" in imports("socicnn_cli.verify")  # in a function, through the face of `verify`


TORCH_FREE = [
    "socicnn",
    "socicnn.conic.program",
    "socicnn.conic.solvers",
    "socicnn.witness",
    "socicnn.compile",
    "socicnn.frozen.checks",
    "socicnn.frozen.terms",
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
