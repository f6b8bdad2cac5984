"""The picture of the house: imports go one way, and the parts that need no torch import none."""

import ast

import pytest

from tests.support.bare import run_bare
from tests.support.house import circles, faces, imports, in_strings, sources

# lower may not import higher; `experiments`, `benchmarks` and the command line see everything
ORDER = [
    "socicnn._moved",
    "socicnn._faces",
    "socicnn.errors",
    "socicnn._shadows",
    "socicnn._registry",
    "socicnn._html",
    "socicnn._results",
    "socicnn._figures",
    "socicnn._files",
    "socicnn._numpy_files",
    "socicnn._frames",
    "socicnn._conversion",
    "socicnn._arrays",
    "socicnn._points",
    "socicnn._integers",
    "socicnn._margins",
    "socicnn._ranges",
    "socicnn.conic._violation",
    "socicnn.conic._sizes",
    "socicnn.conic._cones",
    "socicnn.conic._blocks",
    "socicnn.conic._rows",
    "socicnn.conic._solution",
    "socicnn.conic._data",
    "socicnn.conic._conic_data",
    "socicnn.conic._residuals",
    "socicnn.conic.solvers",
    "socicnn.conic._prepared",
    "socicnn.conic._program",
    "socicnn.conic._scaled",
    "socicnn.conic._builder",
    "socicnn.frozen._checks",
    "socicnn.frozen._softplus",
    "socicnn.frozen._terms",
    "socicnn.frozen._exponentials",
    "socicnn.frozen._parts",
    "socicnn.frozen._bundle",
    "socicnn.frozen._composition",
    "socicnn.frozen._magnitude",
    "socicnn._plain_arrays",
    "socicnn._packing",
    "socicnn._packed",
    "socicnn._compressed",
    "socicnn.conic.export",
    "socicnn._tensor_files",
    "socicnn.frozen._fingerprint",
    "socicnn.frozen._storage",
    "socicnn.importers",
    "socicnn.frozen",
    "socicnn._witness",
    "socicnn._compile",
    "socicnn.positivity",
    "socicnn.nn",
    "socicnn._cvxpy_atom",
    "socicnn._progress",
    "socicnn.training",
    "socicnn.density",
    "verify",
    "socicnn.regression",
    "decision",
    "socicnn_cli",
]
# the package's own list of names imports lazily, so it stands outside the order
OUTSIDE = {"socicnn", "socicnn.__main__", "socicnn.conic"}


def _rank(module: str) -> int | None:
    matches = [i for i, name in enumerate(ORDER) if module == name or module.startswith(name + ".")]
    return max(matches, key=lambda i: len(ORDER[i])) if matches else None  # the narrowest name


def _named(module: str) -> set[str]:
    """Return what a file imports: at its top, in functions, for type checkers, by names in strings, and by its stub."""
    tree, targets = sources()[module], set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            targets.add(node.module)
            targets |= {f"{node.module}.{alias.name}" for alias in node.names}
    return targets | in_strings(tree) | {home for home in faces().get(module, {}).values() if home}


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
    assert "socicnn.nn._feedforward" in imports("socicnn.nn._kinds")  # a registry's "module:name"
    assert "verify._equivalence" in imports("socicnn_cli._verify")  # in a function, through the face of `verify`


TORCH_FREE = [
    "socicnn",
    "socicnn.conic._program",
    "socicnn.conic.solvers",
    "socicnn._witness",
    "socicnn._compile",
    "socicnn.frozen._checks",
    "socicnn.frozen._softplus",
    "socicnn.frozen._terms",
    "socicnn.frozen._parts",
    "socicnn._packing",
    "socicnn.conic.export",
    "socicnn._tensor_files",
    "socicnn.frozen",
    "socicnn.frozen._storage",
    "socicnn.importers.onnx",
    "socicnn.importers.lpcf",
    "socicnn.importers.ott",
    "verify",
    "verify._core.checker",
    "verify.check",
    "decision",
    "socicnn_cli",  # so that --help and --version answer at once
]


def test_parts_that_need_no_torch_import_none() -> None:
    none = "assert not {'torch', 'cvxpy'} & set(sys.modules)"
    run_bare(*(f"import sys, {module}; {none}" for module in TORCH_FREE))
