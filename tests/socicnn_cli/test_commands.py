"""The command as a user types it: what each command reads, writes and prints."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import socicnn
from socicnn import SOCICNN
from socicnn.conic.export._cbf import read_cbf
from socicnn.frozen import FrozenNet, Layer, Output, Squares
from socicnn.nn import Conv, ConvSOCICNN
from verify.check import check


def test_version(run) -> None:
    status, out, _ = run("--version")
    assert (status, out.strip()) == (0, f"socicnn {socicnn.__version__}")


def test_fit_verify_decide_export_in_a_row(run, tmp_path: Path, context: Path) -> None:
    rng = np.random.default_rng(0)
    theta = np.load(context)
    x = rng.dirichlet(np.ones(4), size=(3, 20))
    y = ((x - 0.2) ** 2).sum(axis=-1) + (x[..., 0] * theta[:, :1])
    np.savez(tmp_path / "data.npz", x=x, y=y, theta=theta)
    model = tmp_path / "model.safetensors"
    status, out, _ = run("fit", tmp_path / "data.npz", "--set", "simplex", "--epochs", 3, "--out", model)
    assert status == 0
    assert "60 labelled points, loss within_context (3 contexts with 20 points each)" in out

    np.save(tmp_path / "points.npy", x[:, 0])
    report = tmp_path / "report.json"
    status, out, _ = run("verify", model, "--points", tmp_path / "points.npy", "--context", context, "--json", report)
    assert status == 0, out
    assert json.loads(report.read_text())["ok"] is True

    claim = tmp_path / "claim.npz"
    words = ("--points", tmp_path / "points.npy", "--context", context, "--solver", "none", "--claim", claim)
    status, out, _ = run("verify", model, *words)
    assert status == 0, out
    checked = check(claim)
    assert checked.ok
    assert f"network: SHA-256 {checked.fingerprint}" in out
    assert len(checked.forward) == 3
    status, _, err = run("verify", model, *words[:-1], tmp_path / "claim.txt")
    assert status == 2
    assert "--claim must end in .npz" in err

    out_file = tmp_path / "decisions.csv"
    status, out, _ = run("decide", model, "--set", "budget", "--total", 2, "--context", context, "--out", out_file)
    assert status == 0, out
    with out_file.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3
    for row in rows:
        assert sum(float(row[f"x{i}"]) for i in range(4)) == pytest.approx(2, abs=1e-9)
        assert float(row["relative_gap"]) <= 1e-6
    words = ("--set", "box", "--lower", 2, "--upper", 3, "--context", context, "--out", out_file)
    status, out, _ = run("decide", model, *words)
    assert status == 0, out
    with out_file.open() as stream:
        assert [row["outside"] for row in csv.DictReader(stream)] == ["1"] * 3  # trained on the simplex

    np.save(tmp_path / "one.npy", theta[:1])
    status, out, _ = run("export", model, "--format", "npz", "--context", tmp_path / "one.npy")
    assert status == 0, out
    assert model.with_suffix(".npz").exists()
    status, _, err = run("export", model, "--format", "mps", "--context", tmp_path / "one.npy")
    assert status == 2
    assert "error:" in err
    assert not model.with_suffix(".mps").exists()


def test_export_of_images_says_what_it_wrote(run, tmp_path: Path) -> None:
    """Contexts that are images are read as they are, or flattened; a thousand cones are a count and not a list."""
    model = tmp_path / "images.safetensors"
    draw = torch.Generator().manual_seed(0)
    socicnn.save(
        ConvSOCICNN((1, 4, 4), (2,), (Conv(2),), (Conv(4, group=2),), context_channels=2, generator=draw), model
    )
    x, theta = (np.random.default_rng(seed).normal(size=(2, channels, 4, 4)) for seed, channels in ((0, 1), (1, 2)))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "flat.npy", theta.reshape(2, -1))
    np.save(tmp_path / "image.npy", theta[0])
    status, out, err = run("export", model, "--format", "cbf", "--context", tmp_path / "image.npy")
    assert status == 0, err
    said = "16 inputs, 65 further variables, 64 inequalities, 33 second-order cones"
    assert out.strip() == f"wrote {model.with_suffix('.cbf')}: {said}"
    program = read_cbf(model.with_suffix(".cbf"))
    assert program.A.shape[1] == 16 + 65
    assert len(program.cones.second_order) == 33
    words = ("verify", model, "--points", tmp_path / "x.npy", "--solver", "none", "--context")
    assert run(*words, tmp_path / "flat.npy")[0] == 0
    assert run(*words, tmp_path / "image.npy")[0] == 0
    for missing in (("export", model, "--format", "cbf"), words[:-1]):
        status, _, err = run(*missing)
        assert status == 2
        assert "needs contexts of shape (2, 4, 4); give them with --context FILE" in err
    np.save(tmp_path / "wrong.npy", theta[:, :1])
    status, _, err = run(*words, tmp_path / "wrong.npy")
    assert status == 2
    assert "contexts must have shape (2, 4, 4) per row; received shape (2, 1, 4, 4)" in err


def test_a_frozen_network_is_exported_and_verified(run, tmp_path: Path) -> None:
    """What was imported from elsewhere, quadratics inside its layers, is a model file like any other."""
    rng = np.random.default_rng(0)
    inside = Squares(np.full(4, 0.5), rng.normal(size=(8, 3)))
    net = FrozenNet([Layer(None, rng.normal(size=(4, 3)), rng.normal(size=4), inside)], Output(np.ones(4), np.zeros(3)))
    model = tmp_path / "imported.safetensors"
    net.save(model)
    np.save(tmp_path / "x.npy", rng.normal(size=(5, 3)))
    status, out, err = run("export", model, "--format", "cbf")
    assert status == 0, err
    assert "3 inputs, 8 further variables, 8 inequalities, 4 second-order cones" in out
    assert run("verify", model, "--points", tmp_path / "x.npy", "--solver", "none")[0] == 0
    status, _, err = run("export", model, "--format", "mps")
    assert status == 2
    assert "this one has 4 second-order cones" in err
    status, _, err = run("export", model, "--format", "cbf", "--context", tmp_path / "x.npy")
    assert status == 2
    assert "takes no context" in err


def test_default_branches_have_at_most_one_row_per_point(run, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(20, 300))
    np.savez(tmp_path / "wide.npz", x=x, y=(x**2).sum(axis=1))
    model = tmp_path / "wide.safetensors"
    status, out, _ = run("fit", tmp_path / "wide.npz", "--epochs", 1, "--out", model)
    assert status == 0
    assert "loss mse (there are no contexts)" in out
    network = socicnn.load(model)
    assert isinstance(network, SOCICNN)
    assert (network.quadratic, network.norm) == ((20,), (20, 20))
    assert sum(p.numel() for p in network.parameters()) < 40_000


def test_a_few_rows_of_many_columns_make_no_giant(run, tmp_path: Path) -> None:
    """Branches of n rows would have 27 million parameters here, for 20 numbers to learn from."""
    x = np.random.default_rng(0).normal(size=(20, 3000))
    np.savez(tmp_path / "wide.npz", x=x, y=np.square(x[:, 0]))
    status, out, err = run("fit", tmp_path / "wide.npz", "--epochs", 1, "--out", tmp_path / "wide.safetensors")
    assert status == 0, err
    parameters = int(out.split(".safetensors: ")[1].split(" parameters")[0])
    assert parameters < 400_000


def test_decide_over_a_set_of_ones_own(run, model: Path, context: Path, tmp_path: Path) -> None:
    """A JSON file whose right-hand side moves with the context; bounds per coordinate."""
    out_file, path = tmp_path / "x.csv", tmp_path / "set.json"
    total = {"bias": [1.0], "weight": [[0.1] * np.load(context).shape[-1]]}
    path.write_text(json.dumps({"set": "polytope", "E": [[1, 1, 1, 1]], "f": total, "lower": 0}))
    status, out, err = run("decide", model, "--set", path, "--context", context, "--out", out_file)
    assert status == 0, out + err
    theta = np.atleast_2d(np.load(context))
    with out_file.open() as stream:
        sums = [sum(float(row[f"x{i}"]) for i in range(4)) for row in csv.DictReader(stream)]
    np.testing.assert_allclose(sums, 1 + 0.1 * theta.sum(axis=1), atol=1e-9)
    bounds = ("--lower", "0,0,-1,0.5", "--upper", "1,0.25,1,1")
    assert run("decide", model, "--set", "box", *bounds, "--context", context, "--out", out_file)[0] == 0
    with out_file.open() as stream:
        assert all(float(row["x1"]) <= 0.25 and float(row["x3"]) >= 0.5 for row in csv.DictReader(stream))
    for words, message in (
        (("--set", "box", "--lower", "0,1"), "must hold 1 or 4 numbers"),
        (("--set", "box", "--lower", "a"), "numbers between commas"),
        (("--set", path, "--total", "1"), "belong to short names"),
        (("--set", tmp_path / "none.json"), "cannot be read as JSON"),
    ):
        status, _, err = run("decide", model, *words, "--context", context)
        assert (status, err.count("\n")) == (2, 1), err
        assert message in err


def test_a_network_without_contexts_over_a_set_that_moves(run, tmp_path: Path) -> None:
    network = SOCICNN(2, hidden_features=(4,), generator=torch.Generator().manual_seed(0))
    socicnn.save(network, tmp_path / "m.safetensors")
    (tmp_path / "set.json").write_text(json.dumps({"set": "ball", "radius": {"bias": 0, "weight": [1]}}))
    np.save(tmp_path / "c.npy", [[1.0], [2.0]])
    words = ("--set", tmp_path / "set.json", "--context", tmp_path / "c.npy")
    status, out, err = run("decide", tmp_path / "m.safetensors", *words)
    assert status == 0, err
    assert len(out.strip().splitlines()) == 3
