"""Public linear programs: files of SciPy's source package, read where somebody has them."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.public_optima import _bounds, measured

FOLDER = os.environ.get("SOCICNN_NETLIB", "")
SMALL = ("AFIRO", "SC50A", "SC50B", "SC105", "KB2", "BLEND", "SHARE2B", "STOCFOR1")


@pytest.mark.parametrize("name", SMALL)
def test_published_optima_lie_in_narrow_brackets(name: str) -> None:
    path = Path(FOLDER) / f"{name}.npz"
    if not FOLDER or not path.exists():
        pytest.skip("SOCICNN_NETLIB does not name SciPy's folder linprog_benchmark_files")
    row = measured(path)
    assert row["kind"] == "bracket"
    assert row["width"] <= 1e-7
    assert row["lo"] <= row["hi"]
    assert row["published"] == pytest.approx(row["hi"], rel=1e-8)
    assert not row["wrong"]


@pytest.mark.parametrize("name", ["itest6", "bgprtr", "woodinfe", "klein1", "galenet"])
def test_infeasible_programs_are_proven_to_be(name: str) -> None:
    path = Path(FOLDER) / "infeasible" / f"{name}.npz"
    if not FOLDER or not path.exists():
        pytest.skip("SOCICNN_NETLIB does not name SciPy's folder linprog_benchmark_files")
    assert measured(path)["kind"] == "infeasible"


def test_missing_bounds_are_those_of_linprog() -> None:
    lower, upper = _bounds(np.zeros(0), 2)
    assert (lower.tolist(), upper.tolist()) == ([0.0, 0.0], [np.inf, np.inf])
    lower, upper = _bounds(np.array([[[None, 3.0], [1, None]]], dtype=object), 2)
    assert (lower.tolist(), upper.tolist()) == ([-np.inf, 1.0], [3.0, np.inf])
