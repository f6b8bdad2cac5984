"""Programs in files: read back without loss, by this package and by others, and worth the same."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import value_program
from socicnn._files import FileError
from socicnn.conic._blocks import Rows
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram, ValueProgram
from socicnn.conic.export import FORMATS, export
from socicnn.conic.export._cbf import read_cbf
from socicnn.conic.export._npz import read_npz
from socicnn.errors import ProgramError
from socicnn.frozen import FrozenNet, Output, Quadratic
from tests.support.conic_cases import KNOWN
from tests.support.frozen_nets import NETS, random_net

OLD = Path(__file__).parents[2] / "old_files"


def simplex(n: int) -> Rows:
    G = sparse.csr_array(np.vstack([np.ones(n), -np.eye(n)]))
    return Rows(G, np.concatenate([[1.0], np.zeros(n)]), Cones(1, n))


def instances() -> dict[str, ConicProgram]:
    """Instances of networks (x among the variables, and substituted), and programs made by hand."""
    found = {}
    for kind, shape in NETS.items():
        program = value_program(random_net(1, **shape))
        n = program.in_features
        found[f"{kind}_free"] = program.free(simplex(n))
        found[f"{kind}_at"] = program.at(17.3 * np.ones(n))
    return found | {name: KNOWN[name].program for name in ("distance_to_plane", "all_kinds_0", "cones_of_one_and_two")}


def same(first: ConicProgram, second: ConicProgram) -> None:
    assert first.A.shape == second.A.shape
    np.testing.assert_array_equal(first.A.toarray(), second.A.toarray())
    np.testing.assert_array_equal(first.b, second.b)
    np.testing.assert_array_equal(first.c, second.c)
    assert first.offset == second.offset
    assert first.cones == second.cones
    assert [b for b in first.columns if b.stop > b.start] == [b for b in second.columns if b.stop > b.start]
    assert [b for b in first.rows if b.stop > b.start] == [b for b in second.rows if b.stop > b.start]


@pytest.mark.parametrize(("name", "read"), [("npz", read_npz), ("cbf", read_cbf)])
def test_round_trip_is_exact_and_worth_the_same(name: str, read, tmp_path: Path) -> None:
    for kind, program in instances().items():
        path = tmp_path / f"{kind}.{name}"
        export(program, path)
        back = read(path)
        same(program, back)
        if program.A.shape[1]:
            assert back.solve().value == program.solve().value


@pytest.mark.parametrize("kind", sorted(NETS))
def test_a_value_program_keeps_x_on_the_right_in_npz(kind: str, tmp_path: Path) -> None:
    net = random_net(4, **NETS[kind])
    program = value_program(net)
    path = tmp_path / "program.npz"
    export(program, path)
    back = read_npz(path)
    assert isinstance(back, ValueProgram)
    x = np.linspace(-1, 1, net.in_features) * 50
    same(program.at(x), back.at(x))
    same(program.free(), back.free())
    assert back.row_names == program.row_names


def test_stacked_contexts_are_kept_in_npz(tmp_path: Path) -> None:
    net = FrozenNet([], Output(np.zeros(0), np.array([[1.0, 2.0], [3.0, 4.0]])), [Quadratic(1.0, np.eye(2))])
    export(value_program(net), tmp_path / "two.npz")
    back = read_npz(tmp_path / "two.npz")
    assert isinstance(back, ValueProgram)
    assert back.contexts == 2
    same(back[1].at([1.0, 2.0]), value_program(net)[1].at([1.0, 2.0]))
    for name in ("cbf", "mps"):
        with pytest.raises(ProgramError, match="needs one context"):
            export(value_program(net), tmp_path / f"two.{name}")


def test_extreme_numbers_are_written_without_loss(tmp_path: Path) -> None:
    tiny, huge = 5e-324, 1.7976931348623157e308
    program = ConicProgram(
        sparse.csc_array([[0.1, tiny], [-huge, 1 / 3]]), np.array([0.1 + 0.2, -tiny]), np.array([np.pi, huge]), 1e-300,
        Cones(0, 2),
    )  # fmt: skip
    for name, read in (("npz", read_npz), ("cbf", read_cbf)):
        export(program, tmp_path / f"p.{name}")
        same(program, read(tmp_path / f"p.{name}"))


def test_quadratics_are_rotated_cones(tmp_path: Path) -> None:
    """||p||^2 <= t is written as 2 t (1/2) >= ||p||^2: the row of 1/2 has no variable."""
    net = FrozenNet([], Output([], np.zeros(2)), [Quadratic(3.0, np.eye(2))])
    path = tmp_path / "q.cbf"
    export(value_program(net), path)
    lines = path.read_text().splitlines()
    assert "QR 4" in lines
    assert lines[lines.index("BCOORD") + 2] == "1 0.5"
    start = lines.index("ACOORD")
    assert lines[start + 1] == "3"
    assert sorted(lines[start + 2 : start + 5]) == ["0 2 1.0", "2 0 1.0", "3 1 1.0"]


def test_names_are_readable(tmp_path: Path) -> None:
    export(value_program(random_net(1, **NETS["relu"])).free(), tmp_path / "p.mps")
    text = (tmp_path / "p.mps").read_text()
    for name in ("x[0]", "z1[5]", "relu2[4]", "nonnegative1[0]"):
        assert re.search(rf"\s{re.escape(name)}\s", text), name
    export(value_program(random_net(1)).free(), tmp_path / "p.cbf")
    assert "# columns z1 activation 4 10" in (tmp_path / "p.cbf").read_text()


FOREIGN = """# a file of somebody else, with domains of variables, MAX and every cone
VER
3

