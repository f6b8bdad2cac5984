"""Softplus units in real arithmetic: what is assumed of exp, log and log1p, brackets, guesses, programs, mutants."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

import verify
from benchmarks.mutation.mutants import compiler_mutants, double_mutants, program_mutants, witness_mutants
from benchmarks.mutation.mutation import Table
from socicnn._compile import compile_net
from socicnn.conic._program import ValueProgram
from socicnn.frozen import FrozenNet, Layer, Output
from tests.support.softplus import HighPrecision, softplus_net
from verify._core.structure import differences, monotone
from verify._proof import softplus
from verify._proof.balls import BallProver
from verify._proof.duals import Guess, GuessProver, lower_bound
from verify._proof.network import Prover
from verify._proof.program import ProgramProver
from verify._proof.softplus import entropy_below, rounded_down, rounded_up

flint = pytest.importorskip("flint")
POINTS = 1_000_000
KINDS: list[tuple[Any, bool]] = [
    ((1.0, 0.25), False), ((0.0, 1.0), True), ((0.5, 0.0), False), ((1e-3, 10.0, 1.0), True),
    (((0.0, 1.0), (0.5, 0.0, 2.0)), True),
]  # fmt: skip


def ulps(name: str, values: np.ndarray, computed: np.ndarray) -> float:
    """Return by how many units in the last place a function is off, at most; balls of 100 bits tell the truth."""
    before, worst = flint.ctx.prec, 0.0
    flint.ctx.prec = 100
    try:
        for x, y in zip(values.tolist(), computed.tolist(), strict=True):
            truth = getattr(flint.arb(x), name)()
            error = abs(float((truth - y).mid()))
            worst = max(worst, error / float(np.spacing(abs(y))))
    finally:
        flint.ctx.prec = before
    return worst


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_exp_log_and_log1p_are_within_8_units(library: str) -> None:
    """The stated assumption, at 10^6 points of each library: arguments as `verify._proof.softplus` gives them."""
    rng = np.random.default_rng(0)
    half = POINTS // 6
    cases = {
        "exp": -np.concatenate([rng.uniform(0, 700, half), rng.exponential(1.0, half)]),
        "log1p": np.concatenate([rng.uniform(0, 1, half), 10.0 ** rng.uniform(-300, 0, half)]),
        "log": np.concatenate([rng.uniform(0, 1, half), 10.0 ** rng.uniform(-270, 0, half)]),
    }
    for name, x in cases.items():
        y = getattr(np, name)(x) if library == "numpy" else getattr(torch, name)(torch.tensor(x)).numpy()
        assert ulps(name, x, y) <= 8, name


def test_units_and_entropies_are_enclosed_at_10000_points() -> None:
    """Arguments from -750 to 750, every smoothing; and the ends are near each other."""
    rng = np.random.default_rng(1)
    a = np.concatenate([rng.uniform(-750, 750, 8000), 10.0 ** rng.uniform(-300, 3, 1000), rng.normal(size=1000)])
    before, flint.ctx.prec = flint.ctx.prec, 400
    try:
        for tau in (1.0, 0.1, 1e-8, 1e8):
            high, low = rounded_up(a, tau, np), rounded_down(a, tau, np)
            for i in range(0, len(a), 4):
                truth = HighPrecision.unit(flint.arb(a[i]), tau)
                assert flint.arb(low[i]) <= truth
                assert truth <= flint.arb(high[i])
            assert ((high - low) <= 1e-12 * high + 1e-290 * (1 + tau)).all()
        box = rng.exponential(size=len(a)) * 10.0 ** rng.uniform(-6, 6, len(a))
        mu = box * np.where(rng.random(len(a)) < 0.5, rng.random(len(a)), 10.0 ** rng.uniform(-320, 0, len(a)))
        mu[:3], mu[3:6] = 0.0, box[3:6]
        low = entropy_below(mu, box, np)
        for i in range(len(a)):
            if 0 < mu[i] < box[i]:
                p = flint.arb(mu[i]) / flint.arb(box[i])
                assert flint.arb(low[i]) <= -p * p.log() - (1 - p) * (-p).log1p()
        assert (low[:6] == 0).all()
        assert (low >= 0).all()
    finally:
        flint.ctx.prec = before


@pytest.mark.parametrize("part", range(4))
def test_no_violation_in_10000_points(part: int) -> None:
    """Prover, program and repaired guesses, against enclosures of 1,000 bits: scales, saturation and cancellation."""
    rng = np.random.default_rng(part)
    for seed in range(part, 500, 4):
        smoothing, terms = KINDS[seed % len(KINDS)]
        scale = 10.0 ** rng.uniform(-3, 3)
        net = softplus_net(seed, smoothing, terms=terms, scale=scale)
        x = rng.normal(size=(20, 4)) * 10.0 ** rng.uniform(-3, 2.5, size=(20, 1))
        if seed % 5 == 0:  # what units add up is taken away again
            slope = verify.certify(net, x[:1]).gradient()[0]
            net = replace(net, output=replace(net.output, v=net.output.v - slope, c=net.output.c - net(x[:1])[0]))
        widths = [layer.width for layer in net.layers]
        guess = Guess([rng.normal(size=(20, h)) * rng.choice([0.1, 10.0]) for h in widths])
        program = ProgramProver(compile_net(net).program)(x)
        brackets = [Prover(net)(x), GuessProver(net, guess)(x), program]
        exact = HighPrecision(net)
        for i, point in enumerate(x):
            value = exact(point)
            for bracket in brackets:
                assert np.isfinite(bracket.hi[i] - bracket.lo[i])
                assert flint.arb(bracket.lo[i]) <= value
                assert value <= flint.arb(bracket.hi[i])
        assert (brackets[0].hi - brackets[0].lo <= 1e-11 * (1 + brackets[0].scale)).all()


def test_smaller_margins_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """The margins of the units are there for a reason: without them one in many is on the wrong side."""
    monkeypatch.setattr(softplus, "EPS", 0.0)
    a = np.random.default_rng(2).uniform(-30, 30, 2000)
    high, low = rounded_up(a, 0.3, np), rounded_down(a, 0.3, np)
    truths = [HighPrecision.unit(flint.arb(x), 0.3) for x in a]
    assert sum(not (t <= flint.arb(h)) for t, h in zip(truths, high, strict=True)) > 100
    assert sum(not (flint.arb(h) <= t) for t, h in zip(truths, low, strict=True)) > 100


def test_balls_hold_the_value_and_are_narrow() -> None:
    rng = np.random.default_rng(3)
    for seed, (smoothing, terms) in enumerate(KINDS):
        net = softplus_net(seed, smoothing, terms=terms)
        x = rng.normal(size=(20, 4)) * 10.0 ** rng.uniform(-3, 2.5, size=(20, 1))
        narrow, exact = BallProver(net)(x), HighPrecision(net)
        for i, point in enumerate(x):
            assert flint.arb(narrow.lo[i]) <= exact(point)
            assert exact(point) <= flint.arb(narrow.hi[i])
        assert (narrow.hi - narrow.lo <= 1e-15 * (1 + np.abs(narrow.hi)) + 4 * np.spacing(np.abs(narrow.hi))).all()
        verify.equivalence(net, x, proof="balls").raise_if_failed()


def test_a_solvers_dual_point_is_a_bound() -> None:
    net, x = softplus_net(4), np.random.default_rng(5).normal(size=(6, 4))
    program = compile_net(net).program
    y = np.stack([program.at(point).solve().y for point in x])
    bound = lower_bound(net, x, y)
    assert (bound <= net(x)).all()
    assert (bound >= net(x) - 1e-4 * (1 + np.abs(net(x)))).all()
    noise = np.random.default_rng(6).normal(size=y.shape)
    assert (lower_bound(net, x, noise) <= net(x)).all()


def test_arrays_of_another_network_are_told_apart() -> None:
    net = softplus_net(0)
    program = compile_net(net).program
    assert not monotone(program)
    assert not differences(program, net)
    first = net.layers[0]
    for changed in (
        replace(first, smoothing=first.smoothing * (1 + 1e-15)),
        replace(first, smoothing=0.0),
        replace(first, b=first.b + 1e-9),
        replace(first, U=first.U * (1 + 1e-9)),
    ):
        assert differences(program, replace(net, layers=[changed, net.layers[1]]))


def _changed(program: ValueProgram, row: int, column: int, value: float) -> ValueProgram:
    A = sparse.lil_array(program.A)
    A[row, column] = value
    return replace(program, A=sparse.csc_array(A))


def test_cones_that_are_no_log_sum_exp_are_not_monotone() -> None:
    """A weight with the wrong sign, u elsewhere, a free sum, an entry of x where tau should be: each is named."""
    program = compile_net(softplus_net(0)).program
    rows, columns = ({block.name: block for block in side} for side in (program.rows, program.columns))
    cone, z, u, total = rows["softplus2"].start, columns["z2"].start, columns["u2"].start, rows["sum2"].start
    below = columns["z1"].start
    B = sparse.lil_array(program.B)
    B[cone + 1, 0] = 1.0
    b = program.b.copy()
    b[cone + 1] = -0.25
    q = program.q.copy()
    q[u] = 1.0
    wrong = [
        _changed(program, cone, below, 0.5),  # a falls as z1 rises
        _changed(program, cone, z, 0.5),
        _changed(program, cone, z, -1.0),
        _changed(program, cone, z + 1, 1.0),
        _changed(program, cone, z + 1, -1.0),  # a later variable
        _changed(program, cone, u, -1.0),
        _changed(program, cone + 1, z, -1.0),
        _changed(program, cone + 2, u, 0.0),
        _changed(program, cone + 2, u, -2.0),
        _changed(program, total, u, 0.0),
        _changed(program, total, u, 0.5),
        _changed(program, total, u + 1, 1.0),
        _changed(program, total, z, 1.0),
        _changed(program, rows["nonnegative2"].start, u, 1.0),
        replace(program, B=sparse.csr_array(B)),
        replace(program, b=b),
        replace(program, q=q),
    ]
    for changed in wrong:
        assert any("exponential cones of no log-sum-exp" in sentence for sentence in monotone(changed))
        assert not verify.certify(softplus_net(0), np.zeros((1, 4)), program=changed).ok


def test_no_mutant_is_accepted_where_it_matters() -> None:
    for seed, (smoothing, terms) in enumerate([*KINDS[:3], KINDS[4]]):
        net, rng = softplus_net(seed, smoothing, terms=terms), np.random.default_rng(11)
        x = rng.normal(size=(20, 4)) * np.array([0.3, 1.0, 3.0, 30.0])
        table, compiled = Table(), compile_net(net)
        for mutants in (
            program_mutants(compiled, rng),
            compiler_mutants(net),
            witness_mutants(compiled, x, rng),
            double_mutants(net, rng, 20),
        ):
            table.add(net, x, mutants)
        assert table.honest_rejected == 0
        assert table.accepted == [], table
        row = next(row for key, row in table.rows.items() if key[0] == "compiler" and key[2] == "smoothing")
        assert row.rejected + row.by_bracket == row.matter > 0


def test_a_unit_without_rows_of_its_own_is_not_read() -> None:
    """With the rows of the sums gone nothing holds z: no bracket of the program is finite, and no proof passes."""
    net = FrozenNet([Layer(None, [[1.0]], [0.0], smoothing=1.0)], Output([1.0], [0.0]))
    program = compile_net(net).program
    b = program.b.copy()
    b[0] = 1e9  # u + u' <= 1e9: z may fall to -20
    loose = replace(program, b=b)
    bracket = ProgramProver(loose)(np.array([[0.0]]))
    assert bracket.lo[0] == -np.inf
    assert not verify.certify(net, [[0.0]], program=loose).ok
