"""Softplus layers of frozen networks: the formula, their file and fingerprint, their program and every proof."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import verify
from socicnn._compile import compile_net
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Output
from socicnn.frozen._softplus import slope, unit
from tests.contracts.frozen import FrozenContract
from tests.support.softplus import softplus_net


class TestSoftplus(FrozenContract):
    net = softplus_net(0)


class TestSoftplusBelowReLU(FrozenContract):
    net = softplus_net(1, (0.5, 0.0), terms=True)


class TestSoftplusAboveReLU(FrozenContract):
    net = softplus_net(2, (0.0, 2.0, 1.0), terms=True)


class TestUnitsOfSeveralKinds(FrozenContract):
    net = softplus_net(7, ((0.0, 1.0), (0.5, 0.0, 2.0)), terms=True)


class TestUnitsOfSeveralKindsAboveReLU(FrozenContract):
    net = softplus_net(8, (0.0, (1.0, 0.0), 0.5))


def test_values_are_those_of_the_formula() -> None:
    """Known values, and both ends without cancellation."""
    known = {0.0: 0.6931471805599453, 1.0: 1.3132616875182228, -40.0: 4.248354255291589e-18, 40.0: 40.0, -750.0: 0.0}
    for a, value in known.items():
        assert unit(np.array([a]), np.array(1.0))[0] == pytest.approx(value, rel=1e-15)
    a = np.linspace(-30, 30, 301)
    for tau in (0.1, 1.0, 7.0):
        np.testing.assert_allclose(unit(a, np.array(tau)), tau * np.logaddexp(0.0, a / tau), rtol=1e-13)
        p, q = slope(a, np.array(tau)), slope(-a, np.array(tau))
        np.testing.assert_allclose(p + q, 1.0, rtol=1e-15)
        np.testing.assert_allclose(np.log(p), -unit(-a, np.array(tau)) / tau, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(unit(a, np.array(0.0)), np.maximum(a, 0))


def test_smoothing_is_checked() -> None:
    for wrong in (-1.0, np.inf, np.nan, [1.0, 1.0, 1.0], [1.0, -1.0], [[1.0, 1.0]]):
        with pytest.raises(ModelError, match="smoothing of layer 1 must be a finite number >= 0, or one for each of 2"):
            FrozenNet([Layer(None, [[1.0], [1.0]], [0.0, 0.0], smoothing=wrong)], Output([1.0, 1.0], [0.0]))


def test_units_of_several_kinds_in_one_layer(tmp_path: Path) -> None:
    """The formula unit by unit; one number for all is the layer of before, in values, files and fingerprint."""
    layer = lambda tau: Layer(None, [[1.0], [-1.0], [2.0]], [0.0, 0.5, 0.0], smoothing=tau)  # noqa: E731 (shorthand)
    read = Output([1.0, 2.0, 0.5], [1.0])
    mixed, plain = FrozenNet([layer([0.0, 1.0, 0.25])], read), FrozenNet([layer(0.5)], read)
    x = np.linspace(-3, 3, 7)
    units = np.maximum(x, 0) + 2 * np.logaddexp(0, 0.5 - x) + 0.125 * np.logaddexp(0, 8 * x)
    np.testing.assert_allclose(mixed(x[:, None]), x + units, rtol=1e-14)
    same = FrozenNet([layer([0.5, 0.5, 0.5])], read)
    assert same.fingerprint == plain.fingerprint
    assert len({mixed.fingerprint, plain.fingerprint, FrozenNet([layer([1.0, 0.0, 0.25])], read).fingerprint}) == 3
    names = [tmp_path / f"{name}.safetensors" for name in ("mixed", "plain", "same")]
    for net, path in zip((mixed, plain, same), names, strict=True):
        net.save(path)
    assert b'"version":"4"' in names[0].read_bytes()
    assert names[1].read_bytes() == names[2].read_bytes()
    assert FrozenNet.load(names[0]).fingerprint == mixed.fingerprint
    rows = {block.name: block.stop - block.start for block in compile_net(mixed).program.rows}
    assert rows == {"relu1": 1, "sum1": 2, "nonnegative1": 3, "softplus1": 12}


def test_fingerprints_and_files_tell_the_smoothing(tmp_path: Path) -> None:
    """A ReLU network keeps its fingerprint and the version of its file, which older readers know."""
    soft = softplus_net(0)
    relu = replace(soft, layers=[replace(layer, smoothing=0.0) for layer in soft.layers])
    other = replace(soft, layers=[replace(layer, smoothing=0.5) for layer in soft.layers])
    plain = FrozenNet(
        [Layer(layer.W if k else None, layer.U, layer.b) for k, layer in enumerate(soft.layers)], soft.output
    )
    assert relu.fingerprint == plain.fingerprint
    assert len({soft.fingerprint, relu.fingerprint, other.fingerprint}) == 3
    relu.save(tmp_path / "relu.safetensors")
    plain.save(tmp_path / "plain.safetensors")
    soft.save(tmp_path / "soft.safetensors")
    assert (tmp_path / "relu.safetensors").read_bytes() == (tmp_path / "plain.safetensors").read_bytes()
    assert b'"version":"2"' in (tmp_path / "relu.safetensors").read_bytes()
    assert b'"version":"3"' in (tmp_path / "soft.safetensors").read_bytes()
    back = FrozenNet.load(tmp_path / "soft.safetensors")
    assert [float(layer.smoothing) for layer in back.layers] == [1.0, 0.25]


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_certificates_hold_at_every_scale(scale: float) -> None:
    """Saturated units on both sides, and cancellation between layers."""
    mixed = softplus_net(6, ((0.0, 1e-3, 1.0), (1e3, 0.0)), scale=scale)
    several = softplus_net(3, scale=scale), softplus_net(4, (0.0, 1e-3), scale=scale), softplus_net(5, (1e3, 1.0))
    for net in (*several, mixed):
        x = np.random.default_rng(0).normal(size=(50, 4)) * scale
        certificate = verify.certify(net, x, proof=True)
        assert certificate.ok, certificate.summary()
        assert (certificate.lo <= net(x)).all()
        assert (net(x) <= certificate.hi).all()


def test_gradients_and_hessians_are_those_of_differences() -> None:
    nets = TestSoftplusBelowReLU, TestSoftplusAboveReLU, TestUnitsOfSeveralKinds, TestUnitsOfSeveralKindsAboveReLU
    for net in (TestSoftplus.net, *(kind.net for kind in nets)):
        x, h = np.random.default_rng(1).normal(size=(5, 4)), 1e-5
        certificate = verify.certify(net, x)
        steps = h * np.eye(4)
        gradient = np.stack([(net(x + step) - net(x - step)) / (2 * h) for step in steps], axis=1)
        np.testing.assert_allclose(certificate.gradient(), gradient, rtol=1e-6, atol=1e-7)
        sides = [[verify.certify(net, x + side * step).gradient() for side in (1, -1)] for step in steps]
        hessian = np.stack([(up - down) / (2 * h) for up, down in sides], axis=2)
        np.testing.assert_allclose(certificate.hessian(), hessian, rtol=1e-5, atol=1e-5)
        d = np.random.default_rng(2).normal(size=(5, 4))
        along = certificate.directional_derivative(d)
        np.testing.assert_allclose(along, (certificate.gradient() * d).sum(axis=1), rtol=1e-12, atol=1e-12)
        assert certificate.subdifferential(0).nearest(np.zeros(4)) == pytest.approx(certificate.gradient()[0])


def test_the_program_is_two_cones_for_each_unit() -> None:
    compiled = compile_net(softplus_net(0))
    program = compiled.program
    assert program.cones.exponential == 2 * (5 + 6)
    assert {block.name for block in program.rows} == {
        "sum1", "nonnegative1", "softplus1", "sum2", "nonnegative2", "softplus2"
    }  # fmt: skip
    for solver in ("ecos", "scs"):
        x = np.array([0.3, -0.2, 1.0, 0.1])
        settings = {"eps": 1e-9} if solver == "scs" else {}
        solved = program.at(x).solve(solver, **settings)
        assert solved.value == pytest.approx(compiled.net(x)[0], rel=1e-6)


def test_falsify_finds_nothing_wrong() -> None:
    assert verify.falsify(softplus_net(6), (-2.0, 2.0), evaluations=5000).ok