OBJSENSE
MAX

VAR
7 4
L+ 1
QR 3
L- 1
F 2

# sums and bounds
CON
4 3
L- 1
L= 1
F 2

OBJACOORD
3
0 -1.0
1 -2.0
4 1.0

OBJBCOORD
10

ACOORD
4
0 0 -1.0
1 2 1.0
1 3 1.0
2 5 9.0

BCOORD
3
0 3.0
1 -2.0
3 5.0
"""


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


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("VER\n3", "VER\n9", "its version is 9"),
        ("MAX", "BEST", "'BEST' is not one of MIN, MAX"),
        ("VAR\n7 4", "VAR\n1000000000007 5\nF 1000000000000", "which so short a file cannot use"),
        ("VAR\n7 4", "VAR\n7 6\nF 1000\nF -1000", "which so short a file cannot use"),
        ("2 5 9.0\n", f"2 {10**40} 9.0\n", "not a CBF file that this package reads"),
        ("QR 3", "EXP 3", "'EXP' is not one of"),
        ("QR 3", "QR 2", "do not add up to 7"),
        ("CON\n4 3", "INT\n1\n0\n\nCON\n4 3", "the section 'INT'"),
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
    np.savez(tmp_path / "short.npz", **{**arrays, "A.at": arrays["A.at"][:, :-1]})
    with pytest.raises(FileError, match="broken"):
        read_npz(tmp_path / "short.npz")
    whole = (tmp_path / "p.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="not a valid program file"):
        read_npz(tmp_path / "half.npz")


def test_formats_and_paths(tmp_path: Path) -> None:
    program = KNOWN["box_corner"].program
    assert list(FORMATS) == ["npz", "cbf", "mps"]
    with pytest.raises(ProgramError, match="unknown format 'xls'; there are: cbf, mps, npz"):
        export(program, tmp_path / "p", "xls")
    with pytest.raises(ProgramError, match="unknown format ''"):
        export(program, tmp_path / "p")
    for name in FORMATS:
        export(program, tmp_path / "same_name", name)  # any name will do where the format is given
        with pytest.raises(FileError, match="does not exist; make it first"):
            export(program, tmp_path / "no" / "where", name)
    assert [path.name for path in tmp_path.iterdir()] == ["same_name"]


def test_a_failed_write_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "p.cbf"
    export(KNOWN["box_corner"].program, path)
    before = path.read_bytes()
    broken = replace(KNOWN["box_corner"].program)
    object.__setattr__(broken, "c", None)
    with pytest.raises((AttributeError, TypeError)):
        export(broken, path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


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
            assert again.solve().value == pytest.approx(program.solve().value, rel=1e-6, abs=1e-6), kind
