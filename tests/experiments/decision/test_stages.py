"""The decision benchmark at its tiny preset: every stage, in parts and at once, gives the same table."""

import math
from pathlib import Path

import pytest

from experiments.decision import models as decision_models
from experiments.decision import stages as decision
from experiments.decision import versions
from experiments.decision.tables import COLUMNS, bars, fresh_text, losses, missing, overtaken_text, passes, rendered
from experiments.engine.tables import Row, read_table

TIMES = {"decide_cpu_s", "train_s", "decide_ms_1", "decide_ms_200", "seconds"}
ARGUMENTS = ["--preset", "tiny", "--only", "task=simplex_socp", "model=soc-partial,relu-joint"]


def untimed(path: Path) -> list[Row]:
    return [{column: value for column, value in row.items() if column not in TIMES} for row in read_table(path)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "decision.csv"
    decision.main([*ARGUMENTS, "--out", str(out)])
    return out


def test_every_stage_leaves_its_table_and_the_plots(table: Path) -> None:
    rows = read_table(table)
    assert {row["method"] for row in rows} == {"seed-steps", "certified", "exact"}
    assert {(row["model"], row["loss"]) for row in rows} == {("relu-joint", "seed"), ("soc-partial", "within_context")}
    assert set(COLUMNS) <= set(rows[0])
    for row in rows:
        assert float(row["regret_mean"]) >= -1e-6
        assert float(row["infeasibility"]) <= 1e-9
        assert row["method"] == "seed-steps" or float(row["relative_gap_max"]) <= 1e-5
        assert float(row["train_s"]) > 0
        assert float(row["decide_ms_200"]) > 0
        # the split: regret = optimiser's part + surrogate's part
        assert math.isclose(
            float(row["regret_mean"]), float(row["regret_optimiser"]) + float(row["regret_surrogate"]), abs_tol=1e-9
        )
    labels = {row["model"]: row["labels"] for row in rows}
    # 40 contexts of 6 candidates; and of the tuned model one label a validation context and configuration tried
    tries = decision_models.TRIES + decision.FINALISTS
    assert labels == {"relu-joint": 240, "soc-partial": 240 + tries * 4}
    assert {path.name for path in table.parent.glob("*.png")} >= {"decision_time.png", "decision_parameters.png"}
    fresh = read_table(table.with_suffix(".fresh.csv"))
    assert {row["model"] for row in fresh} == {"soc-partial"}  # the one that was trained within contexts
    assert all(row["contexts"] == 6 and float(row["regret_mean"]) >= -1e-6 for row in fresh)
    assert "structured-dcp" in table.with_suffix(".md").read_text(encoding="utf-8")  # among the missing cells


def test_a_run_in_parts_gives_the_same_table(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "decision.csv"
    for stage in ("tune", "final", "fit", "fit", "fresh", "time", "table"):
        part = ["seed=0"] if stage == "fit" and not out.with_suffix(".runs.csv").is_file() else []
        decision.main([*ARGUMENTS, *part, "--stage", stage, "--out", str(out)])
    assert untimed(out) == untimed(table)


def test_a_model_that_was_not_tuned_is_recorded_as_failed(tmp_path: Path) -> None:
    out = tmp_path / "decision.csv"
    decision.main(["--preset", "tiny", "--only", "task=simplex_socp", "model=soc-partial", "seed=0", "--stage", "fit",
                   "--out", str(out)])  # fmt: skip
    failures = read_table(out.with_suffix(".runs.failures.csv"))
    assert "--stage tune" in str(failures[0]["error"])


def test_every_model_has_the_same_tuning_budget() -> None:
    for n in (10, 20, 50):
        for name in decision_models.NAMES:
            given = decision_models.configurations(name, n)
            assert len(given) == decision_models.TRIES
            assert len({str(entry) for entry in given}) == decision_models.TRIES


def test_bars_are_judged_and_missing_cells_named() -> None:
    row: Row = {"seed / ours": 25.0, "converged / ours": 6.0, "structured-pcf / ours": 2.0}
    row |= {"structured-dcp / ours": 1.5, "lpcf / ours": 3.0, "cvxpylayers / ours": 2.0}
    assert passes(row) is True
    assert passes({**row, "seed / ours": 19.0}) is False
    assert passes({**row, "lpcf / ours": 0.9}) is False
    assert passes({**row, "lpcf / ours": math.nan}) is None
    cells = [{"task": "a", "n": n, "model": "m", "loss": "seed", "seed": 0} for n in (10, 20)]
    text = missing([{**cells[0], "regret_mean": 0.1}], cells)
    assert "1 of 2 cells" in text
    assert "m, loss seed: seed 0, a at n = 20" in text
    assert missing([], []) == ""
    cells = [
        {"task": task, "n": 10, "model": "m", "loss": "seed", "seed": seed} for task in ("a", "b") for seed in (0, 1)
    ]
    assert "- m, loss seed: seeds 0, 1, every task at n = 10" in missing([], cells)
    text = missing([cells[0]], cells)
    assert "- m, loss seed: seed 1, every task at n = 10\n- m, loss seed: seed 0, b at n = 10" in text


def test_a_lucky_seed_alone_does_not_stand_for_a_model() -> None:
    key: Row = {"task": "a", "n": 10, "loss": "within_context", "method": "certified"}
    rows: list[Row] = [{**key, "model": "soc-partial", "seed": seed, "regret_mean": 0.2} for seed in range(3)]
    rows.append({**key, "model": "relu-partial", "seed": 0, "regret_mean": 0.1})
    (row,) = bars(rows)
    assert (row["model"], row["ours"], row["seeds"]) == ("soc-partial", pytest.approx(0.2), "3 : 0")
    rows += [{**rows[-1], "seed": seed} for seed in (1, 2)]
    assert bars(rows)[0]["model"] == "relu-partial"


def test_tables_show_the_ranking_before_and_after() -> None:
    rows: list[Row] = [
        {"task": "a", "n": 10, "model": model, "loss": "seed", "method": method, "seed": 0, "regret_mean": regret}
        for model, pair in {"soc-joint": (0.2, 0.02), "structured-pcf": (0.1, 0.05)}.items()
        for method, regret in zip(("seed-steps", "certified"), pair, strict=True)
    ]
    text = rendered(rows, [], [])
    assert "0.2 → 0.02" in text
    assert "structured-pcf → soc-joint" in text
    assert "0 of 0" in text  # without Quad nothing is counted


def test_who_overtakes_is_counted_by_cells_and_by_seeds() -> None:
    regrets = {"soc-joint": (0.2, 0.02, 0.09), "quad-joint": (0.3, 0.06, 0.2), "structured-pcf": (0.1, 0.05, 0.08)}
    rows: list[Row] = [
        {"task": "a", "n": 10, "model": model, "loss": "seed", "method": method, "seed": seed, "regret_mean": regret}
        for model, three in regrets.items()
        for method, seed, regret in zip(("seed-steps", "certified", "certified"), (0, 0, 1), three, strict=True)
    ]
    text = overtaken_text(rows)
    assert "| seed-steps | 0 of 1 | 0 of 1 |" in text
    assert "| certified | 1 of 1 | 1 of 2 |" in text
    assert "| certified | 1 of 1 | 1 of 1 |" in overtaken_text([row for row in rows if row["seed"] == 0])


def test_an_unknown_choice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="model=soc-partal; there are"):
        decision.main(["--preset", "tiny", "--only", "model=soc-partal", "--out", str(tmp_path / "d.csv")])
    with pytest.raises(SystemExit, match="no column 'colour'"):
        decision.main(["--preset", "tiny", "--only", "colour=red", "--out", str(tmp_path / "d.csv")])


def test_times_can_be_taken_where_the_models_are_gone(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "decision.csv"
    for suffix in (".tuning.csv", ".finals.csv", ".runs.csv"):
        out.with_suffix(suffix).write_bytes(table.with_suffix(suffix).read_bytes())
    decision.main([*ARGUMENTS, "--stage", "time", "fresh", "--out", str(out)])
    assert len(read_table(out.with_suffix(".timings.csv"))) == len(read_table(table.with_suffix(".timings.csv")))
    assert untimed(out.with_suffix(".fresh.csv")) == untimed(table.with_suffix(".fresh.csv"))


def test_the_better_finalist_in_full_training_is_chosen() -> None:
    key: Row = {"task": "a", "n": 3, "model": "m", "loss": "within_context"}

    def rows(costs: dict[int, float]) -> list[Row]:
        return [{**key, "configuration": number, "validation_cost": cost} for number, cost in costs.items()]

    tuning = rows({0: 3.0, 1: 1.0, 2: 2.0, 3: 5.0, 4: 4.0})  # 1, 2 and 0 are trained in full
    assert decision.chosen(tuning, rows({0: 0.7, 1: 0.9, 2: 0.6})) == {tuple(key.values()): 2}
    # one finalist is still to be trained; one row is of an earlier tuning
    assert decision.chosen(tuning, rows({0: 0.7, 1: 0.9})) == {}
    assert decision.chosen(tuning, rows({0: 0.7, 1: 0.9, 4: 0.1})) == {}
    assert decision.chosen(tuning[:4], rows({0: 0.7, 1: 0.9, 2: 0.6})) == {}


def test_kept_rows_of_another_version_are_said_and_left_out(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "decision.csv"
    for suffix in (".tuning.csv", ".finals.csv", ".runs.csv"):
        out.with_suffix(suffix).write_bytes(table.with_suffix(suffix).read_bytes())
    decision.main([*ARGUMENTS, "--table", "--out", str(out)])
    assert "left out" not in capsys.readouterr().out
    assert out.is_file()
    out.unlink()
    monkeypatch.setattr(versions, "PROTOCOL", versions.PROTOCOL + 1)
    decision.main([*ARGUMENTS, "--table", "--out", str(out)])
    assert "12 rows of other settings or versions are left out" in capsys.readouterr().out
    assert not out.is_file()


def test_a_finalist_is_not_trained_again(table: Path) -> None:
    kept = table.with_suffix(".models") / "finalists"
    assert len(list(kept.iterdir())) == decision.FINALISTS


def test_losses_are_compared_at_the_same_cells_and_seeds() -> None:
    def row(task: str, loss: str, seed: int, regret: float, method: str = "certified") -> Row:
        return {"task": task, "n": 3, "model": "m", "loss": loss, "method": method, "seed": seed, "regret_mean": regret}

    rows = [row("a", "seed", 0, 0.8), row("a", "seed", 1, 9.0), row("a", "within_context", 0, 0.1)]
    rows += [row("b", "seed", 0, 0.2), row("b", "within_context", 0, 0.1), row("c", "seed", 0, 0.5)]
    rows += [row("a", "seed", 0, 5.0, "seed-steps")]
    (found,) = losses(rows)
    assert found["cells"] == 2
    assert [found[name] for name in ("mean", "least", "most")] == pytest.approx([4.0, 2.0, 8.0])
    assert "| m | 2 | 4 | 2 | 8 |" in rendered(rows, [], [])


def test_a_comparison_that_is_whole_is_judged() -> None:
    def row(model: str, loss: str, method: str, regret: float) -> Row:
        return {"task": "a", "n": 3, "model": model, "loss": loss, "method": method, "seed": 0, "regret_mean": regret}

    ours = row("soc-partial", "within_context", "certified", 0.01)
    others = [row("soc-joint", "seed", "seed-steps", 0.5), row("soc-joint", "seed", "certified", 0.1)]
    names = ("structured-pcf", "structured-dcp", "lpcf", "cvxpylayers")
    others += [row(name, "within_context", "certified", 0.02) for name in names]
    assert "| met |" in rendered([ours, *others], [], [])
    assert "| MISSED |" in rendered([{**ours, "regret_mean": 0.03}, *others], [], [])
    assert "| incomplete |" in rendered([ours, *others[:-1]], [], [])


def test_fresh_contexts_stand_beside_the_test_contexts() -> None:
    shared: Row = {"task": "a", "n": 3, "loss": "within_context", "parameters": 5, "labels": 10}
    ours = [{**shared, "model": "soc-partial", "method": "certified", "seed": s, "regret_mean": 0.01} for s in (0, 1)]
    dcp: Row = {**shared, "model": "structured-dcp", "method": "certified", "seed": 0, "regret_mean": 0.03}
    found = {"task": "a", "n": 3, "model": "soc-partial", "loss": "within_context", "seed": 1, "contexts": 7}
    text = fresh_text([*ours, dcp], [{**found, "regret_mean": 0.02}])
    assert "| a | 3 | soc-partial | 1 | 7 | 0.01 | 0.02 | 2.00 | 1.50 |" in text
    assert not fresh_text([*ours, dcp], [])
