"""The examples of the gallery: all compile, and those that take seconds run here; `make docs` runs them all."""

import ast
import runpy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

GALLERY = sorted((Path(__file__).parents[1] / "docs" / "gallery").glob("plot_*.py"))
FAST = ("plot_8_claim", "plot_9_battery")


@pytest.mark.parametrize("example", GALLERY, ids=lambda path: path.stem)
def test_examples_are_pages_with_a_title_and_a_picture(example: Path) -> None:
    tree = ast.parse(example.read_text())
    title, underline = (ast.get_docstring(tree) or "").splitlines()[:2]
    assert set(underline) == {"="}
    assert len(underline) == len(title)
    assert "plt.show()" in example.read_text()


@pytest.mark.parametrize("name", FAST)
def test_fast_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plt, "show", lambda: None)
    matplotlib.use("agg")
    example = next(path for path in GALLERY if path.stem == name)
    runpy.run_path(str(example))
    assert plt.get_fignums()
    plt.close("all")
