"""Brackets of programs from their arrays: honest ones against exact arithmetic, mutants against a solver."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from socicnn.compile import compile_net
from tests.support.exact import exact_value
from tests.support.frozen_nets import NETS, random_net
from tests.support.mutants import block, with_entry
from tests.verify.proof.test_network import instance
from verify.proof.network import Prover
from verify.proof.program import ProgramProver


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
        wide.append((bracket.hi[0] - bracket.lo[0]) / (1 + Prover(net).scale(x[None])[0]))
    assert max(wide) <= 1e-11


@pytest.mark.parametrize("name", NETS)
def test_every_random_mutant_is_bracketed_or_undecided(name: str) -> None:
    """Whatever one entry becomes, a solver that solves the mutant finds its value inside the bracket."""
    net = random_net(3, **NETS[name])
    program = compile_net(net).program
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, net.in_features))
    decided = tried = 0
    for trial in range(60):
        array = ("A", "B", "b", "q", "d", "r")[trial % 6]
        entries = getattr(program, array).data if sparse.issparse(getattr(program, array)) else getattr(program, array)
        if entries.size == 0:
            continue
        at = () if array == "r" else int(rng.integers(len(entries)))
        value = [1.01 * entries[at] + 0.01, -entries[at], 0.9 * entries[at]][trial % 3]
        mutant = with_entry(program, array, at, value)
        bracket = ProgramProver(mutant)(x)
        for i, point in enumerate(x):
            solution = mutant.at(point, balanced=False).solve()
            tried += 1
            decided += np.isfinite(bracket.lo[i]) or abs(bracket.hi[i] + bracket.lo[i]) == np.inf
            if bracket.lo[i] == np.inf or bracket.hi[i] == -np.inf:
                assert not solution.ok, (array, at)
            elif solution.ok:
                slack = 2e-5 * (1 + abs(solution.value))
                assert bracket.lo[i] - slack <= solution.value <= bracket.hi[i] + slack, (array, at, value)
    assert decided >= 0.6 * tried


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
