"""Public names answer alike whatever was imported before, and type checkers see the same ones."""

import ast
import importlib
import zipfile
from itertools import permutations
from pathlib import Path

import pytest

from tests.support.bare import run_bare
from tests.support.house import PACKAGES, ROOT, faces, module_of

FACES = faces()
TEXTS = {path: path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def test_every_lazy_package_uses_the_one_helper() -> None:
    assert len(FACES) >= 8
    for path, text in TEXTS.items():
        assert path.name == "_faces.py" or "def __getattr__(name" not in text, path


def test_a_package_names_what_is_public_in_its_stub_alone() -> None:
    calls = {module_of(path) for path, text in TEXTS.items() if path.name == "__init__.py" and "face(" in text}
    assert calls == set(FACES)
    for package in FACES:
        text = (ROOT / package.replace(".", "/") / "__init__.py").read_text()
        assert "__all__ = face(__name__)\n" in text, f"{package}: write `__all__ = face(__name__)`"
        assert "TYPE_CHECKING" not in text, f"{package}: name what is public in __init__.pyi alone"


@pytest.mark.parametrize("package", FACES)
def test_a_stub_holds_nothing_but_names(package: str) -> None:
    for node in ast.parse((ROOT / package.replace(".", "/") / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            assert all(alias.asname == alias.name for alias in node.names), "write `from MODULE import name as name`"
        else:
            assert isinstance(node, ast.AnnAssign), "a stub imports names, or says which ones __init__.py defines"


@pytest.mark.parametrize("package", FACES)
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__ == sorted(FACES[package]) == dir(module)
    for name, home in FACES[package].items():
        if home == package:
            assert getattr(module, name) is importlib.import_module(f"{package}.{name}")
        elif home is None:
            assert name in vars(module)
        else:
            assert getattr(module, name) is getattr(importlib.import_module(home), name)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'hope'"):
        module.hope  # noqa: B018 (the access is the test)


def test_attributes_need_no_import_before() -> None:
    run_bare(
        "import decision; decision.surrogates; decision.sets.Box; decision.decide",
        "import socicnn; socicnn.nn; socicnn.training; socicnn.fit; socicnn.value_program; socicnn.errors.ModelError",
        "import socicnn; socicnn.SOCICNN; socicnn.nn.SOCICNN",
        "import verify; verify.check.main; verify.certify; verify._report.Report",
        "from decision import decide; import decision._deciding; import decision; assert callable(decision.decide)",
        "from verify import *; assert callable(certify) and callable(equivalence)",
        "import verify, pickle; assert pickle.loads(pickle.dumps(verify.certify)) is verify.certify",
        "import verify; import copy; assert hasattr(verify, 'certify') and not hasattr(verify, '__wrapped__')",
    )


WAYS = ["import verify._certify", "from verify import certify", "from verify._certify import certify", "verify = 0"]


def test_a_function_is_never_its_module() -> None:
    shown = "import verify, types; assert isinstance(verify.certify, types.FunctionType)"
    run_bare(*("; ".join([*order, shown]) for order in list(permutations(WAYS))[::5]))


def test_a_package_without_its_stub_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "__init__.py").write_text("from socicnn._faces import face\n\n__all__ = face(__name__)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"bare lacks its list of names, __init__\.pyi; install socicnn again"):
        importlib.import_module("bare")


def test_names_are_found_in_an_archive_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "packages.zip", "w") as archive:
        for path in [*ROOT.glob("socicnn/**/*.py*"), *ROOT.glob("verify/**/*.py*")]:
            if path.suffix in (".py", ".pyi"):
                archive.write(path, path.relative_to(ROOT))
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'packages.zip')!r}); import verify; "
    run_bare(code + "assert '.zip' in verify.__file__; verify.Checker; verify.check.main")
