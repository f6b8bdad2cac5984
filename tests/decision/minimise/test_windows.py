"""Curvature by windows is that of the full matrices."""

import torch
from scipy import sparse

from decision._minimise.windows import Windows
from socicnn.nn import Conv, RecurrentSOCICNN


def expected(matrix: torch.Tensor, weight: torch.Tensor, u: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    blocks = matrix.reshape(weight.shape[1], -1, matrix.shape[1])
    middle = torch.eye(blocks.shape[1], dtype=matrix.dtype) - 0.5 * (u[..., None] * q[..., None, :])
    middle = middle - 0.5 * (q[..., None] * u[..., None, :])
    return torch.einsum("cg,gin,cgij,gjm->cnm", weight, blocks, middle, blocks)


def test_windows_of_a_convolution_have_its_curvature() -> None:
    draw = torch.Generator().manual_seed(0)
    model = RecurrentSOCICNN((40, 2), 3, quadratic=(), norm=(Conv(6, 5, group=3),), generator=draw)
    norm = model.freeze().norms[0]
    matrix = torch.tensor(sparse.csr_array(norm.C).toarray())
    windows = Windows.of(matrix, norm.group)
    assert windows is not None
    assert windows.blocks.shape == (40, 2, 3, 10)
    weight = torch.rand(2, norm.groups, generator=draw, dtype=torch.float64)
    u, q = (torch.randn(2, norm.groups, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    assert torch.allclose(windows.turned(weight, u, q), expected(matrix, weight, u, q), rtol=1e-12, atol=1e-12)


def test_windows_of_groups_of_different_lengths() -> None:
    matrix = torch.zeros(6, 12, dtype=torch.float64)
    matrix[0, 3], matrix[1, 3:5], matrix[2, 3:5] = 1.0, torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    matrix[3, 11], matrix[4, 0], matrix[4, 11] = -2.0, 1.0, 4.0  # the last row is zero
    windows = Windows.of(matrix, 1)
    assert windows is not None
    weight = torch.arange(1.0, 7.0, dtype=torch.float64)[None]
    u = torch.full((1, 6, 1), 0.5, dtype=torch.float64)
    assert torch.equal(windows.turned(weight, u, u), expected(matrix, weight, u, u))


def test_windows_that_save_little_are_not_made() -> None:
    assert Windows.of(torch.ones(4, 4, dtype=torch.float64), 2) is None
    assert Windows.of(torch.eye(6, dtype=torch.float64), 2) is None  # each group reads a third of x
