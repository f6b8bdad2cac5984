"""ONNX graphs on the command line: verified, decided and exported as model files are."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import socicnn
from socicnn import SOCICNN


@pytest.mark.extra
def test_an_onnx_graph_is_verified_decided_and_exported(run, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'socicnn[onnx]'")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'socicnn[onnx]'")
    network = SOCICNN(4, hidden_features=(8,), generator=torch.Generator().manual_seed(0))
    path = tmp_path / "cost.onnx"
    socicnn.nn.to_onnx(network, path)
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(3, 4)))
    status, out, _ = run("verify", path, "--points", tmp_path / "points.npy")
    assert status == 0, out
    status, out, _ = run("decide", path, "--set", "simplex", "--out", tmp_path / "x.csv")
    assert status == 0, out
    status, out, _ = run("export", path, "--format", "cbf")
    assert status == 0, out
    assert (tmp_path / "cost.cbf").exists()
    path.write_bytes(path.read_bytes()[:100])
    status, _, err = run("verify", path, "--points", tmp_path / "points.npy")
    assert (status, err.count("\n")) == (2, 1)
    assert "is not a valid ONNX file" in err


@pytest.mark.extra
def test_an_onnx_graph_of_x_and_a_context_is_read_at_one_context(run, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'socicnn[onnx]'")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'socicnn[onnx]'")
    network = SOCICNN(4, (8,), context_features=2, generator=torch.Generator().manual_seed(0))
    path, points, theta = tmp_path / "cost.onnx", tmp_path / "points.npy", tmp_path / "theta.csv"
    socicnn.nn.to_onnx(network, path)
    np.save(points, np.random.default_rng(0).normal(size=(3, 4)))
    theta.write_text("theta0,theta1\n0.5,-1.0\n")
    status, out, _ = run("verify", path, "--points", points, "--context", theta, "--json", tmp_path / "report.json")
    assert status == 0, out
    report = json.loads((tmp_path / "report.json").read_text())
    truth = network(torch.tensor(np.load(points), dtype=torch.float32), torch.tensor([0.5, -1.0]))
    np.testing.assert_allclose(report["forward"], truth.detach().numpy(), rtol=1e-5)
    status, out, _ = run("decide", path, "--set", "simplex", "--context", theta, "--out", tmp_path / "x.csv")
    assert status == 0, out
    status, _, err = run("verify", path, "--points", points)
    assert (status, err.count("\n")) == (2, 1)
    assert "has the inputs x, context; --context FILE gives the context" in err
    theta.write_text("theta0,theta1\n0.5,-1.0\n0.5,1.0\n")
    status, _, err = run("verify", path, "--points", points, "--context", theta)
    assert (status, err.count("\n")) == (2, 1)
    assert "has 2 contexts; an ONNX graph is read at one context: give one row" in err


@pytest.mark.extra
def test_a_number_that_float32_does_not_hold_is_refused(run, tmp_path: Path) -> None:
    """Softplus is written in float32; the weight was infinite there, without a word."""
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'socicnn[onnx]'")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'socicnn[onnx]'")
    network = socicnn.ICNN(2, (3,), activation="softplus", dtype=torch.float64)
    with torch.no_grad():
        network.vectors.free["c"].fill_(1e39)
    socicnn.save(network, tmp_path / "m.safetensors")
    status, _, err = run("export", tmp_path / "m.safetensors", "--format", "onnx")
    assert (status, err.count("\n")) == (2, 1)
    assert "vectors.free.c holds 1e+39, more than float32 holds (3.4e+38)" in err
    assert not (tmp_path / "m.onnx").exists()
