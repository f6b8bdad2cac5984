"""Sign and direction: claimed from the arrays alone, true wherever they are claimed, never where the context moves."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from scipy import sparse

import socicnn
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn.errors import ProgramError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic, Squares


def net_with(U=1.0, v=0.0, c=0.0, quadratics=(), norms=(), squares=None) -> FrozenNet:
    layer = Layer(None, np.full((3, 2), U), np.array([0.1, -0.2, 0.3]), squares)
    return FrozenNet([layer], Output(np.ones(3), np.full(2, v), c), quadratics, norms)


@pytest.mark.parametrize(
    ("v", "c", "attributes", "known"),
    [
        (0.0, 0.0, {}, True),
        (0.0, -1e-300, {}, False),
        (1.0, 0.0, {}, False),
        (1.0, 0.0, {"nonneg": True}, True),
        (-1.0, 2.0, {"nonpos": True}, True),
        (-1.0, 2.0, {"nonneg": True}, False),
    ],
)
def test_sign(v: float, c: float, attributes: dict[str, bool], known: bool) -> None:
    cost = to_cvxpy(net_with(v=v, c=c), cp.Variable(2, **attributes))
    assert cost.is_nonneg() is known
    assert not cost.is_nonpos()


SQUARE_UP = Quadratic(1.0, np.array([[1.0, 2.0], [-1.0, 0.0]]), np.array([0.5, -0.5]))
SQUARE_DOWN = Quadratic(1.0, np.array([[1.0, 2.0]]), np.array([-0.5]))
NORM_UP = Norm(1.0, np.array([[1.0, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize(
    ("arguments", "attributes", "up", "down"),
    [
        ({}, {}, True, False),
        ({"U": -1.0}, {}, False, True),
        ({"v": -1e-300}, {}, False, False),
        ({"v": 1.0}, {}, True, False),
        ({"quadratics": [SQUARE_UP]}, {}, False, False),
        ({"quadratics": [SQUARE_UP]}, {"nonneg": True}, True, False),
        ({"quadratics": [SQUARE_DOWN]}, {"nonneg": True}, False, False),
        ({"U": -1.0, "quadratics": [SQUARE_DOWN]}, {"nonpos": True}, False, True),
        ({"U": -1.0, "quadratics": [SQUARE_UP]}, {"nonpos": True}, False, False),
        ({"quadratics": [Quadratic(0.0, np.eye(2))]}, {}, True, False),
        ({"norms": [NORM_UP]}, {"nonneg": True}, True, False),
        ({"U": -1.0, "norms": [NORM_UP]}, {"nonpos": True}, False, True),
        ({"norms": [Norm(1.0, sparse.csr_array(np.array([[1.0, -1.0]])))]}, {"nonneg": True}, False, False),
        ({"squares": Squares(np.ones(3), np.ones((3, 2)), np.zeros(3))}, {"nonneg": True}, True, False),
        ({"squares": Squares(np.ones(3), np.ones((3, 2)), -np.ones(3))}, {"nonneg": True}, False, False),
    ],
)
def test_direction(arguments: dict, attributes: dict[str, bool], up: bool, down: bool) -> None:
    net = net_with(**arguments)
    cost = to_cvxpy(net, cp.Variable(2, **attributes))
    assert (cost.is_incr(0), cost.is_decr(0)) == (up, down)
    rng = np.random.default_rng(0)
    x = 2 * rng.normal(size=(200, 2))
    x = np.abs(x) if "nonneg" in attributes else -np.abs(x) if "nonpos" in attributes else x
    moved = np.abs(x) + 0.1 if "nonneg" in attributes else x + np.abs(rng.normal(size=x.shape))
    moved = np.minimum(moved, 0) if "nonpos" in attributes else np.maximum(moved, x)
    change = net(moved) - net(x)
    assert not up or (change >= 0).all()
    assert not down or (change <= 0).all()


@pytest.mark.parametrize(
    ("v", "up", "down"),
    [
        ([0.0, 3.0 + 1e-11], True, False),  # max(x, y) three times: relu(x - y) + y, and a little
        ([0.0, 3.0 - 2e-15], False, False),
        ([-3.0 - 1e-11, 0.0], False, True),
        ([1.0, 2.0], False, False),
        ([0.5, 7.0], True, False),
    ],
)
@pytest.mark.parametrize("matrix", [np.array, sparse.csr_array])
def test_a_linear_term_makes_up_for_falling_units(v: list[float], up: bool, down: bool, matrix) -> None:
    U, W = matrix(np.tile([1.0, -1.0], (3, 1))), matrix(np.eye(3))
    net = FrozenNet([Layer(None, U, np.zeros(3)), Layer(W, None, np.zeros(3))], Output(np.ones(3), v))
    cost = to_cvxpy(net, cp.Variable(2))
    assert (cost.is_incr(0), cost.is_decr(0)) == (up, down)


def test_a_first_layer_without_passthrough_has_a_direction() -> None:
    layers = [Layer(None, None, [1.0, 2.0]), Layer([[1.0, 1.0]], [[1.0, -1.0]], [0.0])]
    cost = to_cvxpy(FrozenNet(layers, Output([1.0], [0.0, 1.0 + 1e-9])), cp.Variable(2))
    assert cost.is_incr(0)
    assert not cost.is_decr(0)


@pytest.mark.parametrize("seed", range(8))
def test_a_monotone_network_takes_convex_points(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    model = socicnn.SOCICNN(2, (4, 3), (), (), monotone=[1, 1], dtype=torch.float64, generator=draw)
    model.standardise(x_mean=[1, 2], x_scale=[3, 0.7], y_mean=2.0, y_scale=5.1)
    z = cp.Variable(2)
    cost = to_cvxpy(model, cp.square(z - 1))
    assert cost.is_convex()
    assert cp.Problem(cp.Minimize(cost), [cp.sum(z) == 0]).solve(solver=cp.CLARABEL) <= cost.value + 1e-6


def test_a_convex_point_of_an_increasing_network() -> None:
    """relu(g) with g = (z - 1)^2 - 0.5: zero inside, where g itself is negative."""
    net = FrozenNet([Layer(None, [[1.0]], [-0.5])], Output([1.0], [0.0]))
    z = cp.Variable(1)
    cost = to_cvxpy(net, cp.square(z - 1))
    problem = cp.Problem(cp.Minimize(cost + 0.01 * cp.square(z - 4)))
    assert problem.is_dcp()
    grid = np.linspace(0, 4, 400_001)
    best = (np.maximum((grid - 1) ** 2 - 0.5, 0) + 0.01 * (grid - 4) ** 2).min()
    assert problem.solve(solver=cp.CLARABEL) == pytest.approx(best, rel=1e-5)
    with pytest.raises(ProgramError, match="not known to be monotone"):
        to_cvxpy(net, cp.sqrt(z))


def test_nothing_is_claimed_where_the_context_moves_the_arrays() -> None:
    theta, z = cp.Parameter(2), cp.Variable(3, nonneg=True)
    for mode in ("joint", "partial"):
        model = socicnn.SOCICNN(3, (4,), context_features=2, context=mode)
        cost = to_cvxpy(model, z, theta)
        assert not cost.is_nonneg()
        assert not cost.is_incr(0)
        assert not cost.is_decr(0)
