"""Programs in files: read back without loss, by this package and by others, and worth the same."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import value_program
from socicnn._files import FileError
from socicnn.conic._cones import Cones
from socicnn.conic._program import ConicProgram, ValueProgram
from socicnn.conic.export import FORMATS, export, read
from socicnn.conic.export._npz import read_npz
from socicnn.errors import ProgramError
from socicnn.frozen import FrozenNet, Output, Quadratic
from tests.support.conic_cases import KNOWN
from tests.support.files_of_programs import instances, same
from tests.support.frozen_nets import NETS, random_net


@pytest.mark.parametrize("name", ["npz", "cbf"])
def test_round_trip_is_exact_and_worth_the_same(name: str, tmp_path: Path) -> None:
    for kind, program in instances().items():
        path = tmp_path / f"{kind}.{name}"
        export(program, path)
        back = read(path)
        same(program, back)
        same(program, read(path, name))
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


def test_a_format_that_is_not_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="unknown format 'mps'; there are: cbf, npz"):
        read(tmp_path / "program.mps")


def test_extreme_numbers_are_written_without_loss(tmp_path: Path) -> None:
    tiny, huge = 5e-324, 1.7976931348623157e308
    program = ConicProgram(
        sparse.csc_array([[0.1, tiny], [-huge, 1 / 3]]), np.array([0.1 + 0.2, -tiny]), np.array([np.pi, huge]), 1e-300,
        Cones(0, 2),
    )  # fmt: skip
    for name in ("npz", "cbf"):
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


@pytest.mark.parametrize("name", ["größe", "two words", "line\nMAX"])
def test_names_that_no_file_of_words_holds_are_left_out(name: str, tmp_path: Path) -> None:
    """CBF ended in a UnicodeEncodeError."""
    program = value_program(random_net(0)).at(np.ones(random_net(0).in_features))
    named = replace(program, columns=(replace(program.columns[0], name=name), *program.columns[1:]))
    export(named, tmp_path / "named.cbf")
    back = read(tmp_path / "named.cbf")
    assert (back.columns, back.row_names) == ((), program.row_names)
    assert (back.A != program.A).nnz == 0


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
