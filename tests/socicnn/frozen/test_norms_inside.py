"""Networks with norms inside their layers: units relu(W z + U x + b + rho ||F x + g||), beside every other term."""

from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

import verify
from decision import Ball, Box, Polytope, Simplex, decide
from decision._minimise.smoothed_stack import hessian, smoothed, tangent
from decision._minimise.stack import Stack
from socicnn import to_cvxpy, value_program
from socicnn._arrays import Array
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Norms, Output, Quadratic, Squares
from tests.contracts.frozen import FrozenContract
from tests.support.softplus import HighPrecision
from verify._geometry.passes import Geometry

N = 4


def net(seed: int = 0, smoothing: Any = (0.0, 0.0), contexts: int | None = None, d: float = 1.0) -> FrozenNet:
    """Return two layers with norms inside, the first with quadratics too; a smoothing per layer."""
    r, lead = np.random.default_rng(seed).normal, () if contexts is None else (contexts,)
    norms = [Norms(abs(r(size=h)), r(size=(h * k, N)), d * r(size=(*lead, h * k))) for h, k in ((4, 2), (3, 1))]
    squares = Squares(abs(r(size=4)), r(size=(8, N)), r(size=8))
    layers = [
        Layer(None, r(size=(4, N)), r(size=(*lead, 4)), squares, smoothing[0], norms[0]),
        Layer(abs(r(size=(3, 4))) / 4, r(size=(3, N)), r(size=3) - 1, None, smoothing[1], norms[1]),
    ]
    branches = [Quadratic(0.5, r(size=(2, N)), r(size=2))], [Norm(0.7, r(size=(2, N)), r(size=2))]
    return FrozenNet(layers, Output(abs(r(size=(*lead, 3))), r(size=N), 0.3), *branches)


KINDS = {"relu": (0.0, 0.0), "softplus": (0.5, 1.0), "both": ([0.0, 1.0, 0.0, 0.25], 0.0)}


class TestNormsInside(FrozenContract):
    net = net(1, KINDS["both"])


def test_the_value_is_the_formula_and_the_file_keeps_it(tmp_path: Path) -> None:
    inside = Norms([2.0], [[3.0, 0.0], [0.0, 4.0]])
    one = FrozenNet([Layer(None, None, [-3.0], norms=inside)], Output([1.0], [0.0, 0.0]))
    np.testing.assert_allclose(one([[1.0, 1.0], [0.1, 0.1]]), [7.0, 0.0])
    one.save(tmp_path / "net.safetensors")
    again = FrozenNet.load(tmp_path / "net.safetensors")
    assert again.fingerprint == one.fingerprint
    assert b'"version":"5"' in (tmp_path / "net.safetensors").read_bytes()
    other = FrozenNet([Layer(None, None, [-3.0], Squares([2.0], inside.F))], one.output)
    assert isinstance(again.layers[0].norms, Norms)
    assert other.fingerprint != one.fingerprint
    for wrong in (Norms([-1.0], [[1.0, 0.0]]), Norms([1.0, 1.0], [[1.0, 0.0]]), Norms([1.0], [[np.inf, 0.0]])):
        with pytest.raises(ModelError, match=r"of the norms in layer 1|norms in layer 1 need"):
            FrozenNet([Layer(None, None, [0.0], norms=wrong)], one.output)
    with pytest.raises(ModelError, match="quadratics and norms inside layers"):
        one.max_affine()


@pytest.mark.parametrize("kind", KINDS)
def test_brackets_hold_in_high_precision(kind: str) -> None:
    """In float64 and by balls, at points where norms vanish too, and from a network with stacked contexts."""
    pytest.importorskip("flint")
    for seed in range(3):
        some = net(seed, KINDS[kind], d=0.0 if seed else 1.0)
        x = np.concatenate([np.zeros((1, N)), 10.0 ** np.array([[-8], [0], [4]]) * np.ones((3, N))])
        exact = HighPrecision(some)
        for proof in (True, "balls"):
            certificate = verify.certify(some, x, proof=proof)  # type: ignore[arg-type]
            assert certificate.ok, certificate.summary()
            assert certificate.lo is not None
            assert certificate.hi is not None
            for point, lo, hi in zip(x, certificate.lo, certificate.hi, strict=True):
                assert lo <= exact(point)
                assert exact(point) <= hi
    stacked = net(3, KINDS[kind], contexts=4)
    points = np.random.default_rng(0).normal(size=(4, N))
    assert verify.certify(stacked, points, proof=True).ok
    alone = [float(stacked[i](points[i : i + 1])[0]) for i in range(4)]
    np.testing.assert_allclose(stacked(points), alone)


def gradient(some: FrozenNet, x: Array) -> Array:
    """Return the gradient at a point."""
    return Geometry(some, x[None]).support(np.zeros((1, 1, N)))[1][0, 0]


