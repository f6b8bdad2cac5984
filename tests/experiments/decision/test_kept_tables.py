"""The kept tables quote relative gaps by the present scale alone; pages hold what the tables say."""

from collections import Counter
from pathlib import Path

import pytest

from experiments.decision import across, hours, ratios
from experiments.engine.options import RESULTS
from experiments.engine.store import kept
from experiments.engine.tables import markdown, read_table

TABLES = sorted(RESULTS.glob("*.csv"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_no_table_keeps_gaps_of_the_old_scale(path: Path) -> None:
    rows = read_table(path)
    assert rows
    assert "certified_gap_max" not in rows[0]
    # a share of certified decisions stands beside the gap that it was counted with
    assert all(
        row.get("relative_gap_max") not in (None, "") for row in rows if row.get("certified_share") not in (None, "")
    )


def test_our_models_of_version_1_with_seed_0_are_certified() -> None:
    rows = read_table(RESULTS / "decision_version_1.csv")
    ours = [
        row
        for row in rows
        if (row["model"], row["loss"], row["method"]) == ("soc-partial", "within_context", "certified")
    ]
    ours = [row for row in ours if row["seed"] == 0]
    assert len(ours) == 18
    assert max(float(str(row["relative_gap_max"])) for row in ours) <= 1e-6


def test_every_row_of_the_benchmark_names_its_versions() -> None:
    for path in TABLES:
        if path.stem.startswith("decision"):
            assert all({"optimiser", "training", "protocol"} <= row.keys() for row in read_table(path)), path


def test_kept_rows_of_the_benchmark_over_instances_are_what_the_code_makes_today() -> None:
    path = RESULTS / "decision_instances.csv"
    if not path.is_file():
        pytest.skip("no rows have been kept yet")
    rows = read_table(path)
    cells = across.cells(across.CONTESTS["paper"], 5, "")
    assert len(kept(cells, path)) == len(rows)
    assert hours.rendered(rows, cells) == "no cells are left"


def test_the_page_says_who_wins_as_the_kept_rows_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratios, "DRAWS", 2)  # intervals are not looked at
    rows = read_table(RESULTS / "decision_instances.csv")
    page = (RESULTS.parent.parent / "docs" / "results" / "decisions.md").read_text(encoding="utf-8")
    cells = across.cells(across.CONTESTS["paper"], 5, "")
    names = list(cells[0].key)
    done = {tuple(row[name] for name in names) for row in rows}
    missing = Counter(cell.key["n"] for cell in cells if tuple(cell.key.values()) not in done)
    wins = [row for row in ratios.verdicts(ratios.ratios(rows)) if not missing[row["n"]]]
    assert wins
    close = ("cvxpylayers", "structured-dcp", "structured-pcf")
    wins = [row for row in wins if row["ours"] == "soc-partial" or row["against"] in close]
    assert [line for line in markdown(wins).splitlines()[2:] if line not in page] == []
    assert f"{len(done)} of {len(cells)} cells" in page
    readme = (RESULTS.parent.parent / "README.md").read_text(encoding="utf-8")
    assert f"{len(done)} of {len(cells)} cells" in readme
    for other, words in (("structured-dcp", "a structured DCP"), ("cvxpylayers", "layers of cvxpylayers")):
        pairs = [row["pairs won"] for row in wins if (row["ours"], row["against"]) == ("soc-partial", other)]
        assert f"in {sum(int(str(text).split(' of ')[0]) for text in pairs)} against {words}" in readme
