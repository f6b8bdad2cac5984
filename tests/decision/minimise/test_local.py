"""Boxes that the search begins in grow to the whole set, whatever rounding made of them."""

import numpy as np
import pytest
import torch
from scipy import sparse

import decision
from decision._minimise.local import _nearest, _nearest_dense, first_box, wider_box
from decision._minimise.stack import Stack
from decision.sets import Box
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic


@pytest.mark.parametrize(("at", "ends"), [(0.0, 1.0), (1e20, 1e300), (1.0, 1e300), (-1e-200, 1e5)])
def test_a_box_of_no_width_grows_to_the_set_in_a_few_steps(at: float, ends: float) -> None:
    box, inner = Box(3, -ends, ends), Box(3, at, at)
    for step in range(1, 40):
        inner = wider_box(inner, box, 16.0 ** max(1, step - 15))
    assert inner is box


@pytest.mark.parametrize("method", ["auto", "projected_gradient", "interior_point"])
def test_a_minimum_far_outside_the_first_box_is_found(method: str) -> None:
    """The first box is around the kink at 1, the minimum at the far end. (A solver alone does not get there.)"""
    net = FrozenNet([Layer(None, [[1.0]], [-1.0])], Output([1e-12], [-1e-9]))
    answer = decision.decide(net, Box(1, -1e12, 1e12), method=method)
    assert bool(answer.certified.all())
    np.testing.assert_allclose(answer.x, 1e12, rtol=1e-6)


def sparse_net(n: int, rows: int, at: float) -> FrozenNet:
    """Return a network of sparse rows whose zeros are near the point with all entries `at`."""
    draw = np.random.default_rng(n)
    matrices = [sparse.random_array((rows, n), density=0.02, rng=draw, format="csr") for _ in range(3)]
    offsets = [draw.normal(size=rows) - matrix @ np.full(n, at) for matrix in matrices]
    layer = Layer(None, matrices[0], offsets[0])
    quadratic, norm = Quadratic(1.0, matrices[1], offsets[1]), Norm(1.0, matrices[2], offsets[2])
    return FrozenNet([layer], Output(np.ones(rows), np.zeros(n)), [quadratic], [norm])


@pytest.mark.parametrize(("n", "rows"), [(60, 90), (60, 15), (200, 150)])
def test_products_alone_find_the_point_of_the_pseudoinverse(n: int, rows: int) -> None:
    """Least squares with one solution, and with many: the one of least length."""
    stack = Stack.of(sparse_net(n, rows, 3.0))
    torch.testing.assert_close(_nearest(stack), _nearest_dense(stack), rtol=1e-3, atol=1e-3)


def test_the_first_box_of_a_large_sparse_network_moves_with_it() -> None:
    lower, upper = (
        torch.stack(ends)
        for ends in zip(
            *[
                box.ends(torch.empty(0, dtype=torch.float64))
                for at in (0.0, 1e6)
                for box in [first_box(Stack.of(sparse_net(700, 900, at)), decision.Box(700, -1e9, 1e9))]
                if box is not None
            ],
            strict=True,
        )
    )
    torch.testing.assert_close(lower[1] - lower[0], torch.full((700,), 1e6, dtype=torch.float64), rtol=5e-3, atol=0.0)
    torch.testing.assert_close((upper - lower)[1], (upper - lower)[0], rtol=1e-2, atol=0.0)
    assert first_box(Stack.of(sparse_net(700, 900, 0.0)), decision.Box(700, -1.0, 1.0)) is None
