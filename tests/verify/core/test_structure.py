"""What the exported arrays alone say, for every x."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import compile_net
from socicnn.conic._blocks import Block
from socicnn.conic._cones import Cones
from tests.support.frozen_nets import NETS, random_net
from tests.support.mutants import block, stored, with_entry
from verify._core.structure import differences, monotone


@pytest.mark.parametrize("name", NETS)
def test_honest_programs_are_without_fault(name: str) -> None:
    net = random_net(3, **NETS[name])
    program = compile_net(net).program
    assert monotone(program) == []
    assert differences(program, net) == []


def test_labels_are_not_consulted_for_monotonicity() -> None:
    program = compile_net(random_net(3)).program
    assert monotone(replace(program, rows=(), columns=())) == []
    assert monotone(replace(program, rows=tuple(replace(b, kind="norm") for b in program.rows))) == []


def changed(program, name, row, column, value):
    matrix = getattr(program, name).tolil()
    matrix[row, column] = value
    return replace(program, **{name: type(getattr(program, name))(matrix)})


PROGRAM = compile_net(random_net(3)).program
RELU2, Z1, Z2, T = (block(PROGRAM, name) for name in ("relu2", "z1", "z2", "t_quadratic1"))
QUADRATIC, NORM, S = (block(PROGRAM, name) for name in ("quadratic1", "norm1", "s_norm1"))

FAULTS = {
    "negative hidden weight": (changed(PROGRAM, "A", RELU2.start, Z1.start, -0.1), "negative weights, the first -0.1"),
    "weight on a later variable": (changed(PROGRAM, "A", 0, Z2.start, 0.1), "on later variables"),
    "own weight not -1": (changed(PROGRAM, "A", RELU2.start, Z2.start, -1.1), "without exactly one entry -1"),
    "own weight turned": (changed(PROGRAM, "A", RELU2.start, Z2.start, 1.0), "without exactly one entry -1"),
    "negative cost": (with_entry(PROGRAM, "q", T, -1.0), "negative costs, the first -1 on t_quadratic1"),
    "free variable": (replace(PROGRAM, A=sparse.csc_array(PROGRAM.A * 0)), "nothing bounds from below"),
    "lift": (changed(PROGRAM, "A", QUADRATIC.start, T.start, -0.6), "not the lift of one square, the first quadratic1"),
    "lift's offset": (with_entry(PROGRAM, "b", QUADRATIC.start, 0.6), "not the lift of one square"),
    "head": (changed(PROGRAM, "A", NORM.start, S.start, -1.01), "whose head is not one variable, the first norm1[0]"),
    "head's offset": (with_entry(PROGRAM, "b", NORM.start, 1.0), "whose head is not one variable"),
    "input in a head": (changed(PROGRAM, "B", NORM.start, 0, 1.0), "whose head is not one variable"),
    "variable in a cone": (changed(PROGRAM, "A", NORM.start + 1, Z1.start, 0.5), "with a variable inside"),
    "not a number": (with_entry(PROGRAM, "d", 0, np.nan), "d has 1 non-finite"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named(name: str) -> None:
    program, words = FAULTS[name]
    found = monotone(program)
    assert any(words in sentence for sentence in found), found


def test_equality_rows_are_named() -> None:
    cones = PROGRAM.cones
    program = replace(PROGRAM, cones=Cones(1, cones.nonnegative - 1, cones.second_order))
    assert any("1 equality rows" in sentence for sentence in monotone(program))


@pytest.mark.parametrize("name", ["A", "B", "b", "q", "d", "r"])
def test_every_entry_is_compared_with_the_network(name: str) -> None:
    net = random_net(3)
    array = getattr(PROGRAM, name)
    count = array.nnz if sparse.issparse(array) else array.size
    flat = array.data if sparse.issparse(array) else np.atleast_1d(array)
    for index in range(count):
        value = np.nextafter(flat[index], np.inf)  # one unit in the last place
        mutant = with_entry(PROGRAM, name, () if array.ndim == 0 else index, value)
        found = differences(mutant, net)
        assert len(found) == 1
        assert found[0].startswith(f"{name} differs from the network in 1 entries")


def test_an_entry_where_the_network_has_none_is_found() -> None:
    net = random_net(3)
    assert "A differs" in differences(changed(PROGRAM, "A", NORM.start + 1, Z1.start, 1e-300), net)[0]
    assert "B differs" in differences(changed(PROGRAM, "B", block(PROGRAM, "nonnegative1").start, 0, 1e-300), net)[0]
    assert "b differs" in differences(with_entry(PROGRAM, "b", block(PROGRAM, "nonnegative1").start, 1e-300), net)[0]


def test_an_entry_that_is_not_stored_is_missed() -> None:
    net = random_net(3)
    at = stored(PROGRAM, "A", "relu2")[0]
    mutant = with_entry(PROGRAM, "A", at, 0.0)
    A = mutant.A.copy()
    A.eliminate_zeros()
    mutant = replace(mutant, A=A)
    assert "A differs" in differences(mutant, net)[0]


def test_programs_of_other_networks_do_not_match() -> None:
    net = random_net(3)
    assert differences(compile_net(random_net(4)).program, net)
    assert "relu3" in differences(compile_net(random_net(3, hidden=(6, 5, 2))).program, net)[0]
    assert "z2" in differences(compile_net(random_net(3, hidden=(6,))).program, net)[0]
    assert "norm2" in differences(compile_net(random_net(3, norm=(3,))).program, net)[0]
    program = replace(PROGRAM, rows=(*PROGRAM.rows, Block("spare", "relu", 0, 1)))
    assert "spare" in differences(program, net)[0]


def test_blocks_that_overlap_do_not_match() -> None:
    moved = tuple(replace(b, start=0, stop=b.stop - b.start) if b.name == "relu2" else b for b in PROGRAM.rows)
    assert differences(replace(PROGRAM, rows=moved), random_net(3))


def test_stacked_contexts_are_compared_one_by_one() -> None:
    rng = np.random.default_rng(0)
    net = random_net(3)
    stack = replace(net, layers=[replace(net.layers[0], b=rng.normal(size=(5, 6))), net.layers[1]])
    program = compile_net(stack).program
    assert monotone(program) == []
    assert differences(program, stack) == []
    mutant = with_entry(program, "b", (3, 2), 7.0)
    assert "of context 3" in differences(mutant, stack)[0]
    mutant = with_entry(program, "q", (4, 7), -7.0)
    assert "negative costs" in monotone(mutant)[0]


def test_numbers_that_hardly_differ_are_told_apart() -> None:
    net = random_net(3)
    program = compile_net(net).program
    for size in (1e-3, 1e-8, 1e-14):
        (text,) = differences(replace(program, d=program.d * (1 + size * (np.arange(4) == 0))), net)
        found, expected = text.rsplit(": ", 1)[1].split(" where the network has ")
        assert found != expected
