"""Scores that are not defined: `-` in text, null in JSON and in the file of the model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import decision
from socicnn.nn import load_metadata
from socicnn_cli._scores import better, scores


def strict(text: str) -> dict:
    """Read JSON as other languages do: without NaN and Infinity."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_a_constant_target_has_no_r2_and_the_model_is_kept(run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(size=(60, 2)), columns=["a", "b"]).assign(y=0.1)
    table.loc[np.random.default_rng(0).permutation(60)[-1], "y"] = 1.0  # a row that is not held out
    table.to_csv(tmp_path / "rare.csv", index=False)
    out = tmp_path / "rare.safetensors"
    words = ("fit", tmp_path / "rare.csv", "--target", "y", "--kind", "quad", "--hidden", "", "--out", out)
    status, text, err = run(*words)
    assert status == 0, err
    assert [line.split()[-2] for line in text.splitlines() if line.startswith(("mean", "max-affine"))] == ["-", "-"]
    assert strict(run(*words, "--json")[1])["scores"]["this model"]["R2"] is None
    assert load_metadata(out)["report"]["scores"]["mean"]["R2"] is None
    assert any(line.split()[:2] == ["mean", "-"] for line in run("info", out)[1].splitlines())
    assert strict(run("info", out, "--json")[1])["metadata"]["report"]["scores"]["mean"]["R2"] is None
    table[table["y"] < 1].to_csv(tmp_path / "flat.csv", index=False)
    facts = strict(run("evaluate", out, tmp_path / "flat.csv", "--json")[1])
    assert facts["R2"] is None
    assert facts["RMSE"] >= 0
    assert "y: R2 -, RMSE 0." in run("evaluate", out, tmp_path / "flat.csv")[1]


def test_scores_of_any_size_are_numbers_or_none() -> None:
    y = np.array([1.0, 2.0, 4.0])
    error = np.array([0.5, -0.5, 0.0])
    plain = scores(y + error, y)
    assert plain["R2"] == pytest.approx(1 - 0.5 / (14 / 3))
    for size in (2.0**600, 2.0**-600):  # squares would overflow, or vanish
        sized = scores(size * (y + error), size * y)
        assert sized["R2"] == pytest.approx(plain["R2"])
        assert sized["RMSE"] == pytest.approx(size * plain["RMSE"], rel=1e-12)
    assert scores(y, np.full(3, 0.1))["R2"] is None  # the mean of 0.1, 0.1, 0.1 is not 0.1
    assert set(scores(np.full(3, np.inf), y).values()) == {None}
    rows = {"this model": plain, "broken": scores(np.full(3, np.inf), y), "exact": scores(y, y)}
    assert better(rows, "this model") == ["exact"]
    assert better(rows, "broken") == ["exact", "this model"]


def test_json_has_null_for_what_is_not_finite(run, model: Path, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = decision.decide
    unproven = torch.full((3,), torch.inf, dtype=torch.float64)
    monkeypatch.setattr(decision, "decide", lambda *a, **k: replace(whole(*a, **k), gap=unproven))
    status, text, _ = run("decide", model, "--set", "simplex", "--context", context, "--json")
    assert status == 1
    facts = strict(text)
    assert facts["certified"] == [False] * 3
    assert facts["decisions"][0]["gap"] is None
    assert facts["largest_relative_gap"] is None
