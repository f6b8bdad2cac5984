"""One prepared network, many batches: the verdicts are those of a certificate made anew."""

import numpy as np
import pytest
import torch

import verify
from socicnn import SOCICNN
from socicnn._compile import compile_net
from socicnn.errors import ModelError, VerificationError
from socicnn.frozen import FrozenNet, Layer, Output
from tests.support.frozen_nets import NETS, random_net
from verify._certifier import chunk_of


def same(first: verify.Certificate, second: verify.Certificate) -> None:
    for name in ("x", "forward", "value", "dual", "passed"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert first.residuals.keys() == second.residuals.keys()
    assert all(np.array_equal(first.residuals[name], second.residuals[name]) for name in first.residuals)


@pytest.mark.parametrize("name", NETS)
def test_batches_have_the_verdicts_of_certificates_made_anew(name: str) -> None:
    net = random_net(3, **NETS[name])
    certifier = verify.Certifier(net)
    for count in (1, 7, 40):
        x = np.random.default_rng(count).normal(size=(count, net.in_features))
        found = certifier(x)
        assert found.ok
        same(found, verify.certify(net, x))
        assert len(found.cut()[0]) == count


def test_brackets_are_proven_too() -> None:
    net = random_net(4)
    x = np.random.default_rng(0).normal(size=(5, net.in_features))
    found, anew = verify.Certifier(net, proof=True)(x), verify.certify(net, x, proof=True)
    assert np.array_equal(found.lo, anew.lo)
    assert np.array_equal(found.hi, anew.hi)


def test_a_tolerance_below_rounding_is_kept() -> None:
    net = random_net(4)
    x = 1e3 * np.random.default_rng(0).normal(size=(50, net.in_features))
    found = verify.Certifier(net, tolerance=1e-18)(x)
    same(found, verify.certify(net, x, tolerance=1e-18))
    assert not found.ok
    with pytest.raises(VerificationError, match=r"holds at \d+ of \d+ points.* fails at point"):
        found.raise_if_failed()
    with pytest.warns(DeprecationWarning, match="is now Certificate.supplied"):
        assert found.given is None


@pytest.mark.parametrize("mode", ["joint", "partial"])
def test_contexts_may_change_from_call_to_call(mode: str) -> None:
    draw = torch.Generator().manual_seed(0)
    model = SOCICNN(4, (8, 8), quadratic=(3,), norm=(3,), context_features=2, context=mode, generator=draw).double()
    certifier = verify.Certifier(model)
    for count in (1, 3, 6):
        x, theta = torch.randn(count, 4, generator=draw).double(), torch.randn(count, 2, generator=draw).double()
        found = certifier(x, theta)
        assert found.ok
        same(found, verify.certify(model, x, theta))
        same(certifier(x, theta[0]), verify.certify(model, x, theta[0]))


def test_weights_that_move_between_calls_are_read_again_for_contexts() -> None:
    draw = torch.Generator().manual_seed(0)
    model = SOCICNN(4, (8,), context_features=2, context="joint", generator=draw).double()
    certifier = verify.Certifier(model)
    x, theta = torch.randn(3, 4, generator=draw).double(), torch.randn(3, 2, generator=draw).double()
    before = certifier(x, theta).forward
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    after = certifier(x, theta)
    assert after.ok
    assert not np.array_equal(before, after.forward)
    same(after, verify.certify(model, x, theta))


def test_points_of_another_width_are_refused() -> None:
    certifier = verify.Certifier(FrozenNet([Layer(None, [[1.0]], [0.0])], Output([1.0], [0.0])))
    with pytest.raises(ModelError, match="must have shape"):
        certifier(np.zeros((3, 2)))


@pytest.mark.parametrize("name", NETS)
def test_a_forward_pass_is_a_witness(name: str) -> None:
    net = random_net(4, **NETS[name])
    compiled, x = compile_net(net), np.random.default_rng(0).normal(size=(9, net.in_features))
    activations: list[np.ndarray] = []
    np.testing.assert_array_equal(net.values(x, activations), net(x))
    own, alone = compiled.columns(x, activations), compiled.columns(x)
    for part in ("v", "y", "k"):
        np.testing.assert_allclose(getattr(own, part), getattr(alone, part), rtol=1e-12, atol=1e-12)


def test_large_programs_have_enough_points_at_a_time() -> None:
    assert [chunk_of(numbers) for numbers in (10, 330, 4_814, 100_000, 10**7)] == [4096, 1212, 256, 32, 1]
