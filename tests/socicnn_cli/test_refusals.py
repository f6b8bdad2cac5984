"""What is wrong is one line on the error stream, and status 2; other ends have statuses of their own."""

from pathlib import Path

import numpy as np
import pytest


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
        (["fit", "twice.csv", "--out", "m.safetensors"], "several columns 'x0'"),
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
        (
            ["decide", "cost.safetensors", "--set", "bxo", "--context", "one.npy"],
            "(did you mean 'box'?); there are: box, budget, simplex, and files whose names end in .json",
        ),
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
    assert message.lower() in err.lower()  # click writes the name of an argument in either case
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
