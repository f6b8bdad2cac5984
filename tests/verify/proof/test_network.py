"""Proven brackets against exact rational arithmetic: no violation, and margins that are needed."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from socicnn._compile import compile_net
from socicnn._margins import relative_margin
from socicnn.errors import MissingExtra, ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from tests.support.exact import exact_value
from tests.support.frozen_nets import NETS, random_net
from tests.support.instances import instance
from verify._certify import certify
from verify._proof import columns, images, minorant, network
from verify._proof import passes as _passes
from verify._proof.balls import BallProver
from verify._proof.duals import Guess, GuessProver, dual_guess, lower_bound
from verify._proof.network import Prover


def holds(lo: float, hi: float, exact: tuple[Fraction, Fraction]) -> bool:
    if not (np.isfinite(lo) and np.isfinite(hi)):
        return False
    return Fraction(lo) <= exact[0] and exact[1] <= Fraction(hi)


@pytest.mark.parametrize("part", range(4))
def test_no_violation_in_10000_random_networks(part: int) -> None:
    wide = []
    for seed in range(part, 10_000, 4):
        net, x = instance(seed)
        bracket = Prover(net)(x[None])
        assert holds(bracket.lo[0], bracket.hi[0], exact_value(net, x)), seed
        wide.append((bracket.hi[0] - bracket.lo[0]) / (1 + bracket.scale[0]))
    assert max(wide) <= 1e-11


def test_smaller_margins_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """The margins are there for a reason: a fiftieth of them is violated again and again."""
    for module in (columns, minorant, images, _passes, network):
        monkeypatch.setattr(module, "relative_margin", lambda terms: relative_margin(terms) / 50)
    broken = 0
    for seed in range(300):
        net, x = instance(seed)
        bracket = Prover(net)(x[None])
        broken += not holds(bracket.lo[0], bracket.hi[0], exact_value(net, x))
    assert broken > 50


@pytest.mark.parametrize("part", range(4))
def test_balls_hold_10000_exact_values_and_are_narrow(part: int) -> None:
    pytest.importorskip("flint")
    for seed in range(part, 10_000, 4):
        net, x = instance(seed)
        bracket, wide = BallProver(net)(x[None]), Prover(net)(x[None])
        exact = exact_value(net, x)
        assert holds(bracket.lo[0], bracket.hi[0], exact), seed
        assert bracket.hi[0] - bracket.lo[0] <= 1e-11 * (1 + bracket.scale[0])
        assert bracket.hi[0] - bracket.lo[0] <= 4 * np.spacing(np.abs(float(exact[0]))) + 1e-300
        assert bracket.lo[0] <= wide.hi[0]
        assert wide.lo[0] <= bracket.hi[0]


def test_any_guess_becomes_a_lower_bound() -> None:
    rng = np.random.default_rng(0)
    for seed in range(600):
        net, x = instance(seed)
        size = 10.0 ** rng.uniform(-3, 3)
        draw = lambda count: size * rng.normal(size=(1, count))  # noqa: E731, B023
        guess = Guess(
            [draw(layer.width) for layer in net.layers],
            [draw(len(quad.A)) for quad in net.quadratics],
            [draw(len(norm.C)) for norm in net.norms],
        )
        if seed % 50 == 0 and net.layers:
            guess.lambdas[0][0, 0] = np.nan
        lo = GuessProver(net, guess)(x[None]).lo[0]
        assert np.isfinite(lo)
        assert Fraction(lo) <= exact_value(net, x)[0], seed


def test_the_closed_form_given_as_a_guess_loses_nothing() -> None:
    for name, settings in NETS.items():
        net = random_net(4, **settings)
        compiled = compile_net(net)
        x = np.random.default_rng(1).normal(size=(30, net.in_features))
        own, repaired = Prover(net)(x), GuessProver(net, dual_guess(compiled, compiled.witness(x).y))(x)
        assert np.allclose(own.lo, repaired.lo, rtol=0, atol=1e-12 * (1 + own.scale.max())), name
        for i, point in enumerate(x[:5]):
            assert Fraction(repaired.lo[i]) <= exact_value(net, point)[0]


@pytest.mark.parametrize("solver", ["clarabel", "scs", "ecos"])
def test_a_solvers_dual_is_repaired(solver: str) -> None:
    """Its objective is not a bound; the repaired dual is, and is as good as the solver's accuracy."""
    net = random_net(6, norm=(3, 2))
    compiled = compile_net(net)
    exceeded = 0
    for point in np.random.default_rng(1).normal(size=(10, 4)):
        instance = compiled.program.at(point)
        solution = instance.solve(solver)
        lo = lower_bound(net, point, solution.y)[0]
        exact = exact_value(net, point)
        assert Fraction(lo) <= exact[0]
        assert float(exact[0]) - lo < 1e-2
        exceeded += -(solution.y @ instance.b) + instance.offset > exact[1]
    assert solver == "scs" or exceeded < 10


