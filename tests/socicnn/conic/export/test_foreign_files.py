"""Files of other programs, damaged files, and files of older versions."""

from pathlib import Path

import numpy as np
import pytest

from socicnn._compile import value_program
from socicnn._files import FileError
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram, ValueProgram
from socicnn.conic.export import export
from socicnn.conic.export._cbf import read_cbf
from socicnn.conic.export._npz import read_npz
from socicnn.frozen import FrozenNet
from tests.support.conic_cases import EXPONENTIAL, KNOWN
from tests.support.files_of_programs import FOREIGN, instances, same
from tests.support.frozen_nets import random_net

OLD = Path(__file__).parents[2] / "old_files"


def test_a_foreign_file(tmp_path: Path) -> None:
    """max 10 - x0 - 2 x1 + x4 with x0 >= 3, 2 x1 x2 >= x3^2, x2 + x3 = 2, x4 <= 0: at x3 = 0 it is 7."""
    path = tmp_path / "foreign.cbf"
    path.write_text(FOREIGN)
    program = read_cbf(path)
    assert program.cones == Cones(1, 3, (3,))
    solution = program.solve()
    assert solution.ok
    assert solution.value == pytest.approx(-7, abs=1e-6)
    path.write_text(FOREIGN.replace("0 0 -1.0", "0\t0   -1.0").replace("\n", "\r\n"))
    assert read_cbf(path).solve().value == solution.value
    tighter = tmp_path / "tighter.cbf"  # x3 = 2, so x2 = 0: no x1 is large enough, while x2 = 0.5, x3 = 1.5 needs 2.25
    tighter.write_text(FOREIGN.replace("L= 1\nF 2", "L= 2\nF 1").replace("2 5 9.0", "2 3 1.0").replace(
        "3\n0 3.0", "4\n2 -1.5\n0 3.0"))  # fmt: skip
    assert read_cbf(tighter).solve().value == pytest.approx(-10 + 3 + 2 * 2.25, abs=1e-6)


