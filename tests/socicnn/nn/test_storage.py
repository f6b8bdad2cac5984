"""Files: what is kept, and every way in which a file can be wrong."""

import json
import time
import tracemalloc
from pathlib import Path

import pytest
import safetensors.torch
import torch

import socicnn
from socicnn import ICNN, SOCICNN
from socicnn._files import FileError
from socicnn.errors import ModelError
from socicnn.nn import load_metadata
from socicnn.positivity import Projected

OLD = Path(__file__).parents[1] / "old_files"
VALUE = 1.3418374061584473  # of its network at ones, by 0.1.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    socicnn.save(SOCICNN(3, (4,), context_features=2), tmp_path / "model.safetensors", metadata={"total": 0.3})
    return tmp_path / "model.safetensors"


def rewritten(path: Path, **changes: str | None) -> Path:
    """The same tensors under a changed header."""
    with safetensors.safe_open(path, framework="pt") as file:
        header = file.metadata() | changes
    header = {key: value for key, value in header.items() if value is not None}
    path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path), metadata=header))
    return path


def config_of(path: Path) -> dict:
    with safetensors.safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["config"])


def test_metadata_comes_back(path: Path, tmp_path: Path) -> None:
    assert load_metadata(path) == {"total": 0.3}
    socicnn.save(ICNN(2), tmp_path / "plain.safetensors")
    assert load_metadata(tmp_path / "plain.safetensors") == {}


def test_the_file_is_safetensors_and_json_only(path: Path) -> None:
    config = config_of(path)
    assert config["in_features"] == 3
    assert config["positivity"] == {"name": "projected", "floor": 0.0}
    assert "vectors.skip.weight" in safetensors.torch.load_file(path)


def test_what_cannot_be_saved_leaves_the_old_file(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ModelError, match="received Linear"):
        socicnn.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ModelError, match="metadata must hold finite JSON values"):
        socicnn.save(ICNN(2), path, metadata={"lower": float("nan")})
    with pytest.raises(ModelError, match="metadata must hold finite JSON values"):
        socicnn.save(ICNN(2), path, metadata={"set": object()})
    for model in (ICNN(2), ICNN(2).freeze()):
        for metadata in ([1], [], "text", 5, 0):  # what `load_metadata` would call damaged
            with pytest.raises(ModelError, match=f"metadata must be a mapping .*; received {type(metadata).__name__}"):
                socicnn.save(model, path, metadata=metadata)
    with pytest.raises(FileError, match="does not exist"):
        socicnn.save(ICNN(2), path.parent / "nowhere" / "model.safetensors")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("read", [socicnn.load, load_metadata])
class TestBrokenFiles:
    def refuses(self, read, path: Path, message: str) -> None:
        with pytest.raises(FileError, match=message) as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)

    def test_no_file(self, read, tmp_path: Path) -> None:
        self.refuses(read, tmp_path / "none.safetensors", "cannot read .*No such file")

    def test_a_folder(self, read, tmp_path: Path) -> None:
        self.refuses(read, tmp_path, "cannot read .*directory")

    @pytest.mark.parametrize("keep", [0, 5, 100, 0.5, 0.999])
    def test_truncated(self, read, path: Path, keep: float) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[: int(keep if keep >= 1 or keep == 0 else keep * len(whole))])
        self.refuses(read, path, "not a valid safetensors file")

    def test_noise(self, read, path: Path) -> None:
        path.write_bytes(b"\xff" * 4096)
        self.refuses(read, path, "not a valid safetensors file")

    def test_a_pickle(self, read, path: Path) -> None:
        torch.save({"weights": torch.zeros(3)}, path)
        self.refuses(read, path, "not a valid safetensors file")

    def test_somebody_elses_tensors(self, read, path: Path) -> None:
        path.write_bytes(safetensors.torch.save({"weight": torch.zeros(3)}))
        self.refuses(read, path, "was not written by socicnn.save")

    @pytest.mark.parametrize("version", ["3", "soon", None])
    def test_newer_version(self, read, path: Path, version: str | None) -> None:
        self.refuses(read, rewritten(path, version=version), "format version .*reads up to 2; update socicnn")


