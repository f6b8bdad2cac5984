"""The benchmark over instances at its tiny preset: the table, rows of other versions, and what ratios are."""

from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.decision import across, contest, courses, hours, models, ratios, stages, versions
from experiments.decision.courses import Course, InstanceFiles, train_courses
from experiments.decision.deciding import decide_all
from experiments.decision.instances import FRESH, TRAIN, Instance, Sizes
from experiments.decision.regrets import coded
from experiments.engine.tables import Row, read_table
from socicnn.errors import ModelError

ARGUMENTS = ["--preset", "tiny", "--instances", "2"]
ONLY = ["--only", "task=simplex_socp", "model=soc-partial,structured-dcp"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("instances") / "decision_instances.csv"
    stages.main([*ARGUMENTS, *ONLY, "--out", str(out)])
    return out


def test_every_contender_has_a_row_per_instance(table: Path) -> None:
    rows = read_table(table)
    assert [(row["instance"], row["model"]) for row in rows] == [
        (instance, model) for instance in (1, 2) for model in ("soc-partial", "structured-dcp")
    ]
    for row in rows:
        assert (row["contexts"], row["failed"], row["certified_share"]) == (12, 0, 1.0)
        assert float(str(row["relative_gap_max"])) <= 1e-6
        assert {name: row[name] for name in versions.bound()} == versions.bound()
        assert "clarabel" in str(row["packages"])
    assert rows[0]["regret_mean"] != rows[2]["regret_mean"]


def test_the_table_comes_from_kept_rows_alone(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / table.name
    out.write_bytes(table.read_bytes())
    stages.main([*ARGUMENTS, "--table", "--out", str(out)])
    text = capsys.readouterr().out
    assert "4 of 12 cells have been run" in text
    assert "| soc-partial | structured-dcp | 1 |" in text
    assert text.rstrip().endswith(out.with_suffix(".md").read_text(encoding="utf-8").rstrip())
    assert [path.name for path in sorted(tmp_path.iterdir())] == [out.name, out.with_suffix(".md").name]


def test_rows_of_another_version_are_said_and_made_again(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / table.name
    out.write_bytes(table.read_bytes())
    monkeypatch.setattr(versions, "OPTIMISER", versions.OPTIMISER + 1)
    stages.main([*ARGUMENTS, "--table", "--out", str(out)])
    assert "4 rows of other settings or versions are left out" in capsys.readouterr().out
    stages.main([*ARGUMENTS, "--only", "task=simplex_socp", "model=soc-partial", "instance=1", "--out", str(out)])
    (row,) = read_table(out)
    assert row["optimiser"] == versions.OPTIMISER


def test_instances_side_by_side_have_the_rows_of_each_alone(table: Path, tmp_path: Path) -> None:
    settings = across.cells(across.CONTESTS["tiny"], 2, str(tmp_path))
    (cell,) = (
        cell
        for cell in settings
        if (cell.key["instance"], cell.key["task"], cell.key["model"]) == (2, "simplex_socp", "structured-dcp")
    )
    (alone,) = cell.job(**cell.key, **cell.settings, **cell.places)
    (row,) = (row for row in read_table(table) if (row["instance"], row["model"]) == (2, "structured-dcp"))
    assert (alone["configuration"], alone["labels"]) == (row["configuration"], row["labels"])
    for column in ("within_context_error", "regret_mean", "regret_median", "regret_max"):
        assert alone[column] == pytest.approx(row[column], rel=1e-3)
    # what was trained side by side was kept for the other instance, and the optimum for the other model
    names = {path.name.rpartition("-")[0] for path in table.with_suffix(".models").glob("*.safetensors")}
    expected = ("optimum", "soc-partial-within_context", "structured-dcp-within_context")
    assert names == {f"{number}-simplex_socp-3-{kind}" for number in (1, 2) for kind in expected}


def test_what_is_kept_is_not_trained_again(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **settings: object) -> None:
        raise AssertionError

    monkeypatch.setattr(courses, "train_side_by_side", refuse)
    monkeypatch.setattr(courses, "optimum", refuse)
    monkeypatch.setattr(contest, "validation_cost", refuse)
    beside = [("simplex_socp", 1), ("simplex_socp", 2)]
    (cell, *_) = across.cells(across.CONTESTS["tiny"], 2, str(table.with_suffix(".models")), beside)
    (again,) = cell.job(**cell.key, **cell.settings, **cell.places)
    row = read_table(table)[0]
    assert all(again[column] == pytest.approx(row[column]) for column in ("tuning_cpu_s", "train_cpu_s", "regret_mean"))


def test_tasks_are_trained_side_by_side_and_what_is_left_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, stacks = tmp_path / "decision_instances.csv", list[int]()
    side_by_side = courses.train_side_by_side

    def counted(model: str, loss: str, data: list[object], *others: object) -> object:
        if len(stacks) == 2:
            raise KeyboardInterrupt
        stacks.append(len(data))
        return side_by_side(model, loss, data, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(courses, "train_side_by_side", counted)
    only = ["--only", "model=structured-dcp", "--out", str(out)]
    with pytest.raises(KeyboardInterrupt):  # after the short trainings
        stages.main([*ARGUMENTS, *only])
    assert sorted(stacks) == [2 * 4, 3 * 4]  # two and three configurations; two tasks, two instances
    kept = {path: path.read_bytes() for path in out.with_suffix(".models").glob("*.safetensors")}
    assert len(kept) == 4 + 5 * 4 + 1  # optima for the choice and one for the judging
    cells = across.cells(across.CONTESTS["tiny"], 2, str(out.with_suffix(".models")))
    seconds = [hours.kept_seconds(cell) for cell in cells if cell.key["model"] == "structured-dcp"]
    assert min(seconds) > 0
    stages.main([*ARGUMENTS, "--status", "--out", str(out)])
    said = capsys.readouterr().out
    assert "0 of 12 cells" in said
    assert f"estimate | {sum(seconds):.0f} |" in said
    assert "core hours left" in said
    monkeypatch.setattr(courses, "train_side_by_side", side_by_side)
    stages.main([*ARGUMENTS, *only])
    assert all(path.read_bytes() == before for path, before in kept.items())
    rows = read_table(out)
    assert len(rows) == 4
    spent = [sum(float(str(row[column])) for column in hours.SPENT) for row in rows]
    monkeypatch.setattr(hours, "FEWEST", 4)
    assert hours.expected(rows, 3, "structured-dcp", "within_context") == (pytest.approx(np.mean(spent)), "4 finished")


def test_a_file_is_made_by_one_process_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "1-box_socp-3.safetensors"
    with courses.held(place) as first, courses.held(place, wait=False) as second:
        assert (first, second) == (True, False)
    with courses.held(place, wait=False) as third:
        assert third


def test_a_configuration_that_diverges_costs_only_itself(tmp_path: Path) -> None:
    key = {"instance": 1, "task": "simplex_socp", "n": 3, "model": "structured-dcp", "loss": "within_context"}
    cell = across.cell(across.CONTESTS["tiny"], str(tmp_path), key, [("simplex_socp", 2)])
    settings = dict(cell.settings)
    tries = [{**given, "training": {**given["training"]}} for given in settings["configurations"]]
    tries[0]["training"]["learning_rate"] = 1e30
    (row,) = cell.job(**cell.key, **{**settings, "configurations": tries}, **cell.places)
    (sound,) = cell.job(**cell.key, **{**settings, "configurations": tries[1:]}, **cell.places)
    assert (row["diverged"], sound["diverged"]) == (1, 0)
    assert row["configuration"] == sound["configuration"] + 1
    assert row["regret_mean"] == sound["regret_mean"]
    assert row["labels"] == sound["labels"]
    with pytest.raises(ModelError, match=r"every configuration of structured-dcp failed.*no longer finite in epoch"):
        cell.job(**cell.key, **{**settings, "configurations": tries[:1]}, **cell.places)


def test_stacks_are_of_one_shape_and_length() -> None:
    stacks = {
        name: [models.stack_of(given) for given in models.configurations(name, 10)]
        for name in ("soc-partial", "structured-dcp")
    }
    assert len(set(stacks["soc-partial"])) == models.TRIES
    first, second = stacks["structured-dcp"][0], stacks["structured-dcp"][-1]
    assert stacks["structured-dcp"] == [first, first, second, second, second]


def test_instances_differ_in_task_and_data() -> None:
    small = Sizes(contexts=3, candidates=2, tests=2, tuning=2)
    committed, first = (Instance.of("box_socp", 3, Sizes(**{**vars(small), "instance": i})) for i in (0, 1))
    assert torch.equal(committed.train.context, committed.task.sample_contexts(3, seed=TRAIN))
    assert not torch.equal(committed.task.w, first.task.w)
    assert not torch.equal(committed.train.context, first.train.context)
    assert not torch.equal(committed.draw(FRESH, 3), first.draw(FRESH, 3))
    assert not torch.equal(first.train.context, first.validation().context)


def test_the_structured_models_have_our_tuning_budget() -> None:
    for n in (10, 20, 50):
        spent = {}
        for name in ("soc-partial", "smooth-partial", *models.BASELINES):
            given = [entry["training"] for entry in models.configurations(name, n)]
            spent[name] = [sum(entry.get(part, 0) for entry in given) for part in ("epochs", "polish")]
        for name in models.BASELINES:
            for ours in ("soc-partial", "smooth-partial"):
                assert all(theirs >= own for theirs, own in zip(spent[name], spent[ours], strict=True))


@pytest.mark.parametrize("number", range(models.TRIES))
def test_smooth_branches_are_trained_and_decided_with_proven_gaps(number: int) -> None:
    instance = Instance.of("simplex_socp", 3, Sizes(contexts=20, candidates=4, tests=2, tuning=2))
    given = models.configurations(models.SMOOTH, 3)[number]
    given = {**given, "training": {**given["training"], "epochs": 2, "polish": 0}}
    fitted = models.train(models.SMOOTH, "within_context", instance.train, 0, given)
    assert fitted.model.logistic or fitted.model.logsumexp
    answer = decide_all(fitted.model, instance.task.feasible_set, instance.draw(FRESH, 3))
    assert (answer.gap <= 1e-6 * answer.scale).all()


def test_training_end_to_end_is_counted_in_labels(tmp_path: Path) -> None:
    sizes = Sizes(contexts=20, candidates=4, tests=2, tuning=2)
    given = models.configurations(models.FOCUSED, 3)[0]
    assert given["focus"] == models.STEPS
    given = {**given, "training": {**given["training"], "epochs": 2}, "focus": 3}
    files = InstanceFiles("simplex_socp", 3, sizes, 0, tmp_path, versions.bound())
    course = Course(files, models.FOCUSED, "within_context", given, 1.0)
    train_courses([course])
    # 18 contexts to train on and 2 to check: 3 steps with gradients, and checks before and after
    assert course.record["labels"] == 3 * 18 * (1 + 3) + 2 * 2
    plain = course.beginning()
    assert plain is not None
    assert plain.place.name.startswith("0-simplex_socp-3-soc-partial-within_context-")  # where soc-partial finds it
    assert plain.record["labels"] == 0
    assert 0 < plain.record["cpu_s"] < course.record["cpu_s"]
    pairs = zip(course.result().parameters(), plain.result().parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_a_short_training_has_a_short_finish() -> None:
    instance = Instance.of("box_socp", 3, Sizes(contexts=20, candidates=4, tests=2, tuning=2))
    given = models.configurations("structured-dcp", 3)[-1]
    given = {**given, "training": {**given["training"], "epochs": 10, "polish": 40}}
    fitted = models.train("structured-dcp", "within_context", instance.train, 0, given, 0.3)
    assert fitted.epochs == 3
    assert len(fitted.history.polish) <= 2  # looked at every 10 of 12 iterations, and at the end


def test_ratios_are_geometric_means_over_instances() -> None:
    ours = {1: np.array([1.0, 1.0, 2.0, np.nan]), 2: np.array([1.0, 1.0, 1.0, 1.0])}
    theirs = {1: np.array([4.0, 4.0, 8.0, 9.0]), 2: np.array([0.5, 0.5, 4.0, np.nan]), 3: np.array([1.0])}
    found = ratios.compared(ours, theirs)
    assert found is not None
    second = (5.0 / 3) / 1.0  # over the three contexts that both decided for
    assert (found["instances"], found["won"]) == (2, 2)
    assert found["ratio"] == pytest.approx((4.0 * second) ** 0.5)
    assert (found["least"], found["most"]) == (pytest.approx(second), pytest.approx(4.0))
    assert found["ratio of medians"] == pytest.approx((4.0 * 0.5) ** 0.5)
    assert found["contexts won"] == "62 %"  # 3 of 4 and 2 of 4: a failure loses
    assert found["verdict"] == "won on every one"
    low, high = (float(text) for text in str(found["interval"]).split(" to "))
    assert low < float(str(found["ratio"])) < high
    assert ratios.compared(ours, {3: theirs[3]}) is None
    assert [ratios.verdict(given) for given in ([2.0, 0.5, 3.0], [0.9, 2.0], [1.1])] == [
        "won on most",
        "LOST",
        "won on every one",
    ]


def test_verdicts_count_tasks_and_pairs_per_n() -> None:
    def row(instance: int, task: str, n: int, model: str, regret: float) -> Row:
        key: Row = {"instance": instance, "task": task, "n": n, "model": model, "loss": "within_context"}
        return {**key, "method": "certified", "regrets": coded(torch.tensor([regret, regret]))}

    lost, won, split = (5e-4, 5e-4), (4e-3, 2e-3), (2e-3, 5e-4)
    rows: list[Row] = []
    for n, task, others in ((20, "a", lost), (10, "a", won), (10, "b", split)):
        for instance in (1, 2):
            rows += [row(instance, task, n, "soc-partial", 1e-3), row(instance, task, n, "m", others[instance - 1])]
    few, many = ratios.verdicts(ratios.ratios(rows))
    assert [few["n"], many["n"]] == [10, 20]
    assert [few["tasks"], few["won on every one"], few["won on most"], few["LOST"]] == [2, 1, 0, 1]
    assert (few["pairs won"], many["pairs won"]) == ("3 of 4", "0 of 2")
    assert few["ratio"] == pytest.approx((4 * 2 * 2 * 0.5) ** 0.25, rel=1e-2)
    assert [few["least"], few["most"]] == [pytest.approx(0.5, rel=1e-2), pytest.approx(4.0, rel=1e-2)]


def test_dear_contenders_run_for_few_inputs_alone() -> None:
    cells = across.cells(across.CONTESTS["paper"], 5, "models")
    assert len(cells) == 5 * 6 * (5 * 3 + 4 * 2)
    assert {cell.key["n"] for cell in cells if cell.key["model"] == "lpcf"} == {10, 20}
    assert [cell.key["model"] for cell in cells[:2]] == ["soc-partial", "structured-dcp"]
