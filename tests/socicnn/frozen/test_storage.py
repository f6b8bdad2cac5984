"""Frozen networks in files: what is kept, and every way in which a file can be wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

import socicnn
from socicnn.errors import ModelError
from socicnn.files import FileError
from socicnn.frozen import FrozenNet
from socicnn.nn import ConvSOCICNN
from tests.contracts.frozen import FrozenContract
from tests.support.cases import CASES, Case, generator
from tests.support.frozen_nets import NETS, random_net


@pytest.mark.parametrize("kind", ["relu", "soc", "one_unit", "no_layer", "affine", "sparse"])
class TestDense(FrozenContract):
    @pytest.fixture(autouse=True)
    def _net(self, kind: str) -> None:
        self.net = random_net(3, **NETS[kind])


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.exports], ids=lambda case: case.name)
def test_every_network_is_kept_with_all_its_contexts(case: Case, tmp_path: Path) -> None:
    model = case.model()
    x, theta = case.points(model, 4).numpy(), case.contexts(model, 4)
    net = model.freeze(theta)
    net.save(tmp_path / "net.safetensors")
    loaded = FrozenNet.load(tmp_path / "net.safetensors")
    assert loaded.contexts == net.contexts
    assert loaded.input_shape == net.input_shape
    np.testing.assert_array_equal(loaded(x), net(x))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model = ConvSOCICNN((1, 4, 4), (2, 2), generator=generator(0), dtype=torch.float64)
    model.freeze().save(tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def refuses(path: Path, message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        FrozenNet.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def changed(path: Path, tensors=None, config=None, **header) -> Path:
    """The same file with other arrays, configuration or header."""
    with safetensors.safe_open(path, framework="np") as file:
        known = file.metadata()
    own = safetensors.numpy.load_file(path) | (tensors or {})
    known["config"] = json.dumps(json.loads(known["config"]) | (config or {}))
    own = {name: array for name, array in own.items() if array is not None}
    path.write_bytes(safetensors.numpy.save(own, metadata=known | header))
    return path


def test_files_of_another_kind(path: Path, tmp_path: Path) -> None:
    refuses(tmp_path / "none.safetensors", "cannot read")
    whole = path.read_bytes()
    for keep in (0, 100, len(whole) - 1):
        (tmp_path / "half.safetensors").write_bytes(whole[:keep])
        refuses(tmp_path / "half.safetensors", "no whole safetensors file")
    model = tmp_path / "model.safetensors"
    socicnn.save(socicnn.ICNN(2), model)
    refuses(model, "holds a ICNN; read it with socicnn.load")
    model.write_bytes(safetensors.numpy.save({"a": np.zeros(2)}))
    refuses(model, "was not written by FrozenNet.save")
    refuses(changed(path, version="2"), "format version 2, this socicnn reads up to 1")
    with pytest.raises(ModelError, match=r"a FrozenNet is saved by itself: net.save\(path\)"):
        socicnn.save(random_net(0), model)
    with pytest.raises(FileError, match="does not exist"):
        random_net(0).save(tmp_path / "nowhere" / "net.safetensors")


@pytest.mark.parametrize(
    ("tensors", "config", "message"),
    [
        ({"output.w": None}, {}, "damaged"),
        ({"layers.1.b": None}, {}, "damaged"),
        ({"layers.1.W.indices": np.full(2, 9)}, {}, "damaged"),
        ({"output.v": np.zeros(3)}, {}, "damaged.*input weight U of layer 1 must have shape"),
        ({"output.w": np.full(32, -1.0)}, {}, "damaged.*output weight w has 32 negative entries"),
        ({}, {"layers": 3}, "damaged"),
        ({}, {"layers": "two"}, "damaged"),
        ({}, {"sparse": {}}, "damaged"),
        ({}, {"groups": []}, "damaged"),
        ({}, {"groups": [3]}, "damaged.*groups of 3 do not divide"),
        ({}, {"input_shape": [1, 4, 5]}, r"damaged.*input_shape \(1, 4, 5\) does not hold"),
    ],
)
def test_damaged_files(path: Path, tensors, config, message) -> None:
    refuses(changed(path, tensors, config), message)


def test_places_outside_the_matrix_are_not_read(path: Path) -> None:
    indices = safetensors.numpy.load_file(path)["layers.1.W.indices"].copy()
    for place in (-1, 10**6):
        indices[0] = place
        refuses(changed(path, {"layers.1.W.indices": indices}), "damaged")