def test_exponential_cones_of_somebody_else(tmp_path: Path) -> None:
    """min s, (s, y, x) in EXP for a row each, 2 = y, x >= 1: s = 2 exp(1/2); the second cone is one of variables."""
    path = tmp_path / "exp.cbf"
    head = "VER\n2\nOBJSENSE\nMIN\n"
    rows = "CON\n5 3\nEXP 3\nL= 1\nL+ 1\nOBJACOORD\n1\n2 1\nACOORD\n5\n0 2 1\n1 1 1\n2 0 1\n3 1 1\n4 0 1\n"
    path.write_text(f"{head}VAR\n3 1\nF 3\n{rows}BCOORD\n2\n3 -2\n4 -1\n")
    assert read_cbf(path).cones == Cones(1, 1, (), 1)
    assert read_cbf(path).solve().value == pytest.approx(2 * np.exp(0.5), rel=1e-6)
    bound = "CON\n2 2\nL= 1\nL+ 1\nOBJACOORD\n1\n0 1\nACOORD\n2\n0 1 1\n1 2 1\n"
    path.write_text(f"{head}VAR\n3 1\nEXP 3\n{bound}BCOORD\n2\n0 -2\n1 -1\n")
    assert read_cbf(path).solve().value == pytest.approx(2 * np.exp(0.5), rel=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("VER\n3", "VER\n9", "its version is 9"),
        ("MAX", "BEST", "'BEST' is not one of MIN, MAX"),
        ("VAR\n7 4", "VAR\n1000000000007 5\nF 1000000000000", "which so short a file cannot use"),
        ("VAR\n7 4", "VAR\n7 6\nF 1000\nF -1000", "which so short a file cannot use"),
        ("2 5 9.0\n", f"2 {10**40} 9.0\n", "not a CBF file that this package reads"),
        ("QR 3", "SVECPSDCONE 3", "'SVECPSDCONE' is not one of"),
        ("VAR\n7 4\nL+ 1\nQR 3", "VAR\n7 3\nEXP 4", "a cone EXP has 3 entries"),
        ("QR 3", "QR 2", "do not add up to 7"),
        ("CON\n4 3", "INT\n1\n0\n\nCON\n4 3", "has 1 integers, which a conic program has not"),
        ("CON\n4 3", "PSDVAR\n1\n3\n\nCON\n4 3", "the section 'PSDVAR'"),
        ("CON\n4 3", "INT\n1\n7\n\nCON\n4 3", "INT names variable 7 of 7"),
        ("CON\n4 3", "INT\n1\n-1\n\nCON\n4 3", "negative"),
        ("1 3 1.0\n2 5 9.0\n", "1 3 1.0\n2 99 9.0\n", "exceeds matrix dimension"),
        ("1 3 1.0\n2 5 9.0\n", "1 3 1.0\n2 -1 9.0\n", "negative"),
        ("2 5 9.0\n", "2 5\n", "does not have 3 numbers"),
        ("2 5 9.0\n", "2 5 nine\n", "could not convert"),
        ("3 5.0\n", "", "ends too soon"),
    ],
)
def test_a_broken_cbf_file_is_said(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.cbf"
    assert old in FOREIGN
    path.write_text(FOREIGN.replace(old, new))
    with pytest.raises(FileError, match=said):
        read_cbf(path)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("A.at", (0, 0), -1),
        ("A.at", (1, 0), 10**6),
        ("B.at", (0, 0), 10**6),
        ("A.shape", 0, 2**40),
        ("A.shape", 1, -1),
        ("rows.ends", (0, 1), 10**6),
        ("columns.ends", (0, 0), -1),
        ("columns.ends", (0, 0), 2**60),
        ("lifts.columns", 0, 10**6),
        ("lifts.heads", 0, 1),
        ("lifts.sizes", 0, 3),
        ("cones", 0, -1),
        ("cones", 2, 2**60),
    ],
)
def test_places_outside_the_program_are_not_read(tmp_path: Path, name: str, place, value: int) -> None:
    export(value_program(random_net(1, quadratic=(3,))), tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as stored:
        arrays = dict(stored)
    assert arrays[name].size
    arrays[name][place] = value
    np.savez(tmp_path / "broken.npz", **arrays)
    with pytest.raises(FileError, match="not a program written by socicnn, or is broken"):
        read_npz(tmp_path / "broken.npz")


def test_blocks_that_overlap_are_refused(tmp_path: Path) -> None:
    """A thousand blocks of all rows would make a thousand times as many names."""
    export(value_program(random_net(1)), tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as stored:
        arrays = dict(stored)
    arrays["rows.ends"] = np.tile([[0, arrays["b"].size]], (1000, 1))
    arrays["rows"] = np.tile(arrays["rows"][:1], (1000, 1))
    np.savez(tmp_path / "broken.npz", **arrays)
    with pytest.raises(FileError, match="the blocks of rows overlap"):
        read_npz(tmp_path / "broken.npz")


def test_files_of_version_1_are_read() -> None:
    """Written by socicnn 0.1.0: a program with a sparse layer, quadratics inside, both branches."""
    value, conic = read_npz(OLD / "value-1.npz"), read_npz(OLD / "conic-1.npz")
    assert isinstance(value, ValueProgram)
    assert isinstance(conic, ConicProgram)
    same(value.at([1.0, 2.0, 3.0]), conic)
    assert conic.solve().value == pytest.approx(43.22485775889133, rel=1e-6)
    same(conic, value_program(FrozenNet.load(OLD / "net-1.safetensors")).at([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("A_indices", 0, -1),
        ("A_indices", 0, 10**6),
        ("B_indices", 0, 10**6),
        ("A_indptr", 1, 10**6),
        ("A_indptr", 0, 1),
        ("A_shape", 0, 2**40),
        ("rows_spans", (0, 1), 10**6),
        ("lifts", (0, 0), 10**6),
    ],
)
def test_broken_files_of_version_1_are_refused(tmp_path: Path, name: str, place, value: int) -> None:
    with np.load(OLD / "value-1.npz") as stored:
        arrays = dict(stored)
    arrays[name][place] = value
    np.savez(tmp_path / "broken.npz", **arrays)
    with pytest.raises(FileError, match="not a program written by socicnn, or is broken"):
        read_npz(tmp_path / "broken.npz")


@pytest.mark.parametrize("read", [read_cbf, read_npz])
def test_missing_and_foreign_files(read, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        read(tmp_path / "nowhere")
    for name, content in {"empty": b"", "bytes": b"\xff\xfe\x00", "text": b"hello", "zip": b"PK\x03\x04half"}.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FileError, match=name):
            read(path)


def test_npz_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(3))
    with pytest.raises(FileError, match="not a program"):
        read_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "o.npz", format=np.array({"a": 1}, dtype=object))
    with pytest.raises(FileError, match="not a valid program file; export the program again"):
        read_npz(tmp_path / "o.npz")
    export(KNOWN["box_corner"].program, tmp_path / "p.npz")
    arrays = dict(np.load(tmp_path / "p.npz"))
    np.savez(tmp_path / "later.npz", **{**arrays, "version": np.array(99)})
    with pytest.raises(FileError, match="version 99"):
        read_npz(tmp_path / "later.npz")
    assert int(arrays["version"]) == 2, "older readers know it"
    assert "cones.exponential" not in arrays
    export(EXPONENTIAL["mixed_0"].program, tmp_path / "e.npz")
    others = dict(np.load(tmp_path / "e.npz"))
    assert int(others["version"]) == 3
    for wrong in (others["cones.exponential"] + 1, np.array(-4), np.array(2**60), np.array([4]), np.array(4.0)):
        np.savez(tmp_path / "wrong.npz", **{**others, "cones.exponential": wrong})
        with pytest.raises(FileError, match="broken"):
            read_npz(tmp_path / "wrong.npz")
    np.savez(tmp_path / "short.npz", **{**arrays, "A.at": arrays["A.at"][:, :-1]})
    with pytest.raises(FileError, match="broken"):
        read_npz(tmp_path / "short.npz")
    whole = (tmp_path / "p.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="not a valid program file"):
        read_npz(tmp_path / "half.npz")


@pytest.mark.extra
def test_mosek_reads_what_is_written_and_writes_what_is_read(tmp_path: Path) -> None:
    """MOSEK's wheel reads and writes CBF without a licence: sizes, data and, through a rewrite, the value agree."""
    mosek = pytest.importorskip("mosek", reason="MOSEK's wheel is not installed: pip install Mosek")
    with mosek.Env() as env:
        for kind, program in instances().items():
            if not program.A.shape[1]:
                continue
            first, second = tmp_path / f"{kind}.cbf", tmp_path / f"{kind}_mosek.cbf"
            export(program, first)
            with env.Task() as task:
                task.readdata(str(first))
                assert task.getnumvar() == program.A.shape[1]
                assert task.getobjsense() == mosek.objsense.minimize
                cost = [0.0] * program.A.shape[1]
                np.testing.assert_array_equal(task.getc(), program.c if cost else [])
                assert task.getcfix() == program.offset
                task.writedata(str(second))
            again = read_cbf(second)
            assert sorted(again.cones.second_order) == sorted(program.cones.second_order)
            assert again.cones.exponential == program.cones.exponential
            assert again.solve().value == pytest.approx(program.solve().value, rel=1e-6, abs=1e-6), kind
