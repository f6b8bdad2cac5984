"""Public names answer alike whatever was imported before, and type checkers see the same ones."""

import ast
import importlib
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

from socicnn._faces import face

ROOT = Path(__file__).parents[2]
FACES = sorted(
    path
    for package in ("socicnn", "verify", "decision")
    for path in (ROOT / package).rglob("__init__.py")
    if "face(" in path.read_text()
)


def _package(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


def _declared(path: Path) -> dict[str, str]:
    """Return the names under `if TYPE_CHECKING`, each with its module (`package.name` of a submodule)."""
    names: dict[str, str] = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for entry in node.body:
                assert isinstance(entry, ast.ImportFrom)
                for alias in entry.names:
                    assert alias.asname == alias.name, f"{path}: write `{alias.name} as {alias.name}`"
                    names[alias.name] = str(entry.module)
    return names


def _listed(path: Path) -> tuple[dict[str, str], set[str], set[str]]:
    """Return what `face(...)` lists: homes, modules, own names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "face":
            keywords = {keyword.arg: set(ast.literal_eval(keyword.value)) for keyword in node.keywords}
            return ast.literal_eval(node.args[1]), keywords.get("modules", set()), keywords.get("own", set())
    raise AssertionError(path)


def test_every_lazy_package_uses_the_one_helper() -> None:
    assert len(FACES) >= 8
    for package in ("socicnn", "verify", "decision", "socicnn_cli"):
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "_faces.py":
                assert "def __getattr__(name" not in path.read_text(), path


@pytest.mark.parametrize("path", FACES, ids=_package)
def test_type_checkers_see_what_the_face_lists(path: Path) -> None:
    package, declared = _package(path), _declared(path)
    homes, modules, _ = _listed(path)
    assert {name for name, home in declared.items() if home == package} == modules
    assert {name: home for name, home in declared.items() if home != package} == homes


@pytest.mark.parametrize("path", FACES, ids=_package)
def test_every_public_name_is_there(path: Path) -> None:
    package = importlib.import_module(_package(path))
    homes, modules, own = _listed(path)
    assert package.__all__ == sorted([*homes, *modules, *own]) == dir(package)
    for name, home in homes.items():
        assert getattr(package, name) is getattr(importlib.import_module(home), name)
    for name in modules:
        assert getattr(package, name) is importlib.import_module(f"{package.__name__}.{name}")
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'hope'"):
        package.hope  # noqa: B018 (the access is the test)


def _run(code: str) -> None:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import decision; decision.surrogates; decision.sets.Box; decision.decide",
        "import socicnn; socicnn.nn; socicnn.training; socicnn.fit; socicnn.value_program; socicnn.errors.ModelError",
        "import socicnn; socicnn.SOCICNN; socicnn.nn.SOCICNN",
        "import verify; verify.check.main; verify.certify; verify._report.Report",
        "from decision import decide; import decision._deciding; import decision; assert callable(decision.decide)",
        "from verify import *; assert callable(certify) and callable(equivalence)",
        "import verify, pickle; assert pickle.loads(pickle.dumps(verify.certify)) is verify.certify",
        "import verify; import copy; assert hasattr(verify, 'certify') and not hasattr(verify, '__wrapped__')",
    ],
)
def test_attributes_need_no_import_before(code: str) -> None:
    _run(code)


WAYS = ["import verify._certify", "from verify import certify", "from verify._certify import certify", "verify = 0"]


@pytest.mark.parametrize("order", list(permutations(WAYS))[::5])
def test_a_function_is_never_its_module(order: tuple[str, ...]) -> None:
    _run("; ".join([*order, "import verify, types; assert isinstance(verify.certify, types.FunctionType)"]))


def test_a_name_is_listed_once() -> None:
    with pytest.raises(ValueError, match="lists nn both as a name and as a submodule"):
        face("socicnn", {"nn": "socicnn.nn"}, modules=("nn",))
