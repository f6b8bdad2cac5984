"""A box far from zero is decided as it would be near zero, and what is proven of it holds in real arithmetic."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from decision import Box, Simplex, decide
from decision._minimise.origin import _sums, origin_of
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic, Squares

DRAW = np.random.default_rng(0)
METHODS = ("auto", "interior_point", "projected_gradient", "exact")


def on_grid(*shape: int) -> np.ndarray:
    """Return numbers whose products with whole numbers up to 2^31 are exact, and their sums too."""
    return np.round(DRAW.normal(size=shape) * 2**8) / 2**8


def network(contexts: int | None = None) -> FrozenNet:
    lead = () if contexts is None else (contexts,)
    return FrozenNet(
        [
            Layer(None, on_grid(8, 3), on_grid(*lead, 8)),
            Layer(abs(on_grid(5, 8)), on_grid(5, 3), on_grid(5), Squares(abs(on_grid(5)), on_grid(5, 3), on_grid(5))),
        ],
        Output(abs(on_grid(5)), on_grid(*lead, 3), 0.25),
        [Quadratic(1.0, sparse.csr_array(np.eye(3)), on_grid(*lead, 3))],
        [Norm(0.5, on_grid(2, 3), on_grid(2))],
    )


def shifted(net: FrozenNet, s: np.ndarray) -> FrozenNet:
    """Return x -> f(x - s), exactly."""
    layers = []
    for layer in net.layers:
        squares = replace(layer.squares, g=layer.squares.g - layer.squares.F @ s)
        layers.append(replace(layer, b=layer.b - layer.U @ s, squares=squares))
    return replace(
        net,
        layers=layers,
        output=replace(net.output, c=net.output.c - net.output.v @ s),
        quadratics=[replace(one, e=one.e - one.A @ s) for one in net.quadratics],
        norms=[replace(one, d=one.d - one.C @ s) for one in net.norms],
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("contexts", [None, 3])
def test_a_shift_changes_neither_decisions_nor_verdicts(method: str, contexts: int | None) -> None:
    net = network(contexts)
    rtol = 1e-5 if method == "exact" else 1e-6
    here = decide(net, Box(3, -1.0, 1.0), method=method, rtol=rtol)
    scale = float(here.scale.max())
    assert here.certified.all()
    for power in (12, 16, 24, 31):
        s = np.array([2.0**power, -(2.0**power), 2.0**power])
        there = decide(shifted(net, s), Box(3, s - 1.0, s + 1.0), method=method, rtol=rtol)
        spacing = 2.0 ** (power - 52)
        assert there.certified.all(), power
        assert (there.relative_gap <= rtol).all()
        np.testing.assert_allclose(there.scale, here.scale, rtol=1e-4)
        np.testing.assert_allclose(there.value, here.value, rtol=0, atol=scale * (2 * rtol + 4 * spacing))
        assert Box(3, s - 1.0, s + 1.0).violation(there.x).max() == 0
        # the minimum is that of the plain network, known to 1e-9, and the proof holds
        best = decide(net, Box(3, -1.0, 1.0), method="interior_point", rtol=1e-9)
        assert (there.value - there.gap <= best.value).all()
        assert (there.value >= best.value - best.gap).all()
        np.testing.assert_allclose(there.value, net(there.x.numpy() - s), rtol=1e-13)


def test_powers_of_two_change_no_bit_far_from_zero() -> None:
    net, s, unit = network(), np.full(3, 2.0**20), 2.0**30
    far = shifted(net, s)
    scaled = replace(
        far,
        layers=[
            replace(one, U=one.U / unit, squares=replace(one.squares, F=one.squares.F / unit)) for one in far.layers
        ],
        output=replace(far.output, v=far.output.v / unit),
        quadratics=[replace(one, A=one.A / unit) for one in far.quadratics],
        norms=[replace(one, C=one.C / unit) for one in far.norms],
    )
    plain = decide(far, Box(3, s - 1.0, s + 1.0))
    other = decide(scaled, Box(3, (s - 1.0) * unit, (s + 1.0) * unit))
    assert np.array_equal(plain.x * unit, other.x)
    assert np.array_equal(plain.gap, other.gap)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("contexts", [0, 4])
def test_offsets_are_rounded_once(form, contexts: int) -> None:
    """Numbers of all sizes that nearly cancel, against rational arithmetic."""
    matrix = DRAW.normal(size=(30, 6)) * 10.0 ** DRAW.integers(-8, 8, size=(30, 6))
    origin = DRAW.normal(size=6) * 2.0 ** DRAW.integers(-40, 40, size=6)
    offset = -(matrix @ origin) * (1 + 1e-15 * DRAW.normal(size=(max(contexts, 1), 30)))
    offset = offset if contexts else offset[0]
    sums = np.atleast_2d(_sums(form(matrix), origin, offset))
    for row, offsets in zip(sums, np.atleast_2d(offset), strict=True):
        for i in range(30):
            terms = (Fraction(a) * Fraction(b) for a, b in zip(matrix[i], origin, strict=True))
            assert row[i] == float(sum(terms, Fraction(offsets[i])))


def test_only_boxes_far_from_zero_have_an_origin() -> None:
    assert origin_of(Simplex(3)) is None
    assert origin_of(Box(3, -1.0, 1.0)) is None
    assert origin_of(Box(3, 100.0, 101.0)) is None
    origin = origin_of(Box(3, [1000.3, -1.0, 7.7], [1001.7, 1.0, 7.7]))
    assert origin is not None
    assert origin.tolist() == [1001.0, 0.0, 7.7]


def test_numbers_too_large_for_exact_products_are_left_where_they_are() -> None:
    net = FrozenNet([], Output([], [1e200]), [])
    assert decide(net, Box(1, 1e3, 1e3 + 1)).certified.all()
