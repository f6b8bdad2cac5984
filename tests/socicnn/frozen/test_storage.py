"""Frozen networks in files: what is kept, and every way in which a file can be wrong."""

import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

import socicnn
import verify
from socicnn._files import FileError
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, LogSumExp, Norm, Output
from socicnn.nn import ConvSOCICNN, load_metadata
from tests.contracts.frozen import FrozenContract
from tests.support.cases import CASES, Case, generator
from tests.support.frozen_nets import NETS, random_net
from verify.check import check

OLD = Path(__file__).parents[1] / "old_files"


@pytest.mark.parametrize("kind", ["relu", "soc", "one_unit", "no_layer", "affine", "sparse"])
class TestDense(FrozenContract):
    @pytest.fixture(autouse=True)
    def _net(self, kind: str) -> None:
        self.net = random_net(3, **NETS[kind])


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_every_network_is_kept_with_all_its_contexts(case: Case, tmp_path: Path) -> None:
    model = case.model()
    x, theta = case.points(model, 4).numpy(), case.contexts(model, 4)
    net = model.freeze(theta)
    net.save(tmp_path / "net.safetensors")
    loaded = FrozenNet.load(tmp_path / "net.safetensors")
    assert loaded.contexts == net.contexts
    assert loaded.input_shape == net.input_shape
    np.testing.assert_array_equal(loaded(x), net(x))


def test_older_files_of_a_stack_of_one_are_read(tmp_path: Path) -> None:
    """They kept what contexts share without its axis, beside one row of what moves."""
    net = replace(random_net(1, **NETS["soc"]), contexts=1)
    net.save(tmp_path / "net.safetensors")
    older = {"layers.0.b": net.layers[0].b[0], "output.c": np.asarray(net.output.c[0])}
    loaded = FrozenNet.load(changed(tmp_path / "net.safetensors", older))
    assert (loaded.contexts, loaded.fingerprint) == (1, net.fingerprint)


@pytest.mark.parametrize("contexts", [0, 3])
def test_stacks_whose_contexts_share_every_number_are_read(contexts: int, tmp_path: Path) -> None:
    stack = replace(random_net(1, **NETS["soc"]), contexts=1)[np.zeros(contexts, dtype=int)]
    stack.save(tmp_path / "net.safetensors")
    loaded = FrozenNet.load(tmp_path / "net.safetensors")
    assert (loaded.contexts, loaded.fingerprint) == (contexts, stack.fingerprint)
    if contexts:
        verify.certify(stack, np.ones((contexts, stack.in_features))).save(tmp_path / "claim.npz")
        assert check(tmp_path / "claim.npz").ok


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


def test_one_pair_saves_and_loads_both_kinds(path: Path) -> None:
    net = FrozenNet.load(path)
    plain = path.read_bytes()
    socicnn.save(net, path)
    assert path.read_bytes() == plain
    assert socicnn.load(path, FrozenNet).fingerprint == net.fingerprint
    with pytest.raises(FileError, match="holds a model of the class FrozenNet, where SOCICNN is expected"):
        socicnn.load(path, socicnn.SOCICNN)
    socicnn.save(net, path, {"set": "simplex"})
    assert load_metadata(path) == {"set": "simplex"}
    assert socicnn.load(path).freeze().fingerprint == net.fingerprint
    with pytest.raises(ModelError, match="metadata must hold finite JSON values"):
        socicnn.save(net, path, {"total": float("nan")})


def test_metadata_and_the_class_of_networks_that_older_readers_do_not_know(tmp_path: Path) -> None:
    """Log-sum-exps make it version 3; the reader of metadata knew 2, and asked for an update of socicnn."""
    net = replace(random_net(1), logsumexps=[LogSumExp(1.0, np.eye(random_net(1).in_features))])
    socicnn.save(net, tmp_path / "net.safetensors", {"set": "simplex"})
    assert load_metadata(tmp_path / "net.safetensors") == {"set": "simplex"}
    with pytest.raises(FileError, match="holds a model of the class FrozenNet, where SOCICNN is expected"):
        socicnn.load(tmp_path / "net.safetensors", socicnn.SOCICNN)


def changed(path: Path, tensors=None, config=None, **header) -> Path:
    """The same file with other arrays, entries of its configuration (or all of it, as text), or header."""
    with safetensors.safe_open(path, framework="np") as file:
        known = file.metadata()
    own = safetensors.numpy.load_file(path) | (tensors or {})
    known["config"] = config if isinstance(config, str) else json.dumps(json.loads(known["config"]) | (config or {}))
    own = {name: array for name, array in own.items() if array is not None}
    path.write_bytes(safetensors.numpy.save(own, metadata=known | header))
    return path


