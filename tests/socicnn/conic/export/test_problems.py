"""CBF files as CVXPY problems: optima known by hand, and files that MOSEK's own writer made."""

import gzip
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

import verify
from socicnn._files import FileError
from socicnn.conic.export import read_problem
from tests.support.files_of_programs import FOREIGN


def written(path: Path, *sections: str) -> Path:
    path.write_text("VER\n3\n" + "\n".join(sections) + "\n")
    return path


# the sections of a file, and its optimum
FILES: dict[str, tuple[tuple[str, ...], float]] = {
    "rotated cone of three": (
        ("OBJSENSE\nMIN", "VAR\n3 1\nQR 3", "CON\n2 1\nL= 2", "OBJACOORD\n1\n0 1", "ACOORD\n2\n0 1 1\n1 2 1",
         "BCOORD\n2\n0 -2\n1 -6"), 9.0),  # 2 * 2 v_0 >= 36
    "rotated cone of two": (
        ("OBJSENSE\nMIN", "VAR\n2 1\nQR 2", "CON\n1 1\nL+ 1", "OBJACOORD\n2\n0 1\n1 3", "ACOORD\n2\n0 0 1\n0 1 1",
         "BCOORD\n1\n0 -2"), 2.0),  # v >= 0, v_0 + v_1 >= 2
    "cones of one and two": (
        ("OBJSENSE\nMIN", "VAR\n3 2\nQ 1\nQ 2", "CON\n1 1\nL- 1", "OBJACOORD\n2\n0 1\n1 2", "ACOORD\n1\n0 2 1",
         "BCOORD\n1\n0 3"), 6.0),  # v_2 <= -3
    "maximised, with domains of variables": (("OBJSENSE\nMAX", "VAR\n3 3\nL- 1\nL= 1\nF 1", "CON\n1 1\nL- 1",
         "OBJACOORD\n3\n0 1\n1 1\n2 1", "OBJBCOORD\n0.5", "ACOORD\n1\n0 2 2", "BCOORD\n1\n0 -8"), 4.5),
    "integers": (("OBJSENSE\nMIN", "VAR\n2 1\nQ 2", "INT\n2\n1\n0", "CON\n1 1\nL+ 1", "OBJACOORD\n1\n0 1",
         "ACOORD\n1\n0 1 2", "BCOORD\n1\n0 -3"), 2.0),  # v_1 >= 1.5, whole
    "no real variables": (("OBJSENSE\nMIN", "VAR\n1 1\nL+ 1", "INT\n1\n0", "CON\n1 1\nL+ 1", "OBJACOORD\n1\n0 1",
         "ACOORD\n1\n0 0 2", "BCOORD\n1\n0 -3"), 2.0),
    "no rows": (("OBJSENSE\nMIN", "VAR\n2 1\nL+ 2", "OBJACOORD\n2\n0 1\n1 1", "OBJBCOORD\n-1"), -1.0),
    "fixed variables": (("OBJSENSE\nMIN", "VAR\n2 2\nL= 1\nL+ 1", "OBJACOORD\n2\n0 5\n1 1"), 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_optimum_of_a_file_is_proven(name: str, tmp_path: Path) -> None:
    parts, value = FILES[name]
    problem = read_problem(written(tmp_path / "a.cbf", *parts))
    assert problem.is_mixed_integer() == (name in ("integers", "no real variables"))
    result = verify.optimum(problem)
    assert result.ok, result.notes
    assert result.lo <= value <= result.hi
    assert result.gap <= 1e-6 * max(1.0, result.scale)


def test_a_file_of_somebody_else_packed_or_not(tmp_path: Path) -> None:
    plain, packed = tmp_path / "foreign.cbf", tmp_path / "foreign.cbf.gz"
    plain.write_text(FOREIGN)
    with gzip.open(packed, "wt") as stream:
        stream.write(FOREIGN)
    assert read_problem(plain).solve(solver="CLARABEL") == pytest.approx(7.0, abs=1e-6)
    assert read_problem(packed).solve(solver="CLARABEL") == pytest.approx(7.0, abs=1e-6)
    packed.write_bytes(packed.read_bytes()[:40])
    with pytest.raises(FileError, match="cannot be read as CBF"):
        read_problem(packed)


def test_exponential_cones_are_those_of_cvxpy(tmp_path: Path) -> None:
    """min v_0 with (v_0, v_1, v_2) in EXP, v_1 = 2, v_2 = 1: v_0 = 2 exp(1/2)."""
    parts = ("OBJSENSE\nMIN", "VAR\n3 1\nEXP 3", "CON\n2 1\nL= 2", "OBJACOORD\n1\n0 1", "ACOORD\n2\n0 1 1\n1 2 1",
             "BCOORD\n2\n0 -2\n1 -1")  # fmt: skip
    problem = read_problem(written(tmp_path / "exp.cbf", *parts))
    assert problem.solve(solver="CLARABEL") == pytest.approx(2 * np.exp(0.5), rel=1e-6)


def test_other_cones_are_refused(tmp_path: Path) -> None:
    power = ("POWCONES\n1 2\n2\n1\n1", "OBJSENSE\nMIN", "VAR\n3 1\n@0:POW 3")
    for parts, said in ((power, "the section 'POWCONES'"), (("OBJSENSE\nMIN", "PSDVAR\n1\n2"), "the section 'PSDVAR'")):
        with pytest.raises(FileError, match=said):
            read_problem(written(tmp_path / "other.cbf", *parts))


def _by_mosek(mosek: Any, path: Path, *, integer: bool) -> None:
    """Write max v_0 + 2 v_1 + 3 with ||v|| <= 5, v_0 + v_1 / 2 <= 4, 2 v_2 >= v_1^2, v_2 <= 6, by MOSEK."""
    with mosek.Env() as env, env.Task() as task:
        task.appendvars(3)
        for j, (kind, low, high) in enumerate(
            [
                (mosek.boundkey.fr, 0.0, 0.0),
                (mosek.boundkey.lo, -1.0, 0.0),
                (mosek.boundkey.up, 0.0, 6.0),
            ]
        ):
            task.putvarbound(j, kind, low, high)
        task.putclist([0, 1], [1.0, 2.0])
        task.putcfix(3.0)
        task.putobjsense(mosek.objsense.maximize)
        task.appendcons(1)
        task.putarow(0, [0, 1], [1.0, 0.5])
        task.putconbound(0, mosek.boundkey.up, 0.0, 4.0)
        task.appendafes(6)  # (5, v_0, v_1) in Q and (1, v_2, v_1) in QR
        task.putafefentrylist([1, 2, 4, 5], [0, 1, 2, 1], [1.0, 1.0, 1.0, 1.0])
        task.putafegslice(0, 6, [5.0, 0.0, 0.0, 1.0, 0.0, 0.0])
        task.appendacc(task.appendquadraticconedomain(3), [0, 1, 2], None)
        task.appendacc(task.appendrquadraticconedomain(3), [3, 4, 5], None)
        if integer:
            task.putvartypelist([0, 1], [mosek.variabletype.type_int] * 2)
        task.writedata(str(path))


@pytest.mark.extra
@pytest.mark.parametrize("integer", [False, True])
def test_a_file_that_mosek_wrote_is_read_and_proven(integer: bool, tmp_path: Path) -> None:
    mosek = pytest.importorskip("mosek", reason="MOSEK's wheel is not installed: pip install Mosek")
    path = tmp_path / "mosek.cbf"
    _by_mosek(mosek, path, integer=integer)
    problem = read_problem(path)
    best = -np.inf
    for b in np.linspace(-1.0, np.sqrt(12.0), 200_001) if not integer else range(-1, 4):
        a = min(4.0 - 0.5 * b, np.sqrt(25.0 - b * b))
        best = max(best, 3.0 + 2.0 * b + (np.floor(a) if integer else a))
    assert isinstance(problem.objective, cp.Maximize)
    result = verify.optimum(problem)
    assert result.ok
    assert result.gap <= 1e-6 * result.scale
    assert result.lo - 1e-9 <= best <= result.hi + 1e-9
