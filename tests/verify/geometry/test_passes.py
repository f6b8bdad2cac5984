"""Cuts, gradients, subdifferentials, directional derivatives and Hessians, each against a slow truth."""

from itertools import product

import numpy as np
import pytest
import torch

from socicnn._arrays import Array
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn import SOCICNN
from tests.support.cases import CASES, Case
from tests.support.frozen_nets import NETS, random_net
from verify._certificate import Certificate
from verify._certify import certify


def kinked(seed: int, n: int = 3, depth: int = 2, units: int = 4, norms: bool = True) -> tuple[FrozenNet, Array]:
    """Return an integer network and a point where units of every layer, and norms, are exactly at zero."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, size=n).astype(float)
    layers, z = [], None
    for _ in range(depth):
        U = rng.integers(-2, 3, size=(units, n)).astype(float)
        W = None if z is None else rng.integers(0, 3, size=(units, units)).astype(float)
        a = U @ x + (0 if W is None else W @ z)
        b = np.where(rng.random(units) < 0.5, -a, rng.integers(-3, 4, size=units))
        z = np.maximum(a + b, 0)
        layers.append(Layer(W, U, b))
    C = rng.integers(-2, 3, size=(4, n)).astype(float)
    branches = [Norm(1.5, C, -C @ x, group=2), Norm(0.5, C[:3], np.ones(3))] if norms else []
    w = rng.integers(0, 3, size=units).astype(float)
    quadratic = Quadratic(0.5, rng.normal(size=(2, n)), rng.normal(size=2))
    return FrozenNet(layers, Output(w, rng.normal(size=n)), [quadratic], branches), x


def one_sided(net: FrozenNet, x: Array, d: Array) -> Array:
    """Return the derivative of f along each direction from the right, by extrapolated differences."""
    step = 1e-5
    f = lambda t: net(x + t * d)  # noqa: E731 (local shorthand)
    return (4 * (f(step) - net(x)) - (f(2 * step) - net(x))) / (2 * step)


@pytest.mark.parametrize("name", NETS)
def test_cuts_lie_below_everywhere_and_touch(name: str) -> None:
    net = random_net(3, **NETS[name])
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(20, net.in_features)), 3 * rng.normal(size=(1000, net.in_features))
    slope, offset = certify(net, x).cut()
    below = net(z)[None] - (slope @ z.T + offset[:, None])
    assert below.min() >= -1e-11 * (1 + np.abs(net(z)).max())
    assert np.einsum("ij,ij->i", slope, x) + offset == pytest.approx(net(x), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_gradients_are_those_of_autograd(case: Case) -> None:
    model = case.model()
    x, theta = case.points(model, 25).requires_grad_(), case.contexts(model, 25)
    model(x, *([] if theta is None else [theta])).sum().backward()
    gradient = certify(model, x, theta).gradient()
    assert gradient == pytest.approx(x.grad.reshape(25, -1).numpy(), rel=1e-10, abs=1e-12)


def test_gradients_at_kinks_are_those_of_autograd() -> None:
    """Autograd's relu takes slope 0 at 0, and vector_norm 0 at the zero vector."""
    model = SOCICNN(3, (4,), (2,), (2,)).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.split(".")[-1][0] in "bed" and name.startswith("vectors.free"):
                parameter.zero_()
    x = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    model(x).sum().backward()
    assert certify(model, x).gradient() == pytest.approx(x.grad.numpy(), abs=1e-14)


@pytest.mark.parametrize("seed", range(12))
def test_directional_derivatives_at_planted_kinks(seed: int) -> None:
    net, x = kinked(seed)
    certificate = certify(net, x)
    assert certificate.kinks()[0] > 0
    d = np.random.default_rng(1).normal(size=(1, 200, 3))
    found = certificate.directional_derivative(d)[0]
    assert found == pytest.approx(one_sided(net, x, d[0]), rel=1e-7, abs=1e-7)
    single = certificate.directional_derivative(d[0, 0])
    assert single == pytest.approx(found[:1], rel=1e-13)
    assert not np.allclose(found, -certificate.directional_derivative(-d)[0])  # two sides differ at a kink


def test_directional_derivatives_of_rounded_kinks() -> None:
    """b = -fl(U x) leaves a at an ulp of zero; that counts as zero, whichever sign rounding gave it."""
    rng = np.random.default_rng(0)
    U, C = rng.normal(size=(6, 4)), rng.normal(size=(3, 4))
    x = 1e3 * rng.normal(size=4)
    net = FrozenNet([Layer(None, U, -(U @ x))], Output(np.ones(6), np.zeros(4)), norms=[Norm(1.0, C, -(C @ x))])
    certificate = certify(net, x)
    assert certificate.kinks()[0] == 7
    d = rng.normal(size=(1, 50, 4))
    expected = np.maximum(d[0] @ U.T, 0).sum(axis=1) + np.linalg.norm(d[0] @ C.T, axis=1)
    assert certificate.directional_derivative(d)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_where_there_is_no_kink_the_derivative_is_linear(name: str) -> None:
    net = random_net(7, **NETS[name])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, net.in_features))
    certificate = certify(net, x)
    assert not certificate.kinks().any()
    d = rng.normal(size=(10, 5, net.in_features))
    assert certificate.directional_derivative(d) == pytest.approx(
        np.einsum("nkj,nj->nk", d, certificate.gradient()), rel=1e-10, abs=1e-12
    )


