"""Brackets of programs from their arrays: honest ones against exact arithmetic, mutants against a solver."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import compile_net
from socicnn.conic._program import ValueProgram
from socicnn.conic._solution import Solution
from tests.support.exact import exact_value
from tests.support.frozen_nets import NETS, random_net
from tests.support.instances import instance
from tests.support.mutants import block, with_entry
from verify._proof.program import ProgramProver
from verify._proof.scale import data_scale


@pytest.mark.parametrize("part", range(2))
def test_no_violation_on_honest_programs(part: int) -> None:
    wide = []
    for seed in range(part, 2000, 2):
        net, x = instance(seed)
        bracket = ProgramProver(compile_net(net).program)(x[None])
        exact = exact_value(net, x)
        assert np.isfinite(bracket.lo[0])
        assert Fraction(bracket.lo[0]) <= exact[0], seed
        assert exact[1] <= Fraction(bracket.hi[0]), seed
        wide.append((bracket.hi[0] - bracket.lo[0]) / (1 + data_scale(net, x[None])[0]))
    assert max(wide) <= 1e-11


SOLVED = 2e-5  # relative accuracy that is expected of a solver on a mutant, whose scales may be bad
DECIDED = 0.6  # share of mutants that the prover has to decide; row swaps inside cones it cannot read


def one_entry_changed(program: ValueProgram, rng: np.random.Generator, count: int) -> Iterator[ValueProgram]:
    """Yield programs in which one stored entry is 1 % larger and moved, has the other sign, or is 10 % smaller."""
    for trial in range(count):
        name = ("A", "B", "b", "q", "d", "r")[trial % 6]
        array = getattr(program, name)
        entries = array.data if sparse.issparse(array) else array
        if entries.size:
            at = () if name == "r" else int(rng.integers(len(entries)))
            value = (1.01 * entries[at] + 0.01, -entries[at], 0.9 * entries[at])[trial % 3]
            yield with_entry(program, name, at, value)


@pytest.fixture(scope="module", params=NETS)
def bracketed(request: pytest.FixtureRequest) -> list[tuple[float, float, Solution]]:
    """Return (lo, hi, solver's answer) of every random mutant of a network at three points."""
    net = random_net(3, **NETS[request.param])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, net.in_features))
    rows = []
    for mutant in one_entry_changed(compile_net(net).program, rng, 60):
        bracket = ProgramProver(mutant)(x)
        answers = [mutant.at(point, balanced=False).solve() for point in x]
        rows += list(zip(bracket.lo, bracket.hi, answers, strict=True))
    return rows


def test_a_solver_finds_the_value_of_a_mutant_inside_its_bracket(
    bracketed: list[tuple[float, float, Solution]],
) -> None:
    for lo, hi, answer in bracketed:
        empty, unbounded = lo == np.inf, hi == -np.inf
        if answer.ok:
            assert not empty
            assert not unbounded
            slack = SOLVED * (1 + abs(answer.value))
            assert lo - slack <= answer.value <= hi + slack


def test_most_random_mutants_are_decided(bracketed: list[tuple[float, float, Solution]]) -> None:
    """Decided: a finite lower end, or the proof that there is no feasible point, or no bound."""
    decided = [np.isfinite(lo) or lo == np.inf or hi == -np.inf for lo, hi, _ in bracketed]
    assert sum(decided) >= DECIDED * len(decided)


def test_infeasible_and_unbounded_programs_are_told() -> None:
    net = random_net(3)
    program = compile_net(net).program
    x = np.random.default_rng(0).normal(size=(40, 4))
    active = compile_net(net).witness(x).v[:, 0] > 1e-3
    floor = with_entry(program, "A", np.flatnonzero(program.A.indices == 0)[0], 1.0)  # z_1[0] <= -(U x + b)
    assert (ProgramProver(floor)(x).lo[active] == np.inf).all()
    assert np.isfinite(ProgramProver(floor)(x).hi[~active]).all()
    for column in ("t_quadratic1", "s_norm1", "z2"):
        lost = with_entry(program, "q", block(program, column), -1.0)
        assert (ProgramProver(lost)(x).hi == -np.inf).all()


def test_programs_that_it_cannot_read_are_undecided() -> None:
    program = compile_net(random_net(3)).program
    x = np.zeros((2, 4))
    strange = [
        with_entry(program, "b", 0, np.nan),
        replace(program, A=sparse.csc_array(program.A * 0)),
        replace(program, lifts=replace(program.lifts, heads=program.lifts.heads + 1)),
    ]
    for mutant in strange:
        bracket = ProgramProver(mutant)(x)
        assert (bracket.lo == -np.inf).all()
        assert (bracket.hi == np.inf).all()


def test_negative_weights_are_bracketed_by_weak_duality() -> None:
    """The forward pass of such a program is feasible and not its value; what is proven must hold its value."""
    decided = differ = 0
    for seed in range(30):
        net = random_net(seed, 3, (5, 4), (2,), (2,))
        program = compile_net(net).program
        x = np.random.default_rng(seed).normal(size=(2, 3))
        weights = np.flatnonzero(program.A.data > 0)
        mutant = with_entry(program, "A", weights[seed % 5 :: 5], -program.A.data[weights[seed % 5 :: 5]])
        bracket = ProgramProver(mutant)(x)
        for i, point in enumerate(x):
            value = mutant.at(point).solve().value
            slack = 1e-6 * (1 + abs(value))
            assert bracket.lo[i] - slack <= value <= bracket.hi[i] + slack
            decided += np.isfinite(bracket.lo[i])
            differ += abs(value - net(point)[0]) > 1e-3
    assert decided > 20
    assert differ > 20


def test_stacked_contexts() -> None:
    net = random_net(3)
    rng = np.random.default_rng(0)
    stack = replace(net, layers=[replace(net.layers[0], b=rng.normal(size=(5, 6))), net.layers[1]])
    x = rng.normal(size=(5, 4))
    bracket = ProgramProver(compile_net(stack).program)(x)
    assert (bracket.lo <= stack(x)).all()
    assert (stack(x) <= bracket.hi).all()
    assert (bracket.hi - bracket.lo < 1e-12 * (1 + bracket.scale)).all()
