"""The fingerprint: the same for the same numbers however they are stored, and what its description says it is."""

import hashlib
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic, Squares
from tests.support.frozen_nets import NETS, random_net

OLD = Path(__file__).parents[1] / "old_files"


def small() -> FrozenNet:
    return FrozenNet(
        [
            Layer(None, [[1.0, 0.0], [0.0, -2.0]], [0.5, -0.0], Squares([1.0, 0.5], [[1.0, 0.0], [3.0, 4.0]], None)),
            Layer([[0.0, 3.0]], None, [-1.0]),
        ],
        Output([2.0], [1.0, -0.0], 0.25),
        [Quadratic(0.5, [[1.0, 1.0]], [3.0])],
        [Norm(1.5, [[1.0, 0.0], [0.0, 1.0]], None, 1)],
    )


def test_it_is_what_the_description_says() -> None:
    """The canonical form of `small`, written out by hand."""

    def whole(*numbers: int) -> bytes:
        return struct.pack(f"<{len(numbers)}Q", *numbers)

    def real(*numbers: float) -> bytes:
        return struct.pack(f"<{len(numbers)}d", *numbers)

    def record(name: str, *sizes: int) -> bytes:
        return whole(len(name)) + name.encode() + whole(len(sizes), *sizes)

    form = record("socicnn network 1", 2, 0) + record("shape", 2)
    form += record("relu", 2) + record("W", 2, 0) + whole(0)
    form += record("U", 2, 2) + whole(2, 0, 1, 0, 1) + real(1, -2)
    form += record("b", 1, 2) + real(0.5, 0)
    form += record("rho", 2) + real(1, 0.5)
    form += record("F", 2, 2) + whole(3, 0, 1, 1, 0, 0, 1) + real(1, 3, 4) + record("g", 1, 2) + real(0, 0)
    form += record("relu", 1) + record("W", 1, 2) + whole(1, 0, 1) + real(3) + record("U", 1, 2) + whole(0)
    form += record("b", 1, 1) + real(-1)
    form += (
        record("output") + record("w", 1, 1) + real(2) + record("v", 1, 2) + real(1, 0) + record("c", 1) + real(0.25)
    )
    form += record("quadratic") + record("beta", 1) + real(0.5)
    form += record("A", 1, 2) + whole(2, 0, 0, 0, 1) + real(1, 1) + record("e", 1, 1) + real(3)
    form += record("norm", 1) + record("gamma", 1) + real(1.5)
    form += record("C", 2, 2) + whole(2, 0, 1, 0, 1) + real(1, 1) + record("d", 1, 2) + real(0, 0)
    assert small().fingerprint == hashlib.sha256(form).hexdigest()


def test_it_stays_what_it_was() -> None:
    """No version may change it: claims and files name it."""
    assert small().fingerprint == "3d1c92b3f783db050bbe04dca99d79adbac7c940500a9ec02754b20caa7f3195"
    old = FrozenNet.load(OLD / "net-1.safetensors")
    assert old.fingerprint == "38791c5cf008c831c1c35a5c2b57528f0ac3e3994cf9d0377214f72be3fb4655"


def as_sparse(matrix, seed: int):
    """The same matrix with its entries split in two, out of order, and explicit zeros."""
    if matrix is None:
        return None
    full = np.asarray(matrix.todense() if sparse.issparse(matrix) else matrix)
    rows, columns = np.indices(full.shape).reshape(2, -1)
    order = np.random.default_rng(seed).permutation(2 * full.size)
    values = np.concatenate([full.ravel() / 2, full.ravel() / 2])[order]
    places = np.tile(rows, 2)[order], np.tile(columns, 2)[order]
    return sparse.coo_array((values, places), shape=full.shape)


@pytest.mark.parametrize("kind", sorted(NETS))
def test_storage_does_not_matter(kind: str, tmp_path: Path) -> None:
    net = random_net(1, **NETS[kind])
    net.save(tmp_path / "net.safetensors")
    assert FrozenNet.load(tmp_path / "net.safetensors").fingerprint == net.fingerprint
    for seed in range(3):
        layers = [
            replace(
                layer,
                W=as_sparse(layer.W, seed),
                U=as_sparse(layer.U, seed),
                squares=replace(layer.squares, F=as_sparse(layer.squares.F, seed)),
            )
            for layer in net.layers
        ]
        other = FrozenNet(
            layers,
            net.output,
            [replace(quad, A=as_sparse(quad.A, seed)) for quad in net.quadratics],
            [replace(norm, C=as_sparse(norm.C, seed)) for norm in net.norms],
            net.input_shape,
        )
        assert other.fingerprint == net.fingerprint


def test_every_number_and_size_is_in_it() -> None:
    net = small()
    first, second = net.layers
    assert first.inner
    others = [
        replace(net, layers=[replace(first, U=first.U * 2), second]),
        replace(net, layers=[replace(first, U=first.U[:, ::-1]), second]),
        replace(net, layers=[replace(first, b=np.nextafter(first.b, 9)), second]),
        replace(net, layers=[replace(first, squares=None), second]),
        replace(net, layers=[replace(first, squares=replace(first.squares, g=np.ones(2))), second]),
        replace(net, layers=[first, replace(second, W=second.W * 2)]),
        replace(net, layers=[first, replace(second, U=[[1.0, 0.0]])]),
        replace(net, layers=[first], output=Output([2.0, 2.0], [1.0, 0.0], 0.25)),
        replace(net, output=replace(net.output, w=np.array([3.0]))),
        replace(net, output=replace(net.output, v=np.zeros(2))),
        replace(net, output=replace(net.output, c=0.5)),
        replace(net, quadratics=[replace(net.quadratics[0], beta=1.0)]),
        replace(net, quadratics=[replace(net.quadratics[0], e=np.array([4.0]))]),
        replace(net, quadratics=[]),
        replace(net, norms=[replace(net.norms[0], gamma=1.0)]),
        replace(net, norms=[replace(net.norms[0], group=None)]),
        replace(net, norms=[replace(net.norms[0], d=np.ones(2))]),
        replace(net, input_shape=(1, 2)),
        replace(net, contexts=1),  # one context is not none
        replace(net, output=replace(net.output, c=np.array([0.25, 0.25]))),
    ]
    marks = {other.fingerprint for other in [net, *others]}
    assert len(marks) == len(others) + 1
    same = replace(net, norms=[replace(net.norms[0], d=np.zeros(2))])
    assert same.fingerprint == net.fingerprint
    whole = replace(net, norms=[replace(net.norms[0], group=None)])
    assert replace(net, norms=[replace(net.norms[0], group=2)]).fingerprint == whole.fingerprint
