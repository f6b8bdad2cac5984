"""The table of formulas in CONTRIBUTING.md: each stands in the docstrings of the file that is named for it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def rows() -> list[tuple[str, str]]:
    """Return the formulas of the table, each with a file."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Where a formula is")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    found = []
    for line in lines:
        _, formula, files = (cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|"))
        found += [(formula.strip("`").replace("\0", "|"), file.strip("`")) for file in files.split(", ")]
    return found


def squeezed(text: str) -> str:
    """Return a text without white space."""
    return "".join(text.split())


def test_the_table_is_read_whole() -> None:
    assert len(rows()) >= 20


@pytest.mark.parametrize(("formula", "file"), rows())
def test_a_formula_stands_in_its_file(formula: str, file: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, kinds)]
    assert any(squeezed(formula) in squeezed(docstring) for docstring in docstrings)
