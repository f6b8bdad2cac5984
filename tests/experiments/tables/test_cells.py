"""The ten tables are what they say, ranks are ties within one standard error, and the tiny run finishes."""

from pathlib import Path

import numpy as np
import pytest

from experiments.engine.tables import Row, read_table
from experiments.tables import cells as tables
from experiments.tables.data import LAWS, NAMES, load
from experiments.tables.models import MODELS
from experiments.tables.ranks import ranks, summary


@pytest.mark.parametrize("name", LAWS)
def test_the_truth_of_a_law_is_convex_and_increases_where_it_says(name: str) -> None:
    law, columns, monotone = LAWS[name]
    x, other = np.random.default_rng(5).normal(size=(2, 40, columns))
    at = [law(points, np.random.default_rng(1)) for points in (x, other, (x + other) / 2, x + 0.3)]
    assert (at[2] <= (at[0] + at[1]) / 2 + 1e-8 * np.ptp(at[0])).all()
    assert not monotone or (at[3] >= at[0] - 1e-8 * np.ptp(at[0])).all()


def test_there_are_ten_tables_and_five_folds_of_every_model() -> None:
    assert len(NAMES) == 10
    assert len(tables.cells("paper")) == 10 * 5 * len(MODELS)
    assert load("diabetes").X.shape == (442, 10)


def test_ranks_are_tied_within_one_standard_error() -> None:
    scores = {"best": {0: 0.9, 1: 0.9, 2: 0.9}, "tied": {0: 0.95, 1: 0.8, 2: 0.9}, "last": {0: 0.5, 1: 0.6, 2: 0.4}}
    assert ranks(scores) == {"best": 1, "tied": 1, "last": 3}


def test_our_other_kinds_count_in_no_rank_but_their_own() -> None:
    folds = lambda *values: dict(enumerate(values))  # noqa: E731 (short)
    scores = {"socicnn stacked": folds(0.8, 0.8), "socicnn quad": folds(0.9, 0.9), "ridge": folds(0.7, 0.7)}
    assert ranks(scores) == {"socicnn stacked": 1, "socicnn quad": 1, "ridge": 2}


def test_a_model_of_two_folds_has_no_rank() -> None:
    scores = {"whole": [0.5, 0.6, 0.4], "early": [0.9, 0.9]}
    rows: list[Row] = [
        {"table": "t", "model": model, "fold": fold, "r2": r2, "seconds": 1.0}
        for model, own in scores.items()
        for fold, r2 in enumerate(own)
    ]
    assert "| t | whole | 0.500 | 1 | 1.00 | 3 |" in summary(rows)
    assert "| t | early | 0.900 | - | 1.00 | 2 |" in summary(rows)


def test_the_tiny_run_finishes_and_is_summed_up(tmp_path: Path) -> None:
    out = tmp_path / "tables.csv"
    tables.main(["--preset", "tiny", "--out", str(out)])
    rows = read_table(out)
    assert len(rows) == 2 * 3 * 2
    assert all(row["seconds"] >= 0 and row["r2"] <= 1 for row in rows)
    assert "| monotone | ridge |" in summary(rows)