def test_files_of_another_kind(path: Path, tmp_path: Path) -> None:
    refuses(tmp_path / "none.safetensors", "cannot read")
    whole = path.read_bytes()
    for keep in (0, 100, len(whole) - 1):
        (tmp_path / "half.safetensors").write_bytes(whole[:keep])
        refuses(tmp_path / "half.safetensors", "not a valid safetensors file")
    model = tmp_path / "model.safetensors"
    socicnn.save(socicnn.ICNN(2), model)
    refuses(model, "holds a ICNN; read it with socicnn.load")
    model.write_bytes(safetensors.numpy.save({"a": np.zeros(2)}))
    refuses(model, "was not written by FrozenNet.save")
    refuses(changed(path, version="6"), "format version 6, this socicnn reads up to 5")
    with pytest.raises(FileError, match="does not exist"):
        random_net(0).save(tmp_path / "nowhere" / "net.safetensors")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"output.w": None}, "damaged.*output.w is missing"),
        ({"layers.1.b": None}, "damaged.*layers.1.b is missing"),
        ({"layers.1.W.at": np.full((2, 2), 9)}, r"damaged.*layers.1.W.at must have shape \(2, "),
        ({"layers.1.W.shape": np.array([2**40, 3])}, "damaged.*no array has more than"),
        ({"layers.1.W.shape": np.array([-1, 3])}, "damaged.*no array has more than"),
        ({"layers.1.W.shape": np.array([3])}, r"damaged.*layers.1.W.shape must have shape \(2,\)"),
        ({"output.v": np.zeros(3)}, "damaged.*input weight U of layer 1 must have shape"),
        ({"output.v": np.zeros(16, dtype=bool)}, "damaged.*output.v holds no real numbers"),
        ({"output.w": np.full(32, -1.0)}, "damaged.*output weight w has 32 negative entries"),
        ({"output.w": np.full(32, 2.0)}, "damaged.*they are not those that were written"),
        ({"layers": np.array(3)}, "damaged.*layers.2"),
        ({"layers": np.array(10**9)}, "damaged.*more parts than the file has arrays"),
        ({"layers": np.array(-1)}, "damaged.*more parts than the file has arrays"),
        ({"layers": np.array(2.0)}, "damaged.*layers holds no whole numbers"),
        ({"input_shape": np.array([1, 4, 5])}, r"damaged.*input_shape \(1, 4, 5\) does not hold"),
    ],
)
def test_damaged_files(path: Path, tensors, message) -> None:
    refuses(changed(path, tensors), message)


@pytest.mark.parametrize("config", ["{", "[]", "null", "[" * 100_000, "{}"])
def test_damaged_configurations(path: Path, config: str) -> None:
    refuses(changed(path, config=config), "damaged")


def test_groups_that_do_not_divide_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "norm.safetensors"
    FrozenNet([], Output([], np.zeros(4)), [], [Norm(1.0, np.eye(4), None, 2)]).save(path)
    refuses(changed(path, {"norms.0.group": np.array(3)}), "damaged.*groups of 3 do not divide")


def test_places_outside_the_matrix_are_not_read(path: Path) -> None:
    at = safetensors.numpy.load_file(path)["layers.1.W.at"].copy()
    for place in (-1, 10**6):
        at[0, 0] = place
        refuses(changed(path, {"layers.1.W.at": at}), "damaged.*has an entry outside")


def test_equal_networks_give_equal_bytes(tmp_path: Path) -> None:
    """In other processes too, where the hashes of words are others."""
    code = (
        "import sys\nfrom tests.support.frozen_nets import NETS, random_net\n"
        "import socicnn, torch\n"
        "random_net(1, **NETS['soc']).save(sys.argv[1] + 'frozen')\n"
        "socicnn.save(socicnn.SOCICNN(3, generator=torch.Generator().manual_seed(0)), sys.argv[1] + 'model')\n"
    )
    for name in ("a", "b"):
        environment = dict(os.environ, PYTHONHASHSEED=str(ord(name)))
        subprocess.run([sys.executable, "-c", code, f"{tmp_path}/{name}"], check=True, env=environment)
    for kind in ("frozen", "model"):
        assert (tmp_path / f"a{kind}").read_bytes() == (tmp_path / f"b{kind}").read_bytes()


def test_a_reader_of_a_few_lines_finds_the_numbers(tmp_path: Path) -> None:
    """The format as its description says, without the safetensors package."""
    net = random_net(1, **NETS["soc"])
    net.save(tmp_path / "net.safetensors")
    content = (tmp_path / "net.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    assert size % 8 == 0
    header = json.loads(content[8 : 8 + size])
    assert json.loads(header.pop("__metadata__")["config"])["fingerprint"] == net.fingerprint
    start, end = header["output.v"]["data_offsets"]
    assert header["output.v"]["dtype"] == "F64"
    assert struct.unpack(f"<{(end - start) // 8}d", content[8 + size + start : 8 + size + end]) == tuple(
        net.output.v[0]
    )
    assert 8 + size + max(entry["data_offsets"][1] for entry in header.values()) == len(content)


def test_files_of_version_1_are_read() -> None:
    """Written by socicnn 0.1.0."""
    net = FrozenNet.load(OLD / "net-1.safetensors")
    np.testing.assert_array_equal(net([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]]), [43.22485775889133, 16.23142970311063])
    assert net.input_shape == (3, 1)
    assert [norm.group for norm in net.norms] == [2]
    assert net.layers[0].inner


@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        ({"layers.0.U.indices": np.full(3, 9, dtype=np.int32)}, {}),
        ({"layers.0.U.indptr": np.array([0, 9, 3], dtype=np.int32)}, {}),
        ({"layers.0.U.indptr": np.array([1, 2, 3], dtype=np.int32)}, {}),
        ({"layers.0.U.data": None}, {}),
        ({}, {"layers": 3}),
        ({}, {"layers": 10**9}),
        ({}, {"layers": "two"}),
        ({}, {"sparse": {}}),
        ({}, {"sparse": {"layers.0.U": [2**40, 3]}}),
        ({}, {"groups": []}),
        ({}, {"groups": [3]}),
        ({}, {"input_shape": [2, 3]}),
    ],
)
def test_damaged_files_of_version_1(tmp_path: Path, tensors, config) -> None:
    path = tmp_path / "old.safetensors"
    shutil.copy(OLD / "net-1.safetensors", path)
    refuses(changed(path, tensors, config), "damaged")
