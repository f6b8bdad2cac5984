"""Every writer: against links, pipes, permissions and read-only files; a second program reads what it wrote."""

from __future__ import annotations

import json
import os
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import decision
import socicnn
from socicnn import density
from socicnn._compile import value_program
from socicnn._files import FileError
from socicnn.conic.export import export
from socicnn.positivity.diagnostics import Escape, Slice
from socicnn.positivity.diagnostics.plots import draw_escape, draw_shoulder, draw_slice
from socicnn.training import _checkpoint as checkpoint
from socicnn_cli import app
from socicnn_cli._demo_plot import COLOURS, plot
from socicnn_cli._frame_output import write_csv
from tests.support.frozen_nets import NETS, random_net
from verify._certify import certify


def _checkpoint(path: Path) -> None:
    checkpoint.write(path, checkpoint.Mark("a", {}), {"epoch": 1, "weights": torch.ones(3)})


def _onnx(path: Path) -> None:
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason="pip install 'socicnn[onnx]'")
    socicnn.nn.to_onnx(NETWORK, path)


def _density(path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    law = density.Energy.dense(1, (4,), generator=torch.Generator().manual_seed(0), strong_convexity=1.0)
    density.plot(law, path, [-3.0], [3.0], rule=density.quadrature([-9.0], [9.0]))


def _shoulder(path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    steps = np.arange(4)
    seen: Any = SimpleNamespace(steps=steps, occupancy=steps / 8, leave=steps / 16, dwell=0.5)
    draw_shoulder({"run": seen}, path)


def _escape(path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    draw_escape(Escape(np.array([0.1, 1.0]), np.array([[3.0, np.inf], [1.0, 2.0]]), start=0.0, absorbing=1.0), path)


def _landscape(path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    grid = np.linspace(-1.0, 1.0, 4)
    draw_slice(Slice(grid, grid, np.square(grid)[:, None] + np.square(grid)), path)


def _demo(path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install 'socicnn[plot]'")
    task = decision.tasks.make("simplex_socp", 3, seed=0, context_features=2)
    contexts = torch.ones(1, 2, dtype=torch.float64)
    models = {name: lambda x, context: task.cost(x, context) + 0.1 for name in COLOURS}
    regrets = {"soc-partial, exact": [0.1, 0.2], "relu-joint, projected_gradient": [0.1, 0.4]}
    plot(path, task, models, contexts, (np.full((1, 3), 1 / 3), np.zeros(1)), regrets)


def _report(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model, points = os.path.join(folder, "model.safetensors"), os.path.join(folder, "points.npy")
        socicnn.save(NETWORK, model)
        np.save(points, np.ones((2, 3)))
        words = ["verify", model, "--points", points, "--solver", "none", "--json", str(path)]
        assert not app(words, standalone_mode=False)


NETWORK = socicnn.SOCICNN(3, (4,), generator=torch.Generator().manual_seed(0))
WRITERS: dict[str, Callable[[Path], None]] = {
    "frozen.safetensors": lambda path: random_net(1).save(path),
    "model.safetensors": lambda path: socicnn.save(socicnn.ICNN(2), path),
    "claim.npz": lambda path: certify(random_net(1), np.ones((2, 4))).save(path),
    "program.npz": lambda path: export(value_program(random_net(1)), path),
    "program.cbf": lambda path: export(value_program(random_net(1)), path),
    "program.mps": lambda path: export(value_program(random_net(1, **NETS["relu"])), path),
    "table.csv": lambda path: write_csv(path, ["x0", "y"], [[0.5, 1.0]]),
    "run.pt": _checkpoint,
    "network.onnx": _onnx,
    "density.png": _density,
    "shoulder.png": _shoulder,
    "escape.png": _escape,
    "landscape.png": _landscape,
    "demo.png": _demo,
    "report.json": _report,
}


@pytest.fixture(params=sorted(WRITERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_link_stays_a_link(name: str, tmp_path: Path) -> None:
    target, link = tmp_path / f"v1-{name}", tmp_path / name
    WRITERS[name](target)
    link.symlink_to(target.name)
    target.write_bytes(b"old")
    WRITERS[name](link)
    assert link.is_symlink()
    assert target.stat().st_size > 3
    assert len(list(tmp_path.iterdir())) == 2


def test_permissions_are_kept_and_read_only_files_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    path.chmod(0o600)
    WRITERS[name](path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o400)
    before = path.read_bytes()
    with pytest.raises(FileError, match="read-only"):
        WRITERS[name](path)
    assert path.read_bytes() == before


def test_a_pipe_is_written_to(name: str, tmp_path: Path) -> None:
    """What comes out of the pipe is a whole file, as the second program below reads it."""
    pipe, copy = tmp_path / name, tmp_path / f"copy-{name}"
    os.mkfifo(pipe)
    content: list[bytes] = []
    reader = threading.Thread(target=lambda: content.append(pipe.read_bytes()))
    reader.start()
    WRITERS[name](pipe)
    reader.join(60)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    copy.write_bytes(content[0])
    READERS[name](copy)


def by_zip(path: Path) -> None:
    """Archives of arrays: their checksums hold, and each member begins as NumPy's format says."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert all(archive.read(member)[:6] == b"\x93NUMPY" for member in archive.namelist())


def by_struct(path: Path) -> None:
    """Safetensors: a length, JSON, and numbers without gap or overlap."""
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    assert header.pop("__metadata__")["format"] == "socicnn"
    spans = sorted(entry["data_offsets"] for entry in header.values())
    assert [start for start, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert 8 + size + spans[-1][1] == len(content)


def by_torch(path: Path) -> None:
    """Checkpoints: torch alone, in a process that has never seen this package."""
    code = "import sys, torch; print(sorted(torch.load(sys.argv[1], weights_only=True)))"
    done = subprocess.run([sys.executable, "-I", "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "weights" in done.stdout


def by_highs(path: Path) -> None:
    highspy = pytest.importorskip("highspy")
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk


def by_numpy(path: Path) -> None:
    table = np.genfromtxt(path, delimiter=",", names=True)
    assert table.dtype.names == ("x0", "y")
    assert table.tolist() == (0.5, 1.0)


def by_hand(path: Path) -> None:
    """CBF: the sizes that its sections announce are those of the program; MOSEK reads whole files among the extras."""
    lines = path.read_text(encoding="ascii").splitlines()
    program = value_program(random_net(1)).free()
    m, variables = program.A.shape
    assert lines[lines.index("VAR") + 1] == f"{variables} 1"
    assert lines[lines.index("CON") + 1].split()[0] == str(m)
    start = lines.index("ACOORD")
    count = int(lines[start + 1])
    A = np.zeros((m, variables))
    for row, column, value in (line.split() for line in lines[start + 2 : start + 2 + count]):
        A[int(row), int(column)] = float(value)
    linear = program.cones.zero + program.cones.nonnegative
    np.testing.assert_array_equal(A[:linear], -program.A.toarray()[:linear])


def by_onnxruntime(path: Path) -> None:
    """ONNX: the values of the network at a batch of any size."""
    runtime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    (values,) = session.run(None, {"x": x.numpy()})
    np.testing.assert_allclose(values, NETWORK(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def by_pillow(path: Path) -> None:
    """Figures: whole, and not of one colour."""
    image = pytest.importorskip("PIL.Image").open(path)
    assert image.format == "PNG"
    assert len(image.convert("RGB").getcolors(2**24)) > 20


def by_json_tool(path: Path) -> None:
    """Reports: JSON, by Python's own tool in a process that has never seen this package."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "json.tool", str(path)], capture_output=True, text=True, check=True
    )
    assert '"ok": true' in done.stdout


READERS: dict[str, Callable[[Path], None]] = {
    "frozen.safetensors": by_struct,
    "model.safetensors": by_struct,
    "claim.npz": by_zip,
    "program.npz": by_zip,
    "program.cbf": by_hand,
    "program.mps": by_highs,
    "table.csv": by_numpy,
    "run.pt": by_torch,
    "network.onnx": by_onnxruntime,
    "density.png": by_pillow,
    "shoulder.png": by_pillow,
    "escape.png": by_pillow,
    "landscape.png": by_pillow,
    "demo.png": by_pillow,
    "report.json": by_json_tool,
}


def test_a_second_program_reads_the_file(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    READERS[name](tmp_path / name)
