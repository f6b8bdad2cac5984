"""The points that a scale is measured at: all axes and corners of small sets, few of large ones."""

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard as scipy_hadamard

from decision import Box, Simplex
from decision._minimise.reference import Reference, hadamard


@pytest.mark.parametrize("n", [1, 3, 40, 256])
def test_small_sets_have_all_axes_and_corners(n: int) -> None:
    points = Reference.of(Box(n, -2, 2)).points.numpy()
    size = 1 << (n - 1).bit_length()
    corners = 2.0 * scipy_hadamard(size)[:n, :n]
    axes = 2.0 * np.eye(n)
    np.testing.assert_array_equal(points, np.concatenate([np.zeros((1, n)), axes, -axes, corners, -corners]))


@pytest.mark.parametrize(("n", "count"), [(257, 63), (1024, 16), (4096, 4), (20000, 4)])
def test_large_sets_have_few(n: int, count: int) -> None:
    reference = Reference.of(Box(n, -1, 3))
    points = reference.points
    assert points.shape == (4 * count + 1, n)
    assert len(points.unique(dim=0)) == len(points)
    corners = points[2 * count + 1 :]
    assert set(corners.unique().tolist()) == {-1.0, 3.0}
    torch.testing.assert_close(corners[:count] + corners[count:], torch.full_like(corners[:count], 2.0))
    assert {tuple(ray.tolist()) for ray in reference.reach.rays} <= {tuple(corner.tolist()) for corner in corners}


def test_the_ends_of_a_large_set_are_found_in_parts() -> None:
    reference = Reference.of(Simplex(3000))
    assert (reference.half == 0.5).all()
    assert Simplex(3000).relative_violation(reference.points).max() <= 1e-9


def test_rows_of_the_hadamard_matrix() -> None:
    rows = torch.tensor([0, 5, 12, 31])
    np.testing.assert_array_equal(hadamard(27, rows).numpy(), scipy_hadamard(32)[rows.numpy(), :27])