def test_a_dual_vector_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="y must have shape"):
        lower_bound(random_net(6), np.zeros(4), np.zeros(3))
    with pytest.raises(ModelError, match="2 points need one dual vector each"):
        lower_bound(random_net(6), np.zeros((2, 4)), np.zeros(compile_net(random_net(6)).program.A.shape[0]))


def test_brackets_of_programs_with_negative_weights_are_those_of_the_program() -> None:
    """With a negative hidden weight the program is still a program: bracketed by weak duality, or not at all."""
    from types import SimpleNamespace

    rng = np.random.default_rng(2)
    decided = 0
    for seed in range(40):
        net = random_net(seed, 3, (4, 3), (), ())
        W = net.layers[1].W.copy()
        W[rng.integers(3), rng.integers(4)] *= -1
        raw = SimpleNamespace(
            layers=[net.layers[0], Layer(W, net.layers[1].U, net.layers[1].b)],
            output=net.output,
            quadratics=(),
            norms=(),
            exponentials=(),
            terms=(),
        )
        program = compile_net(net).program
        rows, columns = program.rows[2], program.columns[0]
        A = program.A.tolil()
        A[rows.start : rows.stop, columns.start : columns.stop] = W
        mutant = replace(program, A=sparse.csc_array(A))
        x = rng.normal(size=(1, 3))
        bracket = Prover(raw)(x)
        value = mutant.at(x[0]).solve().value
        if np.isfinite(bracket.lo[0]):
            decided += 1
            assert bracket.lo[0] - 1e-6 <= value <= bracket.hi[0] + 1e-6
    assert decided > 10


def test_unbounded_programs_have_no_lower_bound() -> None:
    from types import SimpleNamespace

    net = random_net(1, quadratic=(), norm=())
    raw = SimpleNamespace(
        layers=net.layers,
        output=Output(-net.output.w, net.output.v, net.output.c),
        quadratics=(),
        norms=(),
        exponentials=(),
        terms=(),
    )
    assert Prover(raw)(np.zeros((1, 4))).lo[0] == -np.inf


@pytest.mark.parametrize("value", [1e200, 1e308])
def test_overflow_proves_nothing(value: float) -> None:
    bracket = Prover(random_net(1))(np.full((2, 4), value) * [[1.0], [0.0]])
    assert (bracket.lo[0], bracket.hi[0]) == (-np.inf, np.inf)
    assert np.isfinite(bracket.lo[1])


def test_stacked_contexts_groups_and_sparse_matrices() -> None:
    rng = np.random.default_rng(0)
    count, n, h = 6, 4, 5
    net = FrozenNet(
        [
            Layer(None, sparse.csr_array(rng.normal(size=(h, n))), rng.normal(size=(count, h))),
            Layer(sparse.csr_array(rng.exponential(size=(h, h)) * (rng.random((h, h)) < 0.5)), None, np.zeros(h)),
        ],
        Output(rng.exponential(size=(count, h)), rng.normal(size=(count, n)), rng.normal(size=count)),
        [Quadratic(rng.exponential(size=count), sparse.csr_array(np.eye(n)), rng.normal(size=(count, n)))],
        [Norm(rng.exponential(size=count), rng.normal(size=(6, n)), rng.normal(size=(count, 6)), group=2)],
    )
    x = rng.normal(size=(count, n))
    for prover in (Prover(net), BallProver(net)):
        bracket = prover(x)
        for i in range(count):
            assert holds(bracket.lo[i], bracket.hi[i], exact_value(net[i], x[i]))


def test_certify_proves_by_either_road() -> None:
    net = random_net(3)
    x = np.random.default_rng(0).normal(size=(9, 4))
    wide, narrow = certify(net, x, proof=True), certify(net, x, proof="balls")
    assert (wide.lo < narrow.lo).all()
    assert (narrow.hi < wide.hi).all()
    assert certify(net, x).lo is None
    with pytest.raises(ModelError, match="unknown proof 'magic'"):
        certify(net, x, proof="magic")


def test_balls_without_python_flint_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(MissingExtra, match=r"socicnn\[proof\]"):
        BallProver(random_net(1))
