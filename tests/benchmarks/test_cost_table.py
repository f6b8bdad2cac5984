"""The committed table of costs, and the choice of `auto` held to it."""

from __future__ import annotations

import csv

import pytest

from benchmarks import cost_table
from decision._minimise.costs import BatchSize, batched_ms, exact_ms
from decision._minimise.methods import LOOSE

with cost_table.TABLE.open(newline="") as stream:
    ROWS = list(csv.DictReader(stream))


def milliseconds(row: dict[str, str], way: str) -> float:
    return float("inf") if row[way] == "-" else float(row[way])


def chosen(row: dict[str, str]) -> str:
    size = BatchSize(*(int(row[name]) for name in BatchSize._fields))
    exact = exact_ms(size, warm=row["warm"] == "1")
    return "exact" if exact < batched_ms(size, loose=float(row["rtol"]) >= LOOSE) else "interior_point"


def test_the_table_has_loose_and_tight_rows_of_every_case() -> None:
    assert {row["case"] for row in ROWS} == set(cost_table.CASES)
    assert {float(row["rtol"]) for row in ROWS} == set(cost_table.ACCURACIES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['case']}, {row['contexts']} contexts, {row['rtol']}")
def test_auto_costs_at_most_twice_the_cheapest_way(row: dict[str, str]) -> None:
    assert chosen(row) == row["auto"]  # the table is as the rule is now
    cheapest = min(milliseconds(row, way) for way in cost_table.WAYS)
    assert milliseconds(row, chosen(row)) <= 2.0 * cheapest


def test_a_row_is_measured() -> None:
    rows = cost_table.measured("soc-partial, n = 3", cost_table.dense("soc-partial", 3), (2,), 1)
    assert [row["rtol"] for row in rows] == list(cost_table.ACCURACIES)
    assert all(row["exact"] > 0 and row["interior_point"] > 0 for row in rows)
    assert rows[0]["contexts"] == 2
