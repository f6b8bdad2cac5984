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


@pytest.mark.extra
@pytest.mark.parametrize(("features", "dtype", "said"), [(0, "float64", ""), (1, "float32", " in float32, its inputs")])
def test_it_is_said_where_a_graph_is_in_float32(run, tmp_path: Path, features: int, dtype: str, said: str) -> None:
    """Inputs far from zero, seconds since 1970 for instance, lose their digits there."""
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'socicnn[onnx]'")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'socicnn[onnx]'")
    socicnn.save(SOCICNN(2, (3,), (), (), context_features=features), tmp_path / "m.safetensors")
    _, out, _ = run("export", tmp_path / "m.safetensors", "--format", "onnx")
    assert f"m.onnx{said}" in out
    _, out, _ = run("export", tmp_path / "m.safetensors", "--format", "onnx", "--json")
    assert json.loads(out)["dtype"] == dtype


@pytest.mark.extra
@pytest.mark.parametrize(("names", "least"), [(["p", "x"], 50.0), (["context", "z"], 50.0), (["x", "p"], 30.0)])
def test_the_context_of_a_graph_is_told_by_names(run, tmp_path: Path, names: list[str], least: float) -> None:
    """Of (p, x) the second was fixed, so that the decision was about the context."""
    status, out, err = run("decide", *_parted(tmp_path, names), "--json")
    assert status == 0, err
    assert json.loads(out)["decisions"][0]["value"] == pytest.approx(least, abs=1e-3)


@pytest.mark.extra
def test_a_context_that_no_name_tells_is_refused(run, tmp_path: Path) -> None:
    status, _, err = run("decide", *_parted(tmp_path, ["load", "z"]))
    assert (status, err.count("\n")) == (2, 1)
    assert "has the inputs load, z, and either may be the context" in err


def _parted(folder: Path, names: list[str]) -> list[object]:
    """Return the first words of a command about ||first||^2 + 3 sum second+ over the box, its context 5, 5."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'socicnn[onnx]'")
    node, kind = onnx.helper.make_node, onnx.TensorProto.FLOAT
    nodes = [node("ReduceSumSquare", names[:1], ["a"], axes=[1], keepdims=0), node("Relu", names[1:], ["r"])]
    nodes += [node("ReduceL1", ["r"], ["b"], axes=[1], keepdims=0), node("Sum", ["a", "b", "b", "b"], ["f"])]
    inputs = [onnx.helper.make_tensor_value_info(name, kind, [1, 2]) for name in names]
    graph = onnx.helper.make_graph(nodes, "parted", inputs, [onnx.helper.make_tensor_value_info("f", kind, [1])])
    path, theta = folder / "parted.onnx", folder / "theta.npy"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)
    np.save(theta, [[5.0, 5.0]])
    return [path, "--set", "box", "--context", theta]
