"""Log-sum-exp and logistic branches in real arithmetic: enclosures, minorants, programs, balls, mutants."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import verify
from benchmarks.mutation.mutants import compiler_mutants, double_mutants, program_mutants, witness_mutants
from benchmarks.mutation.mutation import Table
from socicnn._compile import compile_net
from socicnn.frozen import FrozenNet, Logistic, LogSumExp, Output
from tests.support.softplus import HighPrecision, exponential_net, log_sum_exp
from verify._core.structure import differences, monotone
from verify._proof import exponentials
from verify._proof.balls import BallProver
from verify._proof.columns import NetColumns
from verify._proof.duals import lower_bound
from verify._proof.minorant import minorant
from verify._proof.network import Prover
from verify._proof.program import ProgramProver

N = 4


def branches(rng: np.random.Generator, scale: float) -> FrozenNet:
    """Return one log-sum-exp and one logistic branch whose arguments have about this size."""
    G, S = scale * rng.normal(size=(5, N)), scale * rng.normal(size=(3, N))
    output = Output(np.zeros(0), np.zeros(N))
    smooth = [LogSumExp(rng.exponential(), G, scale * rng.normal(size=5))]
    return FrozenNet([], output, logsumexps=smooth, logistics=[Logistic(rng.exponential(size=3), S)])


@pytest.mark.extra
@pytest.mark.parametrize("part", range(4))
def test_no_violation_in_10000_points(part: int) -> None:
    """Network, program and balls against enclosures of 1,000 bits: arguments to 750 and beyond, and cancellation."""
    flint = pytest.importorskip("flint")
    rng = np.random.default_rng(part)
    for seed in range(part, 500, 4):
        if seed % 2:
            net = branches(rng, 10.0 ** rng.uniform(-3, 3))
        else:
            net = exponential_net(seed, layers=seed % 4 > 0, scale=10.0 ** rng.uniform(-3, 3))
        x = rng.normal(size=(20, N)) * 10.0 ** rng.uniform(-3, 2.5, size=(20, 1))
        if net.logsumexps[0].rows == 5:  # arguments of up to 750
            largest = np.abs(net.logsumexps[0].image(x)).max(axis=(1, 2))
            x = x * (rng.uniform(0, 750, size=20) / largest)[:, None]
        if seed % 5 == 0:  # what the terms add up is taken away again
            slope = verify.certify(net, x[:1]).gradient()[0]
            net = replace(net, output=replace(net.output, v=net.output.v - slope, c=net.output.c - net(x[:1])[0]))
        brackets = [Prover(net)(x), ProgramProver(compile_net(net).program)(x)]
        exact = HighPrecision(net)
        for i, point in enumerate(x):
            value = exact(point)
            for bracket in brackets:
                assert np.isfinite(bracket.hi[i] - bracket.lo[i])
                assert flint.arb(bracket.lo[i]) <= value
                assert value <= flint.arb(bracket.hi[i])
        sizes = [np.abs(term.image(x)).max(axis=(1, 2)) for term in net.exponentials]
        width = brackets[0].hi - brackets[0].lo
        assert (width <= 1e-11 * (1 + brackets[0].scale + 10 * np.max(sizes, axis=0))).all()


@pytest.mark.extra
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_minorants_of_any_guess_are_below(library: str) -> None:
    """The affine minorant of a guess of p, less its rounding, is below f at 10,000 points, and touches at the best."""
    flint = pytest.importorskip("flint")
    rng = np.random.default_rng(5)
    for seed in range(100):
        net = branches(rng, 10.0 ** rng.uniform(-2, 2.5))
        columns = NetColumns.of(net)
        z = rng.normal(size=(N, 1))
        images = [term.matrix @ z + term.offset for term in columns.exponentials]
        honest = [term.shares(a) for term, a in zip(columns.exponentials, images, strict=True)]
        guesses = [honest, [rng.exponential(size=p.shape) for p in honest], [p + 1e-9 * rng.random() for p in honest]]
        guess = guesses[seed % 3]
        if library == "torch":
            terms = [replace(term, xp=torch, **tensors(term)) for term in columns.exponentials]
            own = {name: torch.tensor(np.array(getattr(columns, name))) for name in "wvc"}
            columns, guess = replace(columns, xp=torch, exponentials=terms, **own), [torch.tensor(p) for p in guess]
        line = minorant(columns, (), (), guess)
        exact, margin = HighPrecision(net), 1.01 * (2 * line.terms + 4) * 2.0**-53
        slope, offset = np.asarray(line.slope)[:, 0], float(line.offset[0])
        size, size_0 = np.asarray(line.slope_size)[:, 0], float(line.offset_size[0])
        points = z.T + rng.normal(size=(100, N)) * 10.0 ** rng.uniform(-6, 1, size=(100, 1))
        for point in [z[:, 0], *points]:
            real = sum((flint.arb(s) * t for s, t in zip(slope, point.tolist(), strict=True)), flint.arb(offset))
            assert real - margin * (size @ np.abs(point) + size_0) <= exact(point)
        if seed % 3 == 0:
            assert slope @ z[:, 0] + offset == pytest.approx(
                net(z.T)[0], rel=1e-12, abs=1e-12 * (1 + np.abs(images[0]).max())
            )


def tensors(term: exponentials.ExpColumns) -> dict[str, torch.Tensor]:
    """Return the arrays of a term as tensors."""
    return {name: torch.tensor(getattr(term, name)) for name in ("weight", "matrix", "absolute", "offset")}


@pytest.mark.extra
def test_smaller_margins_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """The margins of log-sum-exps are there for a reason: without them one in many is on the wrong side."""
    flint = pytest.importorskip("flint")
    monkeypatch.setattr(exponentials, "EPS", 0.0)
    rng = np.random.default_rng(2)
    net = FrozenNet([], Output(np.zeros(0), [0.0]), logsumexps=[LogSumExp(1.0, np.zeros((4, 1)), np.zeros(4))])
    term = NetColumns.of(net).exponentials[0]
    a = rng.uniform(-30, 30, size=(4, 2000))
    high, low = term._log_sum_exp(a, 1.0)[0], term._log_sum_exp(a, -1.0)[0]
    truths = [log_sum_exp([flint.arb(entry) for entry in column]) for column in a.T.tolist()]
    assert sum(not (t <= flint.arb(h)) for t, h in zip(truths, high, strict=True)) > 100
    assert sum(not (flint.arb(h) <= t) for t, h in zip(truths, low, strict=True)) > 100


@pytest.mark.extra
def test_balls_hold_the_value_and_are_narrow() -> None:
    flint = pytest.importorskip("flint")
    rng = np.random.default_rng(3)
    for seed in range(4):
        net = exponential_net(seed, layers=seed > 1)
        x = rng.normal(size=(20, N)) * 10.0 ** rng.uniform(-3, 2.5, size=(20, 1))
        narrow, exact = BallProver(net)(x), HighPrecision(net)
        for i, point in enumerate(x):
            assert flint.arb(narrow.lo[i]) <= exact(point)
            assert exact(point) <= flint.arb(narrow.hi[i])
        assert (narrow.hi - narrow.lo <= 1e-15 * (1 + np.abs(narrow.hi)) + 4 * np.spacing(np.abs(narrow.hi))).all()
        verify.equivalence(net, x, proof="balls").raise_if_failed()


def test_known_values() -> None:
    """Those of the formula, by hand: log-sum-exps of (1, 2, 3) and (1000, 1000), softplus of 0, 1, -40 and 40."""
    one = Output(np.zeros(0), [0.0])
    for offsets, value in (([1.0, 2.0, 3.0], 3.4076059644443806), ([1000.0, 1000.0], 1000.6931471805599)):
        net = FrozenNet([], one, logsumexps=[LogSumExp(1.0, np.zeros((len(offsets), 1)), offsets)])
        assert net([[0.0]])[0] == pytest.approx(value, rel=1e-15)
        bracket = Prover(net)(np.zeros((1, 1)))
        assert bracket.lo[0] <= value <= bracket.hi[0]
    net = FrozenNet([], one, logistics=[Logistic(1.0, [[1.0]])])
    known = [0.6931471805599453, 1.3132616875182228, 4.248354255291589e-18, 40.0]
    assert net([[0.0], [1.0], [-40.0], [40.0]]) == pytest.approx(known, rel=1e-15)


def test_a_solvers_dual_point_is_a_bound() -> None:
    net, x = exponential_net(4), np.random.default_rng(5).normal(size=(6, N))
    program = compile_net(net).program
    y = np.stack([program.at(point).solve().y for point in x])
    bound = lower_bound(net, x, y)
    assert (bound <= net(x)).all()
    assert (bound >= net(x) - 1e-4 * (1 + np.abs(net(x)))).all()


def test_arrays_of_another_network_are_told_apart() -> None:
    net = exponential_net(0)
    program = compile_net(net).program
    assert not monotone(program)
    assert not differences(program, net)
    smooth, logistic = net.logsumexps[0], net.logistics[0]
    for part in (
        {"logsumexps": [replace(smooth, alpha=smooth.alpha * (1 + 1e-15)), *net.logsumexps[1:]]},
        {"logsumexps": [replace(smooth, o=smooth.o + 1e-9), *net.logsumexps[1:]]},
        {"logsumexps": [replace(smooth, G=smooth.G * (1 + 1e-9)), *net.logsumexps[1:]]},
        {"logsumexps": [replace(smooth, group=3), *net.logsumexps[1:]]},
        {"logsumexps": net.logsumexps[1:]},
        {"logistics": [replace(logistic, omega=logistic.omega[:, ::-1]), net.logistics[1]]},
        {"logistics": [replace(logistic, s=logistic.s - 1e-9), net.logistics[1]]},
        {"logistics": [replace(logistic, S=logistic.S[::-1]), net.logistics[1]]},
    ):
        assert differences(program, replace(net, **part))


@pytest.mark.parametrize("layers", [False, True])
def test_no_mutant_is_accepted_where_it_matters(layers: bool) -> None:
    net, rng = exponential_net(1, layers=layers), np.random.default_rng(11)
    x = rng.normal(size=(20, N)) * np.array([0.3, 1.0, 3.0, 30.0])
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
    for name in ("alpha", "G", "o", "omega", "S", "s"):
        rows = [row for key, row in table.rows.items() if key[0] == "compiler" and key[2] == name]
        assert sum(row.rejected + row.by_bracket for row in rows) == sum(row.matter for row in rows) > 0


def test_a_search_finds_what_bends_down_and_nothing_else() -> None:
    net, box = exponential_net(3), (np.full(N, -3.0), np.full(N, 3.0))
    assert not verify.falsify(net, box, evaluations=20_000).violated
    bent = lambda x: net(x) - 20.0 * np.logaddexp(0.0, 5.0 * x[:, 0])  # noqa: E731 (a logistic branch of weight -20)
    assert verify.falsify(bent, box, evaluations=20_000).violated
