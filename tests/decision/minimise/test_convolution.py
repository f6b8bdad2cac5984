"""Sparse matrices of convolutions are recognised, and act in float32 as the matrices do."""

import numpy as np
import pytest
import torch
from scipy import sparse

from decision._minimise.convolution import ConvolutionMap
from decision._minimise.linear_map import Map
from decision._minimise.stack import Stack
from socicnn import ConvSOCICNN
from socicnn.nn import Conv

SIZE = (9, 7)
PLACES = SIZE[0] * SIZE[1]


def network(kernel: int = 3, group: int = 2, **settings: object) -> ConvSOCICNN:
    draw = torch.manual_seed(0)
    quadratic, norm = (Conv(3, 5),), (Conv(3 * group, kernel, group=group),)
    return ConvSOCICNN((2, *SIZE), (4, 3), quadratic, norm, generator=draw, **settings)  # type: ignore[arg-type]


def maps(model: ConvSOCICNN) -> list[sparse.csr_array]:
    net = model.freeze()
    terms = [term.matrix for term in (*net.quadratics, *net.norms)]
    layers = [matrix for layer in net.layers for matrix in (layer.U, layer.W) if matrix.shape[1]]
    return [sparse.csr_array(matrix) for matrix in (*terms, *layers)]


@pytest.mark.parametrize("group", [1, 2, 3])
def test_every_matrix_of_a_convolutional_network_is_one(group: int) -> None:
    draw = torch.Generator().manual_seed(1)
    for matrix in maps(network(group=group)):
        found = ConvolutionMap.of(matrix, SIZE, torch.float64)
        assert found is not None
        x = torch.randn(3, matrix.shape[1], dtype=torch.float64, generator=draw)
        y = torch.randn(3, matrix.shape[0], dtype=torch.float64, generator=draw)
        np.testing.assert_allclose(found.apply(x), (matrix @ x.numpy().T).T, atol=1e-12)
        np.testing.assert_allclose(found.adjoint(y), (matrix.T @ y.numpy().T).T, atol=1e-12)


def test_a_map_in_float32_acts_as_the_matrix() -> None:
    stack = Stack.of(network().freeze())
    short = stack.to(torch.float32)
    x = torch.rand(1, 2 * PLACES, generator=torch.manual_seed(2))
    torch.testing.assert_close(short.value(x).double(), stack.value(x.double()), rtol=1e-5, atol=1e-5)
    assert all(matrix._as_convolution() is not None for matrix, *_ in short.rows())
    assert all(matrix._as_convolution() is None for matrix, *_ in stack.rows())


@pytest.mark.parametrize("entry", [0, 17, -1])
@pytest.mark.parametrize("how", ["changed", "missing", "moved", "new"])
def test_a_matrix_with_one_other_entry_is_none(entry: int, how: str) -> None:
    for matrix in maps(network()):
        other = sparse.coo_array(matrix).copy()
        if how == "changed":
            other.data[entry] *= 1 + 2**-50
        elif how == "missing":
            other.data[entry] = 0.0
        elif how == "moved":
            other.col[entry] = (other.col[entry] + 1) % PLACES
        else:
            far = other.row[entry], (other.col[entry] + PLACES // 2) % PLACES
            other = other + sparse.coo_array(([1.0], ([far[0]], [far[1]])), shape=matrix.shape)
        assert ConvolutionMap.of(sparse.csr_array(other), SIZE, torch.float64) is None


def test_blocks_of_rows_are_read_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [ConvolutionMap.of(matrix, SIZE, torch.float64) for matrix in maps(network())]
    for name, entries in (("SAMPLE", 50), ("BLOCK", 200)):
        monkeypatch.setattr(f"decision._minimise.convolution.{name}", entries)
    for matrix, known in zip(maps(network()), whole, strict=True):
        parts = ConvolutionMap.of(matrix, SIZE, torch.float64)
        assert parts is not None
        assert known is not None
        assert torch.equal(parts.kernel, known.kernel)
        for entry in (0, 100, -1):  # in the first block, a later one and the last
            other = sparse.csr_array(matrix, copy=True)
            other.data[entry] *= -1
            assert ConvolutionMap.of(other, SIZE, torch.float64) is None


def test_other_maps_of_images_are_none() -> None:
    strided = ConvSOCICNN((1, 8, 8), (4,), (Conv(2, 3, stride=2),), generator=torch.manual_seed(0)).freeze()
    assert ConvolutionMap.of(strided.quadratics[0].matrix, (8, 8), torch.float64) is None
    dense = np.eye(64)
    assert ConvolutionMap.of(dense, (8, 8), torch.float64) is None
    assert ConvolutionMap.of(sparse.csr_array(dense), (), torch.float64) is None
    assert ConvolutionMap.of(sparse.csr_array(dense), (7, 9), torch.float64) is None
    draw = sparse.random_array((64, 64), density=0.1, rng=np.random.default_rng(0), format="csr")
    assert ConvolutionMap.of(draw, (8, 8), torch.float64) is None


def test_empty_and_full_maps() -> None:
    none = ConvolutionMap.of(sparse.csr_array((64, 64)), (8, 8), torch.float64)
    assert none is not None
    assert not none.apply(torch.ones(1, 64, dtype=torch.float64)).any()
    one = ConvolutionMap.of(sparse.csr_array(np.ones((2, 3))), (1, 1), torch.float64)
    assert one is not None
    assert one.apply(torch.ones(1, 3, dtype=torch.float64)).tolist() == [[3.0, 3.0]]


def test_a_scaled_map_stays_a_convolution() -> None:
    matrix = maps(network())[0]
    double = Map(matrix, dtype=torch.float32, image=SIZE).scaled(2.0)
    x = torch.rand(2, matrix.shape[1], generator=torch.manual_seed(3))
    np.testing.assert_allclose(double.apply(x), (2 * matrix @ x.double().numpy().T).T, rtol=1e-4, atol=1e-5)
