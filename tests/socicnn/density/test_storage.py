"""Energies and flows in files: one safetensors file, bit for bit, no code; what is no network is refused."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

import socicnn
from socicnn import ICNN, SOCICNN
from socicnn._files import FileError
from socicnn._ranges import Ranges
from socicnn.density import Density, Energy, PotentialFlow, cloud, fit, quadrature, target
from socicnn.errors import ModelError
from socicnn.nn import Network, load_metadata
from socicnn.positivity import RECIPES, HyperNetwork
from socicnn_cli._models import load_model

ROOT = Path(__file__).parents[3]


def made(kind: str, positivity: str = "softplus", dtype: torch.dtype = torch.float64) -> Density:
    draw = torch.Generator().manual_seed(3)
    if kind == "energy":
        energy = Energy.dense(1, (5, 4), strong_convexity=0.3, positivity=positivity, generator=draw, dtype=dtype)
        fit(energy, target("gumbel"), steps=3, batch_size=8)
        return energy
    flow = PotentialFlow.dense(2, (5,), strong_convexity=0.7, positivity=positivity, generator=draw, dtype=dtype)
    fit(flow, cloud("two_spirals"), steps=3, batch_size=8)
    return flow


@pytest.mark.parametrize("kind", ["energy", "flow"])
@pytest.mark.parametrize("positivity", sorted(RECIPES))
def test_come_back_bit_for_bit(kind: str, positivity: str, tmp_path: Path) -> None:
    model = made(kind, positivity)
    model.ranges = Ranges.of(torch.zeros(2, model.features).numpy())
    socicnn.save(model, tmp_path / "law.safetensors", metadata={"law": kind})
    again = socicnn.load(tmp_path / "law.safetensors", type(model))
    assert again.config() == model.config()
    assert repr(again.ranges) == repr(model.ranges)
    assert load_metadata(tmp_path / "law.safetensors") == {"law": kind}
    ours, theirs = model.state_dict(), again.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    x = torch.randn(50, model.features, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, two = (d.finalise(x) for d in (model, again))
    assert torch.equal(one(x), two(x))
    if isinstance(one, PotentialFlow) and isinstance(two, PotentialFlow):
        assert torch.equal(one.log_density(x), two.log_density(x))
    fit(
        again,
        x,
        steps=1,
        batch_size=4,
        rule=None if kind == "flow" else quadrature([-9.0], [9.0], dtype=x.dtype),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types_are_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    socicnn.save(made("flow", dtype=dtype), tmp_path / "law.safetensors")
    again = socicnn.load(tmp_path / "law.safetensors", PotentialFlow)
    assert again.w0.dtype == again.network.dtype == dtype


def test_networks_with_branches(tmp_path: Path) -> None:
    energy = Energy(SOCICNN(2, (4,), (2, "diagonal"), (2,)), 0.0)
    socicnn.save(energy, tmp_path / "law.safetensors")
    x = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(socicnn.load(tmp_path / "law.safetensors", Energy)(x), energy(x))


def test_another_class_is_named(tmp_path: Path) -> None:
    path = tmp_path / "law.safetensors"
    socicnn.save(made("energy"), path)
    for kind in (Network, PotentialFlow):
        with pytest.raises(FileError, match=f"holds a model of the class Energy, where {kind.__name__} is expected"):
            socicnn.load(path, kind)  # type: ignore[type-abstract]  # asked for, not made


def test_commands_say_that_it_is_no_network(tmp_path: Path) -> None:
    path = tmp_path / "law.safetensors"
    socicnn.save(made("energy"), path)
    with pytest.raises(FileError, match="of the class Energy, where Network is expected"):
        load_model(path)


@pytest.mark.parametrize("kind", [Energy, PotentialFlow])
def test_modules_are_refused_in_one_sentence(kind: type[Energy | PotentialFlow], tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 4), nn.Softplus(), nn.Linear(4, 1))
    with pytest.raises(ModelError, match=r"^a density of a Sequential cannot be saved.*state_dict"):
        socicnn.save(kind(module), tmp_path / "law.safetensors")
    module[2].weight._pos_required = True  # type: ignore[assignment]  # a tag
    with pytest.raises(ModelError, match="a density of a HyperNetwork cannot be saved"):
        socicnn.save(kind(HyperNetwork(2, (4,), module)), tmp_path / "law.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "Energy"},
        {"network": "os.system"},
        {"network": None},
        {"network": ["ICNN"]},
        {"network": "ICNN", "config": {}},
        {"strong_convexity": -1.0},
        {"strong_convexity": "a lot"},
        {"in_features": "few"},
        {"colour": 3},
    ],
)
def test_damaged_configurations_are_refused(changes: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "law.safetensors"
    socicnn.save(Energy(ICNN(2, (3,))), path)
    with safetensors.safe_open(path, framework="pt") as file:
        header = file.metadata()
    header["config"] = json.dumps(json.loads(header["config"]) | changes)
    path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path), metadata=header))
    with pytest.raises(FileError, match="damaged") as caught:
        socicnn.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["energy", "flow"])
def test_a_process_that_knows_nothing_of_it_loads_it(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    socicnn.save(model, tmp_path / "law.safetensors")
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["socicnn.networks"]
    info = tmp_path / "installed-1.dist-info"  # as pip leaves it; a package that runs from its sources has none
    info.mkdir()
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[socicnn.networks]", *lines]))
    script = "import sys, socicnn; print(type(socicnn.load(sys.argv[1])).__name__)"
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "law.safetensors"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == type(model).__name__