@pytest.mark.parametrize("seed", range(6))
def test_support_function_is_attained_and_bounds_every_subgradient(seed: int) -> None:
    net, x = kinked(seed)
    certificate = certify(net, x)
    subdifferential = certificate.subdifferential()
    rng = np.random.default_rng(2)
    d = rng.normal(size=(40, 3))
    value, best = subdifferential.support(d), subdifferential.maximiser(d)
    assert value == pytest.approx(certificate.directional_derivative(d[None])[0], rel=1e-13)
    assert np.einsum("kj,kj->k", d, best) == pytest.approx(value, rel=1e-12, abs=1e-12)
    assert (d @ best.T <= value[:, None] + 1e-10).all()
    z = x + rng.normal(size=(500, 3))
    for g in best:  # each is a subgradient
        assert (net(z) >= net(x) + (z - x) @ g - 1e-10).all()


@pytest.mark.parametrize("seed", range(6))
def test_membership(seed: int) -> None:
    net, x = kinked(seed)
    subdifferential = certify(net, x).subdifferential()
    rng = np.random.default_rng(3)
    members = subdifferential.maximiser(rng.normal(size=(6, 3)))
    for _ in range(5):
        weights = rng.dirichlet(np.ones(len(members)))
        assert subdifferential.contains(weights @ members)
    for d in rng.normal(size=(5, 3)):
        d /= np.linalg.norm(d)
        outside = subdifferential.maximiser(d) + 1e-3 * d
        assert not subdifferential.contains(outside)
        assert subdifferential.distance(outside) == pytest.approx(1e-3, rel=1e-3)
        far = subdifferential.maximiser(d) + 10 * d
        nearest = subdifferential.nearest(far)
        assert subdifferential.support(far - nearest) <= (far - nearest) @ nearest + 1e-6 * np.linalg.norm(far)


def test_at_a_smooth_point_the_only_subgradient_is_the_gradient() -> None:
    net = random_net(7)
    certificate = certify(net, np.ones(4))
    subdifferential = certificate.subdifferential()
    assert subdifferential.kinks == 0
    assert subdifferential.contains(certificate.gradient()[0])
    assert not subdifferential.contains(certificate.gradient()[0] + 1e-5)
    assert subdifferential.generators() == pytest.approx(certificate.gradient(), rel=1e-13)


def test_generators_of_the_absolute_value_sum() -> None:
    net = FrozenNet([Layer(None, np.vstack([np.eye(3), -np.eye(3)]), np.zeros(6))], Output(np.ones(6), np.zeros(3)))
    subdifferential = certify(net, np.zeros(3)).subdifferential()
    corners = np.array(list(product([-1.0, 1.0], repeat=3)))
    generators = subdifferential.generators()
    for corner in corners:
        assert (np.abs(generators - corner).max(axis=1) < 1e-12).any()
    d = np.random.default_rng(0).normal(size=(20, 3))
    assert (generators @ d.T).max(axis=0) == pytest.approx(subdifferential.support(d))
    assert subdifferential.contains(np.array([0.3, -0.9, 1.0]))
    assert not subdifferential.contains(np.array([0.3, -0.9, 1.001]))
    with pytest.raises(ModelError, match="6 units are at a = 0, more than 5"):
        subdifferential.generators(most=5)


@pytest.mark.parametrize("seed", range(4))
def test_generators_of_deep_kinks(seed: int) -> None:
    net, x = kinked(seed, norms=False)
    subdifferential = certify(net, x).subdifferential()
    generators = subdifferential.generators()
    d = np.random.default_rng(0).normal(size=(30, 3))
    assert (generators @ d.T).max(axis=0) == pytest.approx(subdifferential.support(d), rel=1e-12, abs=1e-12)


def test_a_norm_at_zero_has_a_ball_and_no_generators() -> None:
    C = np.array([[2.0, 0.0], [0.0, 1.0]])
    net = FrozenNet([], Output([], [1.0, 0.0]), norms=[Norm(3.0, C)])
    subdifferential = certify(net, np.zeros(2)).subdifferential()
    assert subdifferential.support(np.array([1.0, 0.0])) == pytest.approx(7.0)
    inside = np.array([1.0, 0.0]) + 3 * C @ np.array([0.6, 0.79])
    assert subdifferential.contains(inside)
    assert not subdifferential.contains(np.array([1.0, 0.0]) + 3 * C @ np.array([0.6, 0.81]))
    with pytest.raises(ModelError, match="not a polytope"):
        subdifferential.generators()


