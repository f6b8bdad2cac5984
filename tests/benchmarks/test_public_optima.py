"""Public programs: files of SciPy's source package, read where somebody has them, and what reads cones."""

import gzip
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from benchmarks.public_cones import VALUES, published, sedumi
from benchmarks.public_optima import _bounds, main, measured

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


def test_arrays_of_sedumi_and_a_cbf_file_of_the_same_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """min x_1 + 2 x_2 with x_0 free, x_1 >= 0, x_2 >= |x_3|, x_1 + x_3 = 3 and x_0 = 1: at (1, 3, 0, 0) it is 3."""
    K = {"f": np.array([[1.0]]), "l": np.array([[1.0]]), "q": np.array([[2.0]])}
    A, b = np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]), np.array([[3.0], [1.0]])
    _packed(tmp_path / "least.mat.gz", {"At": A.T, "b": b, "c": np.array([[0.0, 1.0, 2.0, 0.0]]), "K": K})
    assert sedumi(tmp_path / "least.mat.gz").solve(solver="CLARABEL") == pytest.approx(3.0)
    sections = ["VER", "1", "OBJSENSE", "MIN", "VAR", "4 3", "F 1", "L+ 1", "Q 2", "CON", "2 1", "L= 2"]
    sections += [
        "OBJACOORD",
        "2",
        "1 1",
        "2 2",
        "ACOORD",
        "3",
        "0 1 1",
        "0 3 1",
        "1 0 1",
        "BCOORD",
        "2",
        "0 -3",
        "1 -1",
    ]
    (tmp_path / "again.cbf").write_text("\n".join(sections))
    (tmp_path / VALUES).write_text("PACK;NAME;SENSE;KIND;ERROR;OBJECTIVE\nown;least;MIN;FEASIBILITY;0;3.0\n\n")
    assert published(tmp_path) == {"least": 3.0}
    assert main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "2 programs: 2 with both ends, 2 narrow, 0 contradicted" in shown
    _packed(tmp_path / "rotated.mat.gz", {"A": A, "b": b, "c": np.zeros((7, 1)), "K": dict(K, r=np.array([[3.0]]))})
    with pytest.raises(ValueError, match="rotated or semidefinite"):
        sedumi(tmp_path / "rotated.mat.gz")


def _packed(path: Path, arrays: dict[str, Any]) -> None:
    stream = BytesIO()
    savemat(stream, arrays)
    path.write_bytes(gzip.compress(stream.getvalue()))
