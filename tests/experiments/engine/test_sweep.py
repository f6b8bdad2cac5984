"""Sweeps: the same table whatever interrupts them; nothing twice, nothing stale, no failure that stops the rest."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from experiments.engine.engines import EngineError
from experiments.engine.options import options
from experiments.engine.store import Result, Store
from experiments.engine.sweep import Cell, Outcome, SweepError, run, status
from experiments.engine.tables import TableError, read_table
from socicnn.errors import MissingExtra
from tests.support.sweep_jobs import calls, cells, die_at_two, fail_at_two, measure, threads

ROOT = Path(__file__).parents[3]


def untimed(path: Path) -> list[dict[str, object]]:
    return [{c: v for c, v in row.items() if c not in ("seconds", "fingerprint")} for row in read_table(path)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gate").touch()
    return tmp_path


def go(folder: Path, *given: object, **settings: object) -> Outcome:
    return run(cells(folder, *given), folder / "table.csv", progress=False, **settings)  # type: ignore[arg-type]  # passed on


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    place = tmp_path_factory.mktemp("whole")
    (place / "gate").touch()
    go(place)
    return untimed(place / "table.csv")


class TestTable:
    def test_rows_stand_in_the_order_of_the_cells(self, expected: list[dict[str, object]]) -> None:
        assert [(row["task"], row["seed"], row["part"]) for row in expected] == [
            (task, seed, part) for task in ("box", "simplex") for seed in range(4) for part in ("head", "tail")
        ]
        assert expected[2] == {"task": "box", "seed": 1, "part": "head", "value": (1 + 0.1) / 3 * 3}

    def test_outcome_is_what_the_table_holds(self, folder: Path) -> None:
        outcome = go(folder)
        assert [{c: v for c, v in row.items() if c != "seconds"} for row in outcome.rows] == untimed(outcome.path)
        assert len(outcome.finished) == 8
        assert not outcome.missing
        assert not outcome.failed
        assert "8 of 8 cells, 16 rows" in str(outcome)

    def test_order_of_completion_does_not_matter(self, folder: Path, expected: list[dict[str, object]]) -> None:
        go(folder, jobs=2)
        assert untimed(folder / "table.csv") == expected

    def test_a_finished_sweep_runs_nothing_and_leaves_the_file_as_it_is(self, folder: Path) -> None:
        go(folder)
        before = (folder / "table.csv").read_bytes()
        go(folder)
        assert len(calls(folder)) == 8
        assert (folder / "table.csv").read_bytes() == before

    @pytest.mark.parametrize("mark", [None, "570912345678", "012345678901", "12e456789012"])
    def test_the_table_alone_is_enough_to_go_on(
        self, folder: Path, mark: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if mark is not None:  # a fingerprint that a table reads as a number
            monkeypatch.setattr(Cell, "fingerprint", property(lambda cell: mark))
        go(folder)
        before = (folder / "table.csv").read_bytes()
        for path in (folder / "table.cells").iterdir():
            path.unlink()
        go(folder)
        assert len(calls(folder)) == 8
        assert (folder / "table.csv").read_bytes() == before


class TestInterruption:
    def start(self, folder: Path, jobs: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.support.sweep_jobs", str(folder), str(jobs)]
        return subprocess.Popen(command, cwd=ROOT, start_new_session=True)

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_killed_and_started_again(self, tmp_path: Path, jobs: int, expected: list[dict[str, object]]) -> None:
        program = self.start(tmp_path, jobs)
        deadline = time.monotonic() + 60
        try:  # until the first task's seeds 0 and 1 are written and a cell waits at the gate
            while len(list(tmp_path.glob("table.cells/box-[01]-*.json"))) < 2 or "box-2" not in calls(tmp_path):
                assert time.monotonic() < deadline
                assert program.poll() is None
                time.sleep(0.005)
            program.kill()  # this process alone: its workers find out by themselves
            assert program.wait() == -signal.SIGKILL
        finally:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
        assert not (tmp_path / "table.csv").exists()
        (tmp_path / "gate").touch()
        outcome = go(tmp_path, jobs=jobs)
        assert not outcome.missing
        assert untimed(tmp_path / "table.csv") == expected
        assert [calls(tmp_path).count(f"box-{seed}") for seed in (0, 1)] == [1, 1]

    def test_killed_at_every_change_of_a_file(self, folder: Path, expected: list[dict[str, object]]) -> None:
        # before each renaming in turn: the draft is on disk, its name is not
        code = (
            "import os, signal, sys; from pathlib import Path; from tests.support.sweep_jobs import cells, run\n"
            "rename, left = os.replace, [int(sys.argv[2])]\n"
            "def replace(*names):\n"
            "    left[0] -= 1\n"
            "    os.kill(os.getpid(), signal.SIGKILL) if left[0] < 0 else rename(*names)\n"
            "os.replace = replace\n"
            "place = Path(sys.argv[1])\n"
            "run(cells(place), place / 'table.csv', progress=False)\n"
        )
        ends = []
        for allowed in (0, 1, 2, 3, 2, 0, 0):  # the eight cells are written after the fifth start, the table never
            program = subprocess.run([sys.executable, "-c", code, str(folder), str(allowed)], cwd=ROOT, check=False)
            ends.append(program.returncode)
            assert not (folder / "table.csv").exists()
        assert ends == [-signal.SIGKILL] * 7
        assert len(list(folder.glob("table.cells/[!.]*.json"))) == 8
        called = len(calls(folder))
        outcome = go(folder)
        assert not outcome.missing
        assert len(calls(folder)) == called
        assert untimed(folder / "table.csv") == expected

    def test_an_interrupt_leaves_a_table_of_what_is_finished(self, folder: Path) -> None:
        def interrupted(task: str, seed: int, **settings: object) -> list[dict[str, object]]:
            if (task, seed) == ("box", 2):
                raise KeyboardInterrupt
            return measure(task, seed, folder=str(folder))  # type: ignore[return-value]  # rows are wider here

        with pytest.raises(KeyboardInterrupt):
            go(folder, interrupted)
        assert len(read_table(folder / "table.csv")) == 4


class TestFailures:
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_one_failure_is_recorded_and_the_rest_go_on(self, folder: Path, jobs: int) -> None:
        outcome = go(folder, fail_at_two, jobs=jobs)
        assert len(outcome.finished) == 6
        assert [dict(key) for key, _ in outcome.failed] == [{"task": t, "seed": 2} for t in ("box", "simplex")]
        assert read_table(folder / "table.failures.csv") == [
            {"task": task, "seed": 2, "error": "ValueError: seed 2 is no good"} for task in ("box", "simplex")
        ]
        assert "failed: task=box seed=2: ValueError" in str(outcome)

    def test_the_next_run_tries_again(self, folder: Path) -> None:
        go(folder, fail_at_two)
        assert [message for _, message in go(folder, fail_at_two).failed] == ["ValueError: seed 2 is no good"] * 2
        assert calls(folder).count("box-2") == 2
        (folder / "mended").touch()
        outcome = go(folder, fail_at_two)
        assert not outcome.failed
        assert not outcome.missing
        assert not (folder / "table.failures.csv").exists()
        assert calls(folder).count("box-1") == 1

    def test_a_worker_that_dies_takes_only_its_cell_along(self, folder: Path) -> None:
        outcome = go(folder, die_at_two, jobs=2)
        assert [row["seed"] for row in outcome.rows] == [0, 1, 3, 0, 1, 3]
        assert all("the worker died" in message for _, message in outcome.failed)
        assert len(outcome.failed) == 2

    def test_rows_that_no_table_can_hold_are_a_failure(self, folder: Path) -> None:
        bad = {
            "list": [{"value": [1]}],
            "text": [{"value": "1.50"}],
            "key": [{"seed": 7}],
            "mark": [{"fingerprint": "x"}],
        }
        for name, rows in bad.items():
            cell = Cell({"seed": 1}, lambda seed, rows: rows, {"rows": rows})
            outcome = run([cell], folder / f"{name}.csv", progress=False)
            assert "TableError" in outcome.failed[0][1], name


class TestSettings:
    def test_a_cell_of_other_settings_is_not_reused(self, folder: Path) -> None:
        go(folder)
        outcome = run(cells(folder, steps=4), folder / "table.csv", progress=False)
        assert len(calls(folder)) == 16
        assert outcome.stale == 16
        assert outcome.rows[2]["value"] == (1 + 0.1) / 3 * 4
        assert len(read_table(folder / "table.csv")) == 16

    def test_nor_is_one_of_another_function(self, folder: Path) -> None:
        go(folder)
        assert go(folder, fail_at_two).stale == 16

    def test_settings_that_only_look_different_are_the_same(self) -> None:
        one = Cell({"seed": 1}, measure, {"folder": "a", "steps": 3})
        other = Cell({"seed": 2}, measure, {"steps": 3, "folder": "a"})
        assert one.fingerprint == other.fingerprint
        assert one.label != other.label

    def test_keys_that_read_alike_have_files_of_their_own(self) -> None:
        keys = [{"a": "x-y", "b": "z"}, {"a": "x", "b": "y-z"}, {"a": "x/y", "b": "z"}, {"a": "x y", "b": "z"}]
        assert len({Cell(key, measure).label for key in keys}) == len(keys)
        assert all("/" not in Cell(key, measure).label for key in keys)

    def test_settings_are_json(self) -> None:
        with pytest.raises(SweepError, match="seed=1 must be JSON"):
            _ = Cell({"seed": 1}, measure, {"folder": Path("a")}).fingerprint


class TestChoice:
    def test_a_table_grows_over_several_runs(self, folder: Path, expected: list[dict[str, object]]) -> None:
        first = go(folder, only={"task": ["simplex"], "seed": [1, "3"]})
        assert [dict(key) for key in first.finished] == [{"task": "simplex", "seed": seed} for seed in (1, 3)]
        assert len(first.missing) == 6
        assert "missing: task=box seed=0" in str(first)
        go(folder, only={"seed": ["0", "1"]})
        assert len(read_table(folder / "table.csv")) == 10
        go(folder)
        assert untimed(folder / "table.csv") == expected
        assert len(calls(folder)) == 8

    def test_runs_beside_each_other_lose_no_rows(self, folder: Path, expected: list[dict[str, object]]) -> None:
        table = folder / "table.csv"
        early = Store(table, cells(folder))  # a run that began before another one, and ends after it
        go(folder, only={"task": ["simplex"]})
        (index, *_), result = range(len(early.cells)), Result([{"task": "box", "seed": 0, "part": "head"}], 0.0)
        early.keep(index, result)
        outcome = early.assemble()
        assert len(outcome.finished) == 5
        assert len(read_table(table)) == 9
        assert untimed(table)[1:] == expected[8:]

    def test_numbers_are_chosen_by_value(self, folder: Path) -> None:
        table = [Cell({"rate": rate}, lambda rate: [{"value": rate}]) for rate in (1e-3, 5e-3)]
        assert len(run(table, folder / "a.csv", only={"rate": ["1e-3"]}, progress=False).rows) == 1

    def test_what_no_cell_has_is_refused(self, folder: Path) -> None:
        with pytest.raises(SweepError, match=r"no column 'model'.*task, seed"):
            go(folder, only={"model": ["soc"]})
        with pytest.raises(SweepError, match=r"no cell has task=ball.*box, simplex"):
            go(folder, only={"task": ["ball"]})
        assert not (folder / "table.csv").exists()

    def test_status_runs_and_writes_nothing(self, folder: Path) -> None:
        assert len(status(cells(folder), folder / "table.csv").missing) == 8
        assert list(folder.iterdir()) == [folder / "gate"]

    def test_cells_must_differ_and_agree_on_their_columns(self, folder: Path) -> None:
        with pytest.raises(SweepError, match="two cells have the key seed=1"):
            run([Cell({"seed": 1}, measure)] * 2, folder / "table.csv")
        with pytest.raises(SweepError, match="other columns"):
            run([Cell({"seed": 1}, measure), Cell({"n": 1}, measure)], folder / "table.csv")
        with pytest.raises(SweepError, match="no cells"):
            run([], folder / "table.csv")
        with pytest.raises(TableError, match="'path'"):
            Cell({"path": Path("a")}, measure)  # type: ignore[dict-item]  # what is refused


class TestEngines:
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_every_cell_has_one_thread(self, folder: Path, jobs: int) -> None:
        import torch

        before = torch.get_num_threads()
        rows = go(folder, threads, jobs=jobs).rows
        assert {row["threads"] for row in rows} == {1}
        assert torch.get_num_threads() == before
        processes = {row["process"] for row in rows}
        assert processes == {os.getpid()} if jobs == 1 else os.getpid() not in processes
        assert jobs == 1 or {row["omp"] for row in rows} == {1}

    def test_timed_cells_run_last_and_alone(self, folder: Path) -> None:
        timed = [Cell(cell.key, cell.job, cell.settings, alone=cell.key["task"] == "box") for cell in cells(folder)]
        run(timed, folder / "table.csv", jobs=2, progress=False)
        assert calls(folder)[4:] == [f"box-{seed}" for seed in range(4)]

    def test_what_does_not_go_together_is_refused(self, folder: Path) -> None:
        with pytest.raises(EngineError, match="unknown engine 'mpi'; there are: dask, loky"):
            go(folder, engine="mpi")
        with pytest.raises(EngineError, match="jobs must be"):
            go(folder, jobs=0)
        with pytest.raises(EngineError, match="engine='dask'"):
            go(folder, address="tcp://localhost:1")

    def test_a_missing_package_is_named(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(MissingExtra, match=r"socicnn\[dask\]"):
            go(folder, engine="dask")

    @pytest.mark.extra
    def test_dask_cluster_by_address(self, folder: Path, expected: list[dict[str, object]]) -> None:
        distributed = pytest.importorskip("distributed")
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            address = cluster.scheduler_address
            go(folder, engine="dask", address=address)
            assert untimed(folder / "table.csv") == expected
            rows = run(cells(folder, threads), folder / "threads.csv", engine="dask", address=address).rows
            outcome = run(cells(folder, fail_at_two), folder / "failing.csv", engine="dask", address=address)
        assert {row["threads"] for row in rows} == {1}
        assert os.getpid() not in {row["process"] for row in rows}
        assert len(outcome.failed) == 2


class TestOptions:
    def test_tables_of_presets_lie_apart(self) -> None:
        assert options("positivity", "Compare.", []).out == Path("out/positivity-tiny.csv")
        paper = options("positivity", "Compare.", ["--preset", "paper"])
        assert paper.out == ROOT / "experiments" / "results" / "positivity.csv"

    def test_values_to_keep(self) -> None:
        words = ["--only", "task=box,simplex", "n=10", "--only", "n=20", "--jobs", "2", "--out", "a.csv"]
        found = options("decision", "Decide.", words)
        assert found.only == {"task": ["box", "simplex"], "n": ["10", "20"]}
        assert (found.jobs, found.out) == (2, Path("a.csv"))

    @pytest.mark.parametrize(
        "words", [["--only", "task"], ["--jobs", "0"], ["--address", "tcp://h:1"], ["--preset", "big"]]
    )
    def test_bad_words_are_refused(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            options("decision", "Decide.", words)
        assert "error" in capsys.readouterr().err

    def test_run_prints_what_there_is(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        words = ["--out", str(folder / "table.csv"), "--only", "seed=1"]
        options("decision", "Decide.", [*words, "--status"]).run(cells(folder))
        assert "0 of 8 cells" in capsys.readouterr().out
        options("decision", "Decide.", words).run(cells(folder))
        assert "2 of 8 cells" in capsys.readouterr().out
        with pytest.raises(SystemExit, match="error: there is no column"):
            options("decision", "Decide.", [*words, "size=2"]).run(cells(folder))


def test_cell_files_say_what_they_hold(folder: Path) -> None:
    go(folder)
    kept = [json.loads(path.read_text()) for path in sorted((folder / "table.cells").glob("*.json"))]
    assert {(cell["key"]["task"], cell["key"]["seed"]) for cell in kept} == {
        (task, seed) for task in ("box", "simplex") for seed in range(4)
    }
    assert all(len(cell["rows"]) == 2 and cell["settings"]["folder"] == str(folder) for cell in kept)