def test_derivatives_and_the_subdifferential_at_a_kink() -> None:
    rng = np.random.default_rng(0)
    for kind in KINDS.values():
        some, x, d = net(2, kind), rng.normal(size=N), rng.normal(size=(1, 5, N))
        slopes = (some(x + 1e-6 * d[0]) - some(x - 1e-6 * d[0])) / 2e-6
        np.testing.assert_allclose(Geometry(some, x[None]).directional(d)[0], slopes, rtol=1e-6)
        np.testing.assert_allclose(d[0] @ gradient(some, x), slopes, rtol=1e-6)
        bent = [(gradient(some, x + 1e-5 * e) - gradient(some, x - 1e-5 * e)) / 2e-5 for e in d[0]]
        np.testing.assert_allclose(Geometry(some, x[None]).hessian_product(d)[0], bent, rtol=1e-5, atol=1e-6)
    # relu(||x|| + 1) at 0: the subdifferential is the unit ball
    ball = FrozenNet([Layer(None, None, [1.0], norms=Norms([1.0], np.eye(N)))], Output([1.0], np.zeros(N)))
    at = Geometry(ball, np.zeros((1, N)))
    length, g = at.support(d)
    np.testing.assert_allclose(length[0], np.linalg.norm(d[0], axis=1))
    np.testing.assert_allclose(g[0], d[0] / np.linalg.norm(d[0], axis=1)[:, None])
    assert at.kinks.tolist() == [1]


@pytest.mark.parametrize(
    "kind", ["both", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("relu", "softplus"))]
)
def test_decisions_are_those_of_the_exact_program(kind: str) -> None:
    some, region = net(4, KINDS[kind]), Box(N, -1.0, 1.0)
    x = cp.Variable(N)
    least = float(cp.Problem(cp.Minimize(to_cvxpy(some, x)), [x >= -1, x <= 1]).solve(solver="CLARABEL"))
    for method in ("auto", "interior_point", "central_path", "projected_gradient", "exact"):
        found = decide(some, region, method=method)  # type: ignore[arg-type]
        assert float(found.relative_gap) <= 1e-5, (method, found.status)
        assert "float64" not in found.status
        assert float(found.value - found.gap) <= least + 1e-6 * (1 + abs(least))
        assert abs(float(found.value) - least) <= 2e-5 * (1 + abs(least)), method
    assert bool(decide(some, Ball(N, 0.5).fixed()).ok)
    whole = decide(some, region, integer=[0, 1, 2, 3])
    points = np.stack(np.meshgrid(*[np.arange(-1.0, 2.0)] * N), axis=-1).reshape(-1, N)
    assert abs(float(whole.value) - some(points).min()) <= 1e-8
    shape = Polytope([[1.0] * N], [0.5], lower=-1.0, upper=1.0)
    held = [x >= -1, x <= 1, cp.sum(x) <= 0.5]
    least = float(cp.Problem(cp.Minimize(to_cvxpy(some, x)), held).solve(solver="CLARABEL"))
    found = decide(some, shape)
    assert bool(found.ok), found.status
    assert abs(float(found.value) - least) <= 1e-5 * (1 + abs(least))


def test_tangents_and_hessians_are_derivatives_and_every_bound_is_below() -> None:
    some, region = net(5, KINDS["both"]), Simplex(N)
    stack, rng = Stack.of(some), np.random.default_rng(1)
    least = float(decide(some, region, rtol=1e-8).value)
    for delta in (1e-150, 1e-3, 0.3, 2.0):
        x, width = torch.tensor(rng.normal(size=(1, N))), torch.tensor([delta], dtype=torch.float64)
        at = smoothed(stack, x, width)
        line = tangent(stack, at)
        assert float(line.value) >= float(stack.value(x)) * (1 - 1e-14)
        assert float(line.minorant - line.fall(region)) <= least + 1e-9
        if delta < 1e-2:
            continue
        steps = 1e-5 * torch.eye(N, dtype=torch.float64)
        ends = [tangent(stack, smoothed(stack, x + sign * step, width)) for step in steps for sign in (1, -1)]
        pairs = list(zip(ends[::2], ends[1::2], strict=True))
        slopes = torch.cat([(up.value - down.value) / 2e-5 for up, down in pairs])
        torch.testing.assert_close(line.gradient[0], slopes, rtol=1e-6, atol=1e-6)
        curves = torch.cat([(up.gradient - down.gradient) / 2e-5 for up, down in pairs])
        H = hessian(stack, at, line.multipliers.lam, width)[0]
        torch.testing.assert_close(H, curves, rtol=1e-5, atol=1e-5)


def test_another_network_has_another_program() -> None:
    some = net(6)
    program = value_program(some)
    assert verify.certify(some, np.zeros((1, N)), program=program).ok
    norms = some.layers[1].norms
    for changed in (Norms(1.01 * norms.rho, norms.F, norms.g), Norms(norms.rho, -norms.F, norms.g)):
        other = FrozenNet(
            [some.layers[0], some.layers[1].changed(norms=changed)], some.output, some.quadratics, some.norms
        )
        certificate = verify.certify(other, np.ones((1, N)), program=program)
        assert not certificate.ok
