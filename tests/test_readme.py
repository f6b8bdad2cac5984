"""What the documentation shows, runs: every Python block of the README and of docs/, one page after another."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# a block that a page shows but that needs a long run or an extra is fenced as `python no-run`
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in BLOCK.findall(page.read_text()):
        exec(compile(block, f"{page.name}", "exec"), names)


def _anchors(page: Path) -> set[str]:
    """Return what a link may name after `#`: the headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_and_headings_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if "://" not in target:
            other = page.parent / target if target else page
            assert other.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in _anchors(other), f"{page.name} links to {target}#{anchor}"


PATH = re.compile(r"`((?:socicnn|verify|decision|socicnn_cli|experiments|benchmarks|tests|docs)/[\w./]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = {name for name in PATH.findall(page.read_text()) if "NAME" not in name}
    assert not {name for name in named if not (ROOT / name).exists()}


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in PAGES[1:]:
        if re.search(r"^```{(include|toctree)}", page.read_text(), re.MULTILINE):
            continue  # a page of the site that shows or lists others
        assert f"({page.relative_to(ROOT)}" in readme, f"README.md does not link to {page.name}"
