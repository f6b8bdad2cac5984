"""A ReLU network as the maximum of its affine pieces: counts that are known, values, points of proof, samples."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.frozen._cells import HalfSpaces, ball
from socicnn.nn import ICKAN, ICNN, Network
from tests.support.cases import generator


def random_net(seed: int, n: int, *widths: int, passthrough: bool = True) -> FrozenNet:
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    for before, h in zip((0, *widths[:-1]), widths, strict=True):
        W = rng.uniform(0, 2 / before, size=(h, before)) if before else None
        U = rng.normal(size=(h, n)) if passthrough or not before else None
        layers.append(Layer(W, U, rng.normal(size=h)))
    return FrozenNet(layers, Output(rng.uniform(0.1, 1, size=widths[-1]), rng.normal(size=n), 0.5))


def test_hyperplanes_in_general_position_have_the_known_number_of_pieces() -> None:
    """m lines cut the plane into 1 + m + m (m - 1) / 2 cells, and every cell has a slope of its own."""
    for m in range(1, 7):
        found = random_net(m, 2, m).max_affine()
        assert found.complete
        assert len(found) == 1 + m + m * (m - 1) // 2


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("widths", [(5,), (4, 3), (3, 3, 2)])
def test_the_maximum_of_all_pieces_is_the_network(widths: tuple[int, ...], scale: float) -> None:
    net = random_net(0, 3, *widths)
    layers = [Layer(layer.W if layer.W.size else None, layer.U, scale * layer.b) for layer in net.layers]
    net = FrozenNet(layers, net.output)
    found = net.max_affine()
    assert found.complete
    x = np.random.default_rng(1).normal(size=(2000, 3)) * scale * 10.0 ** np.linspace(-1, 2, 2000)[:, None]
    np.testing.assert_allclose(found(x), net(x), rtol=1e-11, atol=1e-11 * scale)
    own = np.einsum("kn,kn->k", found.slopes, found.points) + found.offsets
    np.testing.assert_allclose(own, net(found.points), rtol=1e-12, atol=1e-12 * scale)  # each piece is met at its point
    others = found.points @ found.slopes.T + found.offsets
    np.fill_diagonal(others, -np.inf)
    assert (own > others.max(axis=1)).all()  # and is the only one there


def test_cells_with_equal_pieces_are_one_piece() -> None:
    """relu(x) + relu(-x) + (relu(y) - y / 2 twice): |x| + |y| has four pieces, whatever the units say."""
    U = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    net = FrozenNet([Layer(None, U, np.zeros(4))], Output(np.ones(4), [0.0, -1.0]))
    found = net.max_affine()
    assert found.complete
    expected = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    np.testing.assert_allclose(sorted(found.slopes.tolist()), expected, atol=1e-14)
    np.testing.assert_allclose(found.offsets, 0.0, atol=1e-14)


def test_a_unit_that_never_switches_in_a_cell_adds_no_piece() -> None:
    """max(x, -x, -1): the third piece lies below the others everywhere; so do units that are off everywhere."""
    net = FrozenNet.from_structure(maxima=[([[1.0], [-1.0], [0.0]], [0.0, 0.0, -1.0])])
    assert sorted(net.max_affine().slopes[:, 0].tolist()) == [-1.0, 1.0]
    deep = FrozenNet([Layer(None, [[1.0]], [0.0]), Layer([[0.0]], None, [-1.0])], Output([1.0], [2.0]))
    assert deep.max_affine().slopes.tolist() == [[2.0]]


def test_a_box_leaves_the_pieces_that_are_active_in_it() -> None:
    slopes = np.arange(-3.0, 4.0)[:, None]
    net = FrozenNet.from_structure(maxima=[(slopes, -(slopes[:, 0] ** 2) / 2)])  # kinks at -2.5, -1.5, ..
    assert len(net.max_affine()) == 7
    found = net.max_affine(box=(-1.0, 1.0))
    assert sorted(found.slopes[:, 0].tolist()) == [-1.0, 0.0, 1.0]
    assert found.complete


def test_a_sample_gives_pieces_of_the_network_and_says_so() -> None:
    net = random_net(3, 3, 12, 8)
    found = net.max_affine(most=20)
    assert not found.complete
    assert not found.ok
    assert "sample" in found.summary()
    x = np.random.default_rng(1).normal(size=(500, 3)) * 5
    assert (found(x) <= net(x) + 1e-11 * (1 + np.abs(net(x)))).all()  # from below
    here = net.max_affine(points=x)
    np.testing.assert_allclose(here(x), net(x), rtol=1e-11, atol=1e-11)
    assert len(here) <= 500


def test_pieces_of_a_sample_that_others_reach_everywhere_are_left_out() -> None:
    """At the kink of |x| + |y| the units give slopes of their own, which are no piece of four."""
    U = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
    net = FrozenNet([Layer(None, U, np.zeros(4))], Output(np.ones(4), np.zeros(2)))
    points = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    found = net.max_affine(points=points)
    assert sorted(found.slopes.tolist()) == [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]


def test_an_empty_side_is_refuted_by_multipliers() -> None:
    """x <= -1 and x >= 1: the largest ball has radius -1, and the multipliers say so."""
    found = ball(HalfSpaces(np.array([[1.0], [-1.0]]), np.array([-1.0, -1.0]), 1.0))
    assert found.radius == pytest.approx(-1.0)
    assert found.most == pytest.approx(-1.0)


@pytest.mark.parametrize(
    "model",
    [
        ICNN(2, (4, 3), generator=generator(0), dtype=torch.float64),
        ICKAN(2, (2, 2), segments=2, generator=generator(0), dtype=torch.float64),
    ],
    ids=["icnn", "ickan"],
)
def test_torch_networks_have_pieces_too(model: Network) -> None:
    found = model.max_affine()
    assert found.complete
    x = torch.randn(300, 2, generator=generator(1), dtype=torch.float64) * 3
    np.testing.assert_allclose(found(x), model(x).detach().numpy(), rtol=1e-11, atol=1e-11)


def test_an_affine_network_is_one_piece() -> None:
    found = FrozenNet([], Output([], [1.0, 2.0], 3.0)).max_affine()
    assert (found.slopes.tolist(), found.offsets.tolist(), found.complete) == ([[1.0, 2.0]], [3.0], True)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (FrozenNet([], Output([], [0.0]), [Quadratic(1.0, [[1.0]])]), "this one has 1 quadratic branches"),
        (FrozenNet([], Output([], [0.0]), [], [Norm(1.0, [[1.0]])]), "this one has 1 norms"),
        (FrozenNet([Layer(None, [[1.0]], [0.0], smoothing=1.0)], Output([1.0], [0.0])), "softplus units"),
        (
            FrozenNet([Layer(None, [[1.0], [2.0]], np.zeros(2), smoothing=[0.0, 1.0])], Output(np.ones(2), [0.0])),
            "softplus units",
        ),
        (FrozenNet([], Output([], [[0.0], [1.0]])), r"2 contexts; take one of them, as in net\[0\]"),
    ],
)
def test_networks_that_are_no_maximum_are_refused(net: FrozenNet, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        net.max_affine()


@pytest.mark.parametrize("box", [(1.0, 1.0), (0.0, np.inf), (np.zeros(3), np.ones(3)), (0.0, 1.0, 2.0)])
def test_a_box_that_does_not_fit_is_refused(box: Any) -> None:
    with pytest.raises(ModelError, match="box must be two finite ends"):
        random_net(0, 2, 3).max_affine(box=box)


def test_without_passthrough_the_slopes_are_combinations_of_the_first_weights_alone() -> None:
    """The remark on signed slopes: ReLU units alone give a cone of slopes, and values above c; branches give all."""
    net = random_net(5, 3, 2, 2, passthrough=False)
    net = FrozenNet(net.layers, Output(net.output.w, np.zeros(3), net.output.c))
    for slope in net.max_affine().slopes:  # U_1'y with y >= 0
        assert nnls(net.layers[0].U.T, slope)[1] <= 1e-12
    x = np.random.default_rng(0).normal(size=(500, 3)) * 10
    assert (net(x) >= net.output.c).all()
    wanted = -net.layers[0].U.sum(axis=0)  # against every unit
    assert nnls(net.layers[0].U.T, wanted)[1] > 0.1
    A, C = np.random.default_rng(1).normal(size=(2, 3, 3))
    bowl = FrozenNet([], Output([], np.zeros(3)), [Quadratic(0.5, A)])
    at = np.linalg.solve(A.T @ A, wanted)  # where 1/2 ||A x||^2 has that slope
    step = 1e-6 * np.eye(3)
    np.testing.assert_allclose((bowl(at + step) - bowl(at - step)) / 2e-6, wanted, atol=1e-7)
    u = np.linalg.solve(C.T, wanted)
    cone = FrozenNet([], Output([], np.zeros(3)), [], [Norm(np.linalg.norm(u), C)])
    there = np.linalg.solve(C, u)  # where the slope is ||u|| C'u / ||u||
    np.testing.assert_allclose((cone(there + step) - cone(there - step)) / 2e-6, wanted, atol=1e-6)