def test_the_version_tells_older_readers_to_update(path: Path) -> None:
    """They read up to version 1, and do not know the second buffers of the means."""
    with safetensors.safe_open(path, framework="pt") as file:
        assert int(file.metadata()["version"]) == 2
        assert any(name.endswith("_mean_low") for name in file.keys())  # noqa: SIM118 (the file is no mapping)


def test_files_of_version_1_are_read() -> None:
    """It was written by 0.1.0, and has neither second buffers of the means nor ranges."""
    path = OLD / "network-1.safetensors"
    model = socicnn.load(path)
    tensors = safetensors.torch.load_file(path)
    assert model.ranges is None
    assert all(torch.equal(tensors[name], tensor) for name, tensor in model.state_dict().items() if name in tensors)
    added = [tensor for name, tensor in model.state_dict().items() if name not in tensors]
    assert added
    assert not any(tensor.any() for tensor in added)
    assert model(torch.ones(1, 3), torch.ones(1, 2)).item() == pytest.approx(VALUE, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "Transformer"}, "holds a network 'Transformer' that socicnn does not know; update socicnn"),
        (
            {"network": "Bowl", "module": "crockery.bowl"},
            "'Bowl' .* does not know; import crockery.bowl first",
        ),
        ({"network": "__import__"}, "does not know"),
        ({"network": None}, "its header lacks network"),
        ({"config": "{"}, "damaged"),
        ({"config": "[]"}, "damaged"),
        ({"config": "null"}, "damaged"),
    ],
)
def test_damaged_headers(path: Path, changes, message) -> None:
    with pytest.raises(FileError, match=message):
        socicnn.load(rewritten(path, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"in_features": 4},
        {"in_features": "3"},
        {"hidden_features": [4, 4]},
        {"hidden_features": None},
        {"context": "both"},
        {"activation": ["relu", "relu"]},
        {"positivity": {"name": "os.system"}},
        {"positivity": "projected"},
        {"positivity": {"name": "projected", "ceiling": 1}},
        {"unknown": 1},
        {"initialiser": {}},
        {"in_features": 10**9},
        {"context_features": 10**9},
        {"context_features": -(10**9)},
        {"quadratic": [10**6]},
        {"norm": [10**6]},
        {"hidden_features": [10**12]},
        {"hidden_features": [4] * 10**5},
        {"context_hidden": 10**9},
    ],
)
def test_configurations_that_do_not_fit(path: Path, changes) -> None:
    config = config_of(path) | changes
    other = rewritten(path, config=json.dumps(config))
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(FileError, match="is damaged"):
        socicnn.load(other)
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**26 + 3 * other.stat().st_size
    assert seconds < 30  # with the tracing of every allocation, on a busy machine; a hang takes hours


def test_nothing_is_searched_for_where_only_sizes_are_compared(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emit, devices = Projected.emit, list[str]()

    def watched(recipe: Projected, raw: torch.Tensor) -> torch.Tensor:
        devices.append(raw.device.type)
        return emit(recipe, raw)

    monkeypatch.setattr(Projected, "emit", watched)
    socicnn.load(path)
    assert set(devices) == {"cpu"}


def test_damaged_metadata_is_named(path: Path) -> None:
    with pytest.raises(FileError, match="its metadata cannot be read"):
        load_metadata(rewritten(path, metadata="[1]"))


def test_a_reader_sees_the_old_network_or_the_new_one(path: Path) -> None:
    old = socicnn.load(path)
    with path.open("rb") as stream:  # a reader that is half way through when the file is replaced
        socicnn.save(ICNN(2), path)
        reread = safetensors.torch.load(stream.read())
    assert torch.equal(reread["U.0"], old.U[0])
    assert isinstance(socicnn.load(path), ICNN)


def test_tied_tensors_are_refused_by_name(tmp_path: Path) -> None:
    model = SOCICNN(3, (3, 3))
    model.U[1] = model.U[0]
    with pytest.raises(ModelError, match=r"U\.0 and U\.1 are one tied tensor"):
        socicnn.save(model, tmp_path / "tied.safetensors")
    assert not list(tmp_path.iterdir())
