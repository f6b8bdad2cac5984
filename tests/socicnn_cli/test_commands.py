"""The command as a user types it: outputs, exit statuses, and one line for everything that is wrong."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import socicnn
from socicnn import SOCICNN
from socicnn.conic.export._cbf import read_cbf
from socicnn.frozen import FrozenNet, Layer, Output, Squares
from socicnn.nn import Conv, ConvSOCICNN
from socicnn_cli import main
from verify.check import check


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Run `socicnn` with these words; return exit status, output and errors."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["socicnn", *map(str, words)])
        status = 0
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "cost.safetensors"
    network = SOCICNN(4, hidden_features=(8,), context_features=2, generator=torch.Generator().manual_seed(0))
    socicnn.save(network, path)
    return path


@pytest.fixture
def context(tmp_path: Path) -> Path:
    np.save(tmp_path / "contexts.npy", np.random.default_rng(1).normal(size=(3, 2)))
    return tmp_path / "contexts.npy"


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


def test_a_wrong_network_gives_status_1(run, model: Path, context: Path, tmp_path: Path, monkeypatch) -> None:
    from socicnn.conic._builder import Builder

    honest = Builder.affine
    monkeypatch.setattr(Builder, "affine", lambda self, d, r: honest(self, d, r + 1.0))
    np.save(tmp_path / "points.npy", np.zeros((3, 4)))
    status, out, _ = run("verify", model, "--points", tmp_path / "points.npy", "--context", context, "--solver", "none")
    assert status == 1, out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "absent.csv", "--out", "m.safetensors"], "no file absent.csv"),
        (["fit", "nan.csv", "--out", "m.safetensors"], "NaN or infinite, the first in row 1"),
        (["fit", "good.csv", "--out", "nowhere/m.safetensors"], "folder nowhere does not exist"),
        (["fit", "good.csv", "--out", "m.safetensors", "--set", "ball"], "ball"),
        (["fit", "good.csv", "--out", "m.safetensors", "--set", "simplex"], "violate the simplex"),
        (["fit", "good.csv", "--out", "m.safetensors", "--hidden", "big"], "--hidden takes whole numbers"),
        (["fit", "good.csv", "--out", "m.safetensors", "--loss", "fancy"], "fancy"),
        (["fit", "good.csv", "--out", "m.safetensors", "--loss", "within_context"], "use --loss mse"),
        (["verify", "absent.safetensors", "--points", "good.csv"], "no file absent.safetensors"),
        (["verify", "foreign.safetensors", "--points", "good.csv"], "foreign.safetensors"),
        (["verify", "cost.safetensors", "--points", "good.csv"], "needs contexts of 2 entries"),
        (
            ["verify", "cost.safetensors", "--points", "good.csv", "--context", "contexts.npy"],
            "3 contexts for 4 points",
        ),
        (["decide", "cost.safetensors", "--set", "budget", "--context", "contexts.npy"], "give it with --total"),
        (
            ["decide", "cost.safetensors", "--set", "simplex", "--total", "1", "--context", "contexts.npy"],
            "--total does",
        ),
        (["decide", "cost.safetensors", "--set", "hull", "--context", "contexts.npy"], "hull"),
        (["decide", "cost.safetensors", "--set", "budget", "--total", "9", "--context", "contexts.npy"], "9"),
        (["decide", "cost.safetensors", "--set", "simplex", "--context", "contexts.npy", "--method", "m"], "'m'"),
        (["decide", "cost.safetensors", "--set", "simplex", "--context", "good.csv"], "no columns theta0"),
        (["fit", "good.csv", "--out", "m.safetensors", "--epochs", "0"], "epochs must be an integer >= 1; received 0"),
        (["fit", "good.csv", "--out", "m.safetensors", "--seed", "-1"], "Invalid value for '--seed'"),
        (["fit", "good.csv", "--out", "m.safetensors", "--hidden", "999999999999"], "received '999999999999'"),
        (["fit", "good.csv", "--out", "m.safetensors", "--lower", "0"], "name it with --set"),
        (["fit", "good.csv", "--out", "m.pt"], "--out must end in .safetensors; received m.pt"),
        (["fit"], "Missing argument 'data'. Run `socicnn fit --help`"),
        (["fit", "twice.csv", "--out", "m.safetensors"], "several columns x0"),
        (["fit", "good.csv", "--out", "m.safetensors", "--checkpoint", "good.csv"], "would overwrite a file that is"),
        (
            ["fit", "good.csv", "--out", "m.safetensors", "--checkpoint", "m.safetensors"],
            "--out m.safetensors would overwrite a file that is read",
        ),
        (
            ["verify", "cost.safetensors", "--points", "one.npy", "--context", "one.npy", "--json", "./one.npy"],
            "--json one.npy would overwrite a file that is read; give it another name",
        ),
        (["verify", "cost.safetensors", "--points", "one.npy", "--json", "."], "is a folder"),
        (
            ["decide", "cost.safetensors", "--set", "simplex", "--context", "one.npy", "--out", "x.xlsx"],
            "--out must end in .csv",
        ),
        (["export", "cost.safetensors", "--format", "cbf", "--context", "one.npy", "--out", "c.mps"], "end in .cbf"),
        (["demo", "--out", "good.csv"], "good.csv is a file"),
        (["export", "cost.safetensors", "--format", "docx", "--context", "one.npy"], "docx"),
        (["export", "cost.safetensors", "--format", "npz", "--context", "contexts.npy"], "keep one row"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(
    run, model: Path, context: Path, tmp_path: Path, monkeypatch, words, message
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("one.npy", np.zeros((1, 2)))
    Path("good.csv").write_text("x0,x1,y\n0.1,0.2,1\n0.3,0.4,2\n0.5,0.1,1\n0.2,0.2,0\n")
    Path("nan.csv").write_text("x0,y\n0,1\n1,nan\n")
    Path("twice.csv").write_text("x0,x0,y\n0,1,2\n1,1,3\n")
    Path("foreign.safetensors").write_text("not a model")
    before = set(tmp_path.iterdir())
    status, out, err = run(*words)
    assert status == 2, out + err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1
    assert message in err
    assert "Traceback" not in err
    assert set(tmp_path.iterdir()) == before


def test_an_unknown_command_or_option_is_refused_in_one_line(run) -> None:
    for words in (("conquer",), ("verify", "m", "--point", "p")):
        status, _, err = run(*words)
        assert status == 2
        assert err.startswith("error: No such ")
        assert len(err.strip().splitlines()) == 1


def test_help_is_what_no_command_gives(run) -> None:
    status, out, _ = run()
    assert status == 0
    assert "verify" in out


def test_a_gap_that_is_missed_gives_status_1(run, model: Path, context: Path) -> None:
    words = ("decide", model, "--set", "simplex", "--context", context)
    assert run(*words)[0] == 0
    status, _, err = run(*words, "--rtol", "1e-20")
    assert status == 1
    assert "not certified" in err
    status, _, err = run(*words, "--gap", "1e-3")
    assert status == 0
    assert err.startswith("warning: --gap is now --rtol\n")
    assert run(*words, "--rtol", "1e-20", "--atol", "10")[0] == 0


def test_a_key_that_stops_it_is_said(run, model: Path, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("decision.decide", stopped)
    status, _, err = run("decide", model, "--set", "simplex", "--context", context)
    assert status == 130
    assert err.strip() == "stopped; finished files are whole, nothing else was written"


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
