"""Tables come back as they were written, to the last bit; summaries leave out what is not finite."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.engine.tables import (
    TableError,
    as_value,
    grouped,
    markdown,
    mean_and_deviation,
    parsed,
    quartiles,
    read_table,
    summary,
    write_table,
    written,
)


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.none()))
def test_values_come_back(value: int | float | bool | None) -> None:
    back = parsed(written(value))
    assert back == value
    assert type(back) is type(value)


@given(st.text(min_size=1))
def test_strings_come_back_or_are_refused(text: str) -> None:
    if parsed(text) == text:
        assert parsed(written(as_value(text, "name"))) == text
    else:
        with pytest.raises(TableError, match="'name'"):
            as_value(text, "name")


def test_scalars_of_arrays_are_taken() -> None:
    assert as_value(np.float64(0.1), "x") == 0.1
    assert type(as_value(np.int32(3), "x")) is int
    assert as_value(torch.tensor(2.5), "x") == 2.5
    with pytest.raises(TableError, match="ndarray"):
        as_value(np.zeros(1), "x")


def test_tables_come_back(tmp_path: Path) -> None:
    rows = [
        {"name": 'a, "b"\nc', "value": 0.1 + 0.2, "count": 3},
        {"name": "ü|", "value": -math.inf, "late": True},
        {"name": "plain"},
    ]
    write_table(tmp_path / "made" / "table.csv", rows)
    assert read_table(tmp_path / "made" / "table.csv") == rows
    assert (tmp_path / "made" / "table.csv").read_text().splitlines()[0] == "name,value,count,late"


def test_tables_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="run the experiment"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "torn.csv").write_text("a,b\n1\n")
    with pytest.raises(TableError, match="line 2"):
        read_table(tmp_path / "torn.csv")
    write_table(tmp_path / "empty.csv", [], first=["a"])
    assert read_table(tmp_path / "empty.csv") == []


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_quartiles_are_numpys(values: list[float]) -> None:
    assert quartiles(values) == pytest.approx(tuple(np.quantile(values, [0.25, 0.5, 0.75])), abs=1e-9)


def test_quartiles_of_nothing() -> None:
    with pytest.raises(TableError, match="no values"):
        quartiles([])


def test_summary() -> None:
    rows = [{"arm": "lift", "tv": v} for v in (0.01, 0.02, 0.03, math.nan)] + [{"arm": "exp", "tv": None}]
    assert list(grouped(rows, ["arm"])) == [("lift",), ("exp",)]
    assert summary(rows, ["arm"], ["tv"]) == [
        {"arm": "lift", "count": 4, "tv": "0.02 [0.015, 0.025]"},
        {"arm": "exp", "count": 1, "tv": "-"},
    ]
    assert summary(rows, ["arm"], ["tv"], mean_and_deviation)[0]["tv"] == "0.02 ± 0.01"


def test_markdown() -> None:
    text = markdown([{"arm": "a|b", "tv": 0.012345, "n": 10}, {"arm": "c"}], ["arm", "tv", "n"])
    assert text.splitlines() == ["| arm | tv | n |", "|---|---:|---:|", "| a\\|b | 0.0123 | 10 |", "| c |  |  |"]
