"""No tolerance is the claimant's choice: not by the scales of a witness, not by its size, not by the program's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import verify
from benchmarks.mutation.scales import at_scales
from socicnn._compile import Compiled, Witness, compile_net
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic
from tests.support.frozen_nets import random_net
from verify._claim_file import write
from verify._core.checker import Checker
from verify._core.claim import Claim
from verify._proof.network import Prover
from verify._proof.scale import data_scale
from verify.check import check

NET = FrozenNet(
    [Layer(None, [[1.0], [-1.0]], [0.5, 0.25])],
    Output([1.0, 2.0], [0.3], 0.1),
    [Quadratic(1.0, [[1.0]], [0.2])],
)
X = np.array([[0.7]])


def moved(compiled: Compiled, x: np.ndarray, power: int) -> Witness:
    honest = compiled.witness(x)
    return at_scales(compiled.program, honest, 10.0**power * honest.k)


@pytest.mark.parametrize("power", [-10, -6, -3, -1, 1, 3, 4, 6, 8, 10])
def test_a_consistent_witness_at_another_scale_is_refused(power: int) -> None:
    """It is feasible and its gap is zero up to rounding of size k^2: the larger k, the more would pass."""
    compiled = compile_net(NET)
    certificate = verify.certify(NET, X, witness=moved(compiled, X, power))
    assert not certificate.ok
    assert [name for name, c in certificate.checks.items() if c.ok is False and name == "lift_scale"] == ["lift_scale"]


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0, 2.0, 4.0])
def test_scales_within_a_factor_of_four_pass(factor: float) -> None:
    for seed in range(5):
        compiled = compile_net(random_net(seed))
        x = 30 * np.random.default_rng(seed).normal(size=(10, 4))
        own = at_scales(compiled.program, compiled.witness(x), factor * compiled.witness(x).k)
        assert verify.certify(compiled.net, x, witness=own).ok


@pytest.mark.parametrize("power", [4, 5, 6, 7, 8, 10])
@pytest.mark.parametrize("off", [1e-3, 1.0, 1e3, 1e6])
def test_a_claim_that_is_off_fails_at_every_scale(power: int, off: float, tmp_path: Path) -> None:
    compiled, bracket, forward = compile_net(NET), Prover(NET)(X), NET(X)
    own = moved(compiled, X, power)
    for lo, hi in ((bracket.lo, bracket.hi), (bracket.lo - np.inf, bracket.hi + np.inf)):
        write(tmp_path / "forged.npz", Claim(NET, compiled.program, X, forward + off, own.v, own.y, own.k, lo, hi))
        report = check(tmp_path / "forged.npz")
        assert not report.ok
        failed = {c.name for c in report.checks if c.ok is False}
        assert failed >= {"claimed_value", "lift_scale"}


def test_tolerances_of_values_are_those_of_the_network() -> None:
    """Whatever the witness holds, gap, forward and claimed value are judged by 1e-12 (1 + S) of the network at x."""
    compiled, S = compile_net(NET), data_scale(NET, X)
    own = compiled.witness(X)
    for witness in (own, moved(compiled, X, 8), replace(own, v=1e9 * own.v), replace(own, y=1e9 * own.y)):
        checked = Checker(compiled.program)(X, witness.v, witness.y, NET(X), witness.k, scale=S)
        for name in ("gap", "forward"):
            assert checked.tolerances[name] == pytest.approx(1e-12 * (1 + S))


def test_a_claimed_value_outside_the_claimed_bracket_fails(tmp_path: Path) -> None:
    """Even where it is within the tolerance of a claimed value: lo <= forward <= hi is what is claimed."""
    compiled, bracket, own = compile_net(NET), Prover(NET)(X), compile_net(NET).witness(X)
    forward = NET(X) + 1e-13
    assert forward > bracket.hi
    write(tmp_path / "a.npz", Claim(NET, compiled.program, X, forward, own.v, own.y, own.k, bracket.lo, bracket.hi))
    report = check(tmp_path / "a.npz")
    assert {c.name for c in report.checks if c.ok is False} == {"bracket"}
    assert "is not in the claimed bracket" in str(report)
    write(tmp_path / "a.npz", Claim(NET, compiled.program, X, forward, own.v, own.y, own.k, bracket.lo, forward))
    assert check(tmp_path / "a.npz").ok


@pytest.mark.parametrize(("power", "off"), [(6, 0.4), (8, 4000.0)])
def test_a_wrong_program_is_not_believed_at_any_scale(power: int, off: float) -> None:
    compiled = compile_net(NET)
    wrong = replace(compiled.program, r=compiled.program.r + off)
    certificate = verify.certify(NET, X, program=wrong, witness=moved(compiled, X, power))
    assert not certificate.ok
    with pytest.raises(ModelError, match="does not hold"):
        certificate.cut()


def test_a_row_that_is_scaled_down_hides_nothing() -> None:
    """-1e-20 z <= -1e-20 (p + 1e8) is z >= p + 1e8, and its residual is below every absolute tolerance."""
    net = FrozenNet([Layer(None, [[1.0]], [0.0])], Output([1.0], [0.0], 3.0))
    program, x = compile_net(net).program, np.array([[-1.0], [-2.0]])
    A, B, b = program.A.tolil(), program.B.tolil(), program.b.copy()
    A[0], B[0], b[0] = 1e-20 * A[[0]].toarray(), 1e-20 * B[[0]].toarray(), -1e-20 * 1e8
    wrong = replace(program, A=type(program.A)(A), B=type(program.B)(B), b=b)
    own = compile_net(net).witness(x)
    certificate = verify.certify(net, x, program=wrong, witness=own)
    assert not certificate.passed.any()
    assert certificate.checks["program_value"].ok is False


def test_a_multiplier_that_is_small_next_to_one_is_judged_by_its_own_size() -> None:
    """w = 1e-20 before U = 1e20: a multiplier that is off by 1e-12 would tilt the cut by 1e8 and leave the gap 0."""
    net = FrozenNet([Layer(None, [[1e20]], [-1e20])], Output([1e-20], [0.0], 1.0))
    compiled, x = compile_net(net), np.array([[1.0]])
    own = compiled.witness(x)
    assert verify.certify(net, x, witness=own).ok
    half = replace(own, y=np.array([[0.5e-20, 0.5e-20]]))  # any split of w is a subgradient at the kink
    assert verify.certify(net, x, witness=half).ok
    for y in ([1e-12, 0.0], [1e-20 + 1e-12, -1e-12], [1e-20 + 1e-31, 0.0]):
        certificate = verify.certify(net, x, witness=replace(own, y=np.array([y])))
        assert not certificate.ok
        assert np.abs(certificate.gap).max() < 1e-12


@pytest.mark.parametrize("scale", [1e-160, 1e-6, 1.0, 1e6, 1e140])
@pytest.mark.parametrize("seed", range(4))
def test_honest_quadratics_pass_where_p_vanishes_by_rounding(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, point = rng.normal(size=(3, 3)), rng.normal(size=3)
    net = FrozenNet([], Output([], np.zeros(3)), [Quadratic(1.0, A / scale, -(A / scale) @ (scale * point))])
    x = scale * (point + np.array([0.0, 1e-17, 1e-16, 1e-15, 1e-8])[:, None])
    certificate = verify.certify(net, x, proof=True)
    assert certificate.ok, certificate


@pytest.mark.parametrize("seed", range(20))
def test_honest_points_pass_at_kinks_and_under_cancellation_whatever_the_weights(seed: int) -> None:
    """S does not see a unit that is off by an ulp, nor terms that cancel inside a layer: the bracket does."""
    rng = np.random.default_rng(seed)
    n, h = int(rng.integers(1, 40)), int(rng.integers(1, 30))
    x = rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3)
    U, w = rng.normal(size=(h, n)), np.abs(rng.normal(size=h)) * 10.0 ** rng.uniform(0, 10)
    output = Output(w, 1e-3 * rng.normal(size=n))
    first = Layer(None, U, np.abs(U) @ np.abs(x) * 1e3)
    W = np.abs(rng.normal(size=(h, h)))
    kink = FrozenNet([Layer(None, U, -(U @ x))], output)
    cancelled = FrozenNet([first, Layer(W, None, -(W @ np.maximum(U @ x + first.b[0], 0)))], output)
    points = np.stack([x, np.nextafter(x, np.inf), x * (1 + 1e-15)])
    for net in (kink, cancelled):
        certificate = verify.certify(net, points, proof=True)
        assert certificate.ok, certificate
        S = data_scale(net, points)
        for value in (certificate.value, certificate.dual):
            assert (certificate.lo - 1e-12 * (1 + S) <= value).all()
            assert (value <= certificate.hi + 1e-12 * (1 + S)).all()


def test_what_was_certified_stays_what_it_was() -> None:
    net, x = random_net(3), np.random.default_rng(0).normal(size=(3, 4))
    own = compile_net(net).witness(x)
    certificate = verify.certify(net, x, witness=own)
    before = certificate.cut()
    points = x.copy()
    x[:], own.v[:], own.y[:] = 100.0, 0.0, 0.0
    assert np.array_equal(certificate.x, points)
    assert np.array_equal(certificate.cut()[0], before[0])
    assert np.array_equal(certificate.cut()[1], before[1])
    with pytest.raises(ValueError, match="read-only"):
        certificate.x[0] = 1.0
