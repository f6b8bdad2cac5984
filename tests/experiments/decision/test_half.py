"""Against half of every baseline: cells that are run again, the table, and what an affine family can reach."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from decision import tasks
from experiments.decision import half, half_table, limits
from experiments.decision.instances import Sizes
from experiments.decision.regrets import coded
from experiments.engine.options import RESULTS
from experiments.engine.tables import Row, read_table


def test_further_seeds_take_the_choice_of_the_first(tmp_path: Path) -> None:
    tiny = replace(half.PRESETS["tiny"], plan=(("simplex_logistic", 3, ("structured-dcp",)),))
    (first,) = half.cells(tiny, [], str(tmp_path))
    again, second = half.cells(tiny, [{**first.key, "configuration": 4}], str(tmp_path))
    assert again.fingerprint == first.fingerprint
    assert (first.key["instance"], first.key["seed"], second.key["seed"]) == (0, 0, 1)
    (row,) = second.job(**second.key, **second.settings, **second.places)
    assert (row["configuration"], row["labels"]) == (4, 40 * 6)  # nothing was tried
    (file,) = tmp_path.glob("*-structured-dcp-*")
    (other,) = second.job(**{**second.key, "seed": 2}, **second.settings, **second.places)
    assert other["regret_mean"] != row["regret_mean"]
    assert len(list(tmp_path.glob("*-structured-dcp-*"))) == 2  # a model of each seed
    assert file.is_file()


def test_kept_rows_are_what_the_code_makes_today_and_the_page_shows_them() -> None:
    kept = half.kept_rows(half.PRESETS["paper"], half.KEPT, "")
    assert len(kept) == len(read_table(half.KEPT))
    page = half.PAGE.path.read_text(encoding="utf-8")
    assert half.PAGE.filled(page, half_table.rendered(kept, RESULTS)) == page


def test_todays_figures_count_for_what_was_run_again() -> None:
    cell: Row = {"task": "a", "n": 10}

    def old(model: str, mean: float, **more: str) -> Row:
        return {**cell, "model": model, "loss": "l", "seed": 0, "regret_mean": mean, "regret_median": mean, **more}

    fresh = [old("soc-partial", 3.0), old("structured-dcp", 4.0)]
    tested = [old("structured-dcp", 2.0, method="exact"), old("lpcf", 9.0, method="exact")]
    tested += [old("lpcf", 7.0, method="certified"), old("soc-partial", 1.0, method="certified")]
    (row,) = half_table.table([], fresh, tested)
    assert (row["ours"], row["mean"]) == ("soc-partial, version 1", 3.0)  # on fresh contexts alone
    assert (row["closest baseline"], row["its mean"], row["half"]) == ("structured-dcp, version 1", 4.0, "NO")
    run: list[Row] = [
        {**cell, "model": "structured-dcp", "regrets": coded(torch.tensor([7.0, 9.0]))},
        {**cell, "model": "smooth-partial", "regrets": coded(torch.tensor([1.0, 2.0, float("nan")]))},
    ]
    (row,) = half_table.table(run, fresh, tested)
    assert (row["ours"], row["closest baseline"]) == ("smooth-partial", "lpcf, version 1, test contexts")
    assert (row["its mean"], row["its 95 %"], row["half"]) == (7.0, "-", "yes")
    assert float(str(row["mean"])) == pytest.approx(1.5, rel=1e-3)


def test_every_baseline_has_its_ratio_and_old_figures_have_a_star() -> None:
    cell: Row = {"task": "a", "n": 10, "loss": "l", "seed": 0, "regret_median": 1.0, "method": "certified"}
    fresh: list[Row] = [{**cell, "model": "soc-partial", "regret_mean": 2.0}]
    before: list[Row] = [{**cell, "model": "lpcf", "regret_mean": 9.0}]
    before += [{**cell, "model": f"{kind}-joint", "regret_mean": mean} for kind, mean in (("soc", 8.0), ("relu", 6.0))]
    run: list[Row] = [{**cell, "model": "cvxpylayers", "regrets": coded(torch.tensor([3.0, 5.0]))}]
    (row,) = half_table.every(run, fresh, before)
    assert row == {"task": "a", "n": 10, "cvxpylayers": "2", "lpcf": "4.5 *", "joint": "3 *"}


def test_what_was_close_in_version_1_was_run_again() -> None:
    kept = half.kept_rows(half.PRESETS["paper"], half.KEPT, "")
    sources = (read_table(RESULTS / name) for name in ("decision_version_1.fresh.csv", "decision_version_1.csv"))
    rows = half_table.every(kept, *sources)
    old = [float(str(value).split()[0]) for row in rows for value in row.values() if str(value).endswith("*")]
    assert len(rows) == 18
    assert min(old) >= 6


@pytest.mark.extra
def test_a_layer_of_cvxpylayers_takes_the_choice_of_the_first_seed(tmp_path: Path) -> None:
    pytest.importorskip("cvxpylayers")
    tiny = replace(half.PRESETS["tiny"], plan=(("budget_huber", 3, ("cvxpylayers",)),))
    (first,) = half.cells(tiny, [], str(tmp_path))
    _, second = half.cells(tiny, [{**first.key, "configuration": 4}], str(tmp_path))
    (row,) = second.job(**second.key, **second.settings)
    assert (row["configuration"], row["contexts"]) == (4, 12)
    assert row["labels"] == 40 * 6 + 10 * 2  # nothing was tried


def test_labels_are_halved_and_no_more_than_all_are_spent(tmp_path: Path) -> None:
    tiny = replace(half.PRESETS["tiny"], plan=(("budget_twocone_socp", 3, ("balanced-partial",)),))
    tiny = replace(tiny, sizes=replace(tiny.sizes, contexts=60, candidates=8))
    (first,) = half.cells(tiny, [], str(tmp_path))
    (row,) = first.job(**first.key, **first.settings)
    tried = (5 + 3) * tiny.sizes.tuning
    assert 0.9 * 60 * 8 < int(str(row["labels"])) - tried <= 60 * 8
    _, second = half.cells(tiny, [{**first.key, "configuration": row["configuration"]}], str(tmp_path))
    (other,) = second.job(**second.key, **second.settings)
    assert 0.9 * 60 * 8 < int(str(other["labels"])) <= 60 * 8
    assert other["regret_mean"] != row["regret_mean"]


def test_an_affine_task_is_its_own_limit(capsys: pytest.CaptureFixture[str]) -> None:
    small = Sizes(contexts=30, candidates=2, tests=2, tuning=2)
    task = tasks.make("simplex_logistic", features=3, seed=0)
    arrays = tasks.task_arrays(task)
    arrays["M"] = 0 * arrays["M"]
    still = tasks.from_arrays(task.name, arrays)
    theta = still.sample_contexts(30, seed=1)
    x = still.feasible_set.sample(30, torch.Generator().manual_seed(0))
    assert torch.allclose(limits.affine(still, theta).cost(x, theta), still.cost(x, theta), rtol=1e-10)
    drawn = limits.Instance.of("box_logsumexp", 3, small)  # its centre has kinks where it is clipped
    assert limits.limit(drawn, 20)["mean"] > 1e-6  # type: ignore[operator]  # a number
    limits.main(["--tasks", "box_logsumexp:3", "--contenders", "structured-dcp:0", "--shares", "0.01"], small, 20)
    assert "| box_logsumexp | 3 | structured-dcp:0 | 0.01 |" in capsys.readouterr().out
