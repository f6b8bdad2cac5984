"""matplotlib is optional: nothing imports it before something is drawn, and what draws says how to install it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from socicnn import _figures, density
from socicnn.errors import MissingExtra
from socicnn.positivity.diagnostics import Slice
from socicnn.positivity.diagnostics.plots import draw_slice
from socicnn.training import History
from tests.support.house import sources


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without matplotlib, whether it is installed or not."""
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)


def _density(path: Path) -> None:
    law = density.Energy.dense(1, (4,), generator=torch.Generator().manual_seed(0), strong_convexity=1.0)
    density.plot(law, path, [-3.0], [3.0], rule=density.quadrature([-9.0], [9.0]))


def _slice(path: Path) -> None:
    grid = np.linspace(-1, 1, 3)
    draw_slice(Slice(grid, grid, np.ones((3, 3))), path)


DRAWING = {
    "a figure": lambda path: _figures.new_figure(4, 3),
    "a density": _density,
    "a slice of a loss": _slice,
    "a training run": lambda path: History().plot(),
}


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize("what", DRAWING)
def test_what_draws_names_the_extra(what: str, tmp_path: Path) -> None:
    with pytest.raises(MissingExtra, match=r'matplotlib; run: pip install "socicnn\[plot\]"'):
        DRAWING[what](tmp_path / "picture.png")
    assert not list(tmp_path.iterdir())


def test_no_module_imports_matplotlib() -> None:
    names = [name for name in sources() if not name.endswith("__main__")]
    code = (
        "import importlib, sys; sys.modules['matplotlib'] = None\n"
        f"for name in {names}:\n"
        "    try: importlib.import_module(name)\n"
        "    except ImportError as error: assert 'matplotlib' not in str(error), (name, error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
