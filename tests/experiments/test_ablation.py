"""The ablation on its small preset: a row an option and seed, labels counted, kept networks, the rendered table."""

from pathlib import Path

import pytest

from decision.tasks import make
from experiments.ablation import OPTIONS, PRESETS, WAYS, Setting, cells, main, rendered
from experiments.engine.tables import read_table

SIZES = PRESETS["tiny"].sizes
LABELS = SIZES.contexts * SIZES.candidates


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # the networks go to out/
        main(["--preset", "tiny", "--only", "seed=0"])
    return folder / "out" / "ablation-tiny.csv"


def test_a_row_an_option_with_its_labels(table: Path) -> None:
    rows = {row["option"]: row for row in read_table(table)}
    assert list(rows) == list(OPTIONS) == list(WAYS)
    decided = SIZES.steps * 36  # a fine-tuning step takes all 36 contexts that are not held out
    extra = {"active": 2 * 40 * (1 + SIZES.near), "focused": decided * (1 + 3) + 2 * 4}
    for option, row in rows.items():
        assert row["labels"] == LABELS + extra.get(str(option), 0)
        assert 0 <= row["regret_median"] <= row["regret_max"]
        assert row["regret_mean"] <= row["regret_max"]
        assert row["relative_gap_max"] < 1e-4
        assert row["train_s"] > 0
        assert row["within_context_error"] > 0
    assert len({row["regret_mean"] for row in rows.values()}) > 6
    later = ("longer", "active", "average", "polish")  # their times include the first training, although it was read
    assert all(rows[option]["train_s"] > rows["uniform"]["train_s"] for option in later)


def test_first_trainings_are_kept_and_read(table: Path) -> None:
    kept = sorted(path.name for path in (table.parent / "ablation-tiny.models").iterdir())
    # uniform with this seed and the ensemble's other one, two samplers, and the fewer candidates of active-within
    assert len(kept) == 5
    given = Setting(make("box_socp", features=3, seed=2026), 0, SIZES, table.parent / "ablation-tiny.models")
    one, two = given.trained(given.data()), given.trained(given.data())
    assert all((a == b).all() for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert given.first > given.passed > 0


def test_the_rendered_table(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--preset", "tiny", "--out", str(table), "--render"])
    text = capsys.readouterr().out
    assert text.strip() == rendered(read_table(table))
    assert "**box_socp, n = 3**" in text
    assert sum(line.startswith("| ") for line in text.splitlines()) == 1 + len(OPTIONS)


def test_the_paper_preset_covers_what_the_page_says() -> None:
    found = cells(PRESETS["paper"], Path("out"))
    assert {cell.key["option"] for cell in found} == set(OPTIONS)
    assert {(cell.key["task"], cell.key["n"]) for cell in found} >= {("box_socp", 10), ("budget_huber", 10)}