@pytest.mark.parametrize("name", NETS)
def test_hessians_are_those_of_finite_differences(name: str) -> None:
    net = random_net(5, **NETS[name])
    n = net.in_features
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, n))
    certificate = certify(net, x)
    hessian = certificate.hessian()
    step = 1e-6
    for j in range(n):
        e = step * np.eye(n)[j]
        rate = (certify(net, x + e).gradient() - certify(net, x - e).gradient()) / (2 * step)
        assert hessian[:, :, j] == pytest.approx(rate, rel=1e-5, abs=1e-5)
    assert hessian == pytest.approx(hessian.transpose(0, 2, 1), rel=1e-12, abs=1e-13)
    d = rng.normal(size=(6, n))
    assert certificate.hessian_product(d) == pytest.approx(np.einsum("nij,nj->ni", hessian, d), rel=1e-12, abs=1e-13)


def test_contexts_and_chunks_make_no_difference() -> None:
    model = SOCICNN(3, (5, 4), (2,), (2,), context_features=2, dtype=torch.float64)
    x, theta = torch.randn(11, 3, dtype=torch.float64), torch.randn(11, 2, dtype=torch.float64)
    d = np.random.default_rng(0).normal(size=(11, 2, 3))
    whole, parts = certify(model, x, theta), certify(model, x, theta, chunk=4)
    ask = [
        lambda c: c.gradient(),
        lambda c: c.directional_derivative(d),
        lambda c: c.hessian(),
        lambda c: c.cut()[1],
        lambda c: c.gap,
    ]
    for question in ask:
        assert question(whole) == pytest.approx(question(parts), rel=1e-12, abs=1e-12)
    single = certify(model, x[3], theta[3])
    assert single.gradient()[0] == pytest.approx(whole.gradient()[3], rel=1e-12)
    assert whole.subdifferential(-8).support(d[3, 0]) == pytest.approx(whole.directional_derivative(d)[3, 0])


def test_directions_that_do_not_fit_are_refused() -> None:
    certificate: Certificate = certify(random_net(1), np.zeros((3, 4)))
    with pytest.raises(ModelError, match=r"directions must have shape"):
        certificate.directional_derivative(np.zeros(5))
    with pytest.raises(ModelError, match="there is no point 3"):
        certificate.subdifferential(3)


@pytest.mark.parametrize("apart", [0.0, 1e-9, 1e-6, 1e-3, 1.0, 1e3])
def test_the_distance_from_a_face_is_known_at_every_scale(apart: float) -> None:
    for seed in range(3):
        net, x = kinked(seed)
        subdifferential = certify(net, x).subdifferential()
        for d in np.random.default_rng(seed).normal(size=(3, 3)):
            g = subdifferential.maximiser(d) + apart * d / np.linalg.norm(d)
            assert subdifferential.distance(g, 1e-8) == pytest.approx(apart, abs=1e-7 * (1 + np.linalg.norm(g)))


@pytest.mark.parametrize("name", ["smooth-branches", "conv-smooth", "recurrent-smooth"])
def test_hessians_of_smooth_branches_are_those_of_autograd(name: str) -> None:
    """With the quadratics and norms beside them; groups of log-sum-exps, and weights of their own for logistic rows."""
    model = CASES[name].model()
    x = CASES[name].points(model, 3)
    hessian = certify(model, x).hessian()
    for i in range(3):
        truth = torch.autograd.functional.hessian(lambda z: model(z[None])[0], x[i]).reshape(hessian.shape[1:])
        np.testing.assert_allclose(hessian[i], truth.numpy(), rtol=1e-9, atol=1e-11)


def square() -> FrozenNet:
    """Return |x_1| + |x_2|, whose subgradients at 0 are the square [-1, 1]^2."""
    return FrozenNet([Layer(None, np.vstack([np.eye(2), -np.eye(2)]), np.zeros(4))], Output(np.ones(4), np.zeros(2)))


@pytest.mark.parametrize("shape", [(2,), (2, 1), (1, 2)])
def test_a_vector_may_be_a_row_or_a_column(shape: tuple[int, ...]) -> None:
    kink = certify(square(), np.zeros(2)).subdifferential()
    inside, outside = (np.array(g).reshape(shape) for g in ([0.9, -0.3], [2.0, 0.5]))
    assert kink.contains(inside)
    assert not kink.contains(outside)
    assert kink.distance(outside) == pytest.approx(1.0)
    assert kink.nearest(outside).tolist() == pytest.approx([1.0, 0.5])


def test_directions_and_vectors_of_other_lengths_are_refused() -> None:
    kink = certify(square(), np.zeros(2)).subdifferential()
    for ask in (kink.support, kink.maximiser):
        with pytest.raises(ModelError, match=r"directions must have shape \(\*batch, 2\); received \(2, 3\)"):
            ask(np.ones((2, 3)))
        with pytest.raises(ModelError, match="directions must hold finite numbers; 1 of 2 are not"):
            ask(np.array([1.0, np.nan]))
    for judge in (kink.nearest, kink.distance, kink.contains):
        with pytest.raises(ModelError, match=r"g must be one vector of 2 entries; received shape \(3,\)"):
            judge(np.ones(3))
        with pytest.raises(ModelError, match="g must hold finite numbers; 1 of 2 are not"):
            judge(np.array([0.0, np.inf]))
