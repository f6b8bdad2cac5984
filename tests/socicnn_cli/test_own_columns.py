"""Columns of a command beside those of a user: no name stands twice, and nothing is overwritten."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from socicnn_cli._frames import read_frame


def test_columns_of_a_command_never_take_the_place_of_the_users(run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(1, 2, (60, 6)), columns=["gap", "gap_", "outside", "row", "predicted y", "theta"])
    table["y"] = (table[["gap", "row"]] ** 2).sum(axis=1)
    table.to_csv(tmp_path / "t.csv", index=False)
    out = tmp_path / "m.safetensors"
    words = ("--target", "y", "--context", "theta", "--kind", "quad", "--hidden", "", "--out", out)
    assert run("fit", tmp_path / "t.csv", *words)[0] == 0
    status, _, err = run("predict", out, tmp_path / "t.csv", "--out", tmp_path / "p.csv")
    assert status == 0
    assert "'row' to 'row_', 'predicted y' to 'predicted y_', 'outside' to 'outside_'\n" in err
    written = read_frame(tmp_path / "p.csv")  # refuses a name that stands twice
    users = ["gap", "gap_", "outside", "row", "predicted y", "theta"]
    assert list(written.columns) == ["row_", *users, "predicted y_", "outside_"]
    pd.testing.assert_frame_equal(written[users], table[users])
    entries = json.loads(run("predict", out, tmp_path / "t.csv", "--json")[1])["predictions"]
    assert entries == written.to_dict("records")
    table[["theta"]].head(2).to_csv(tmp_path / "c.csv", index=False)
    words = ("decide", out, "--set", "box", "--lower", "1.5", "--upper", "2", "--context", tmp_path / "c.csv")
    status, _, err = run(*words, "--out", tmp_path / "d.csv")
    assert status == 0, err
    assert "'gap' to 'gap__', 'outside' to 'outside_'\n" in err
    written = read_frame(tmp_path / "d.csv")
    assert list(written.columns) == [*users[:-1], "y", "gap__", "relative_gap", "outside_"]
    entries = json.loads(run(*words, "--json")[1])["decisions"]
    assert entries == written.to_dict("records")
    assert [entry["gap"] for entry in entries] == pytest.approx([1.5, 1.5], abs=1e-3)


def test_a_column_may_be_its_own_gradient(run, tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 80)
    pd.DataFrame({"x": x, "y": x**2 / 2}).to_csv(tmp_path / "t.csv", index=False)
    out = tmp_path / "m.safetensors"
    status, _, err = run("fit", tmp_path / "t.csv", "--target", "y", "--x", "x", "--gradient", "x", "--out", out)
    assert status == 0, err
