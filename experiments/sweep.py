"""Run the cells of an experiment in parallel, each once, whatever interrupts the run, and gather one tidy table.

A cell is a key, a top-level function and its settings; `job(**key, **settings)` returns rows, and the table has the
key's columns before the rows' own:

    def fit_arm(target: str, arm: str, *, steps: int) -> list[Row]: ...

    cells = [Cell({"target": t, "arm": a}, fit_arm, {"steps": 3000}) for t in targets for a in arms]
    outcome = run(cells, "results/positivity.csv", jobs=2)

Finished cells lie in a folder beside the table (`positivity.cells/`) and are skipped when the run starts again, unless
their settings have changed; rows of a table that is already there count as well, so that a table may grow over several
runs. What fails is listed in `positivity.failures.csv` and tried again by the next run. `experiments.options` reads
all this from a command line.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, final

from tqdm import tqdm

from experiments.engines import Crash, check_engine, engine_of
from experiments.tables import Row, TableError, Value, as_value, parsed, read_table, write_table, written
from socicnn.errors import SocicnnError
from socicnn.files import replacing

MARK = "fingerprint"  # the table's last column: which settings a row comes from
Job = Callable[..., Iterable[Mapping[str, Any]]]


class SweepError(SocicnnError, ValueError):
    """Cells, or a choice among them, that cannot be run as they are."""


@final
@dataclass(frozen=True, eq=False)
class Cell:
    """One job of a sweep.

    Args:
        key: what tells it from the others, {column: value}.
        job: a top-level function; `job(**key, **settings)` returns the rows.
        settings: its other arguments, JSON values; where they change, the cell is run anew. Put a `version` among them
            that goes up when the function itself changes.
        alone: whether it runs after all others with nothing beside it, because it measures time.
    """

    key: Mapping[str, Value]
    job: Job
    settings: Mapping[str, Any] = field(default_factory=dict)
    alone: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", {column: as_value(value, column) for column, value in self.key.items()})

    @cached_property
    def function(self) -> Job:
        """The job under a name that a worker can import: `python -m` calls its module `__main__`."""
        spec = getattr(sys.modules["__main__"], "__spec__", None) if self.job.__module__ == "__main__" else None
        return getattr(import_module(spec.name), self.job.__qualname__) if spec else self.job

    @cached_property
    def fingerprint(self) -> str:
        """Twelve digits that change with the function's name and with the settings."""
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        try:
            text = json.dumps([name, dict(self.settings)], sort_keys=True)
        except TypeError as error:
            raise SweepError(f"the settings of cell {shown(self.key)} must be JSON values: {error}") from None
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """A name for a file."""
        text = json.dumps({column: written(value) for column, value in self.key.items()}, sort_keys=True)
        readable = re.sub(r"[^A-Za-z0-9._+-]+", "_", "-".join(written(value) for value in self.key.values()))
        return f"{readable[:80]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


@final
@dataclass(frozen=True, eq=False)
class Outcome:
    """What a table holds now.

    Args:
        path: the table.
        rows: its rows.
        finished: keys of the cells in it.
        failed: keys and messages of the cells that failed last time.
        missing: keys of the cells that are not in it, failed ones included.
        stale: how many rows were left out because their settings have changed.
    """

    path: Path
    rows: list[Row]
    finished: list[Mapping[str, Value]]
    failed: list[tuple[Mapping[str, Value], str]]
    missing: list[Mapping[str, Value]]
    stale: int

    def __str__(self) -> str:
        total = len(self.finished) + len(self.missing)
        lines = [f"{self.path}: {len(self.finished)} of {total} cells, {len(self.rows)} rows"]
        if self.stale:
            lines.append(f"{self.stale} rows of other settings are left out")
        lines += [f"failed: {shown(key)}: {message}" for key, message in self.failed]
        missing = [key for key in self.missing if key not in [failed for failed, _ in self.failed]]
        lines += [f"missing: {shown(key)}" for key in missing[:10]]
        if len(missing) > 10:
            lines.append(f"missing: {len(missing) - 10} more")
        return "\n".join(lines)


def run(
    cells: Sequence[Cell],
    out: str | Path,
    *,
    jobs: int = 1,
    engine: str = "loky",
    address: str | None = None,
    only: Mapping[str, Iterable[Any]] | None = None,
    progress: bool = True,
) -> Outcome:
    """Run the cells that are not finished, then write the table in the order of `cells`.

    Interrupt it, or kill it, at any moment: what is finished stays finished, and the table comes out the same.

    Args:
        cells: all cells of the experiment; their keys have the same columns and differ.
        out: the table, a CSV file.
        jobs: how many cells run at a time, one thread each; 1 runs them in this process.
        engine: `loky` (processes here) or `dask`.
        address: of a Dask scheduler, for instance `tcp://host:8786`; without one a local cluster is made.
        only: values to keep, by column: the other cells are left for another run.
        progress: whether to show a progress bar.

    Raises:
        SweepError: keys that do not differ or have different columns, or a choice that no cell fits.
        EngineError: an engine that does not exist, or settings of it that do not go together.
        MissingExtra: the engine's package is not installed.
    """
    check_engine(engine, jobs, address)
    _check(cells)
    chosen = _chosen(cells, only or {})
    store = _Store(Path(out), cells)
    todo = [index for index in chosen if index not in store.finished]
    bar = tqdm(
        total=len(chosen),
        initial=len(chosen) - len(todo),
        unit="cell",
        desc=Path(out).stem,
        disable=None if progress else True,
    )
    try:
        with bar:
            for alone in (False, True):
                batch = [index for index in todo if cells[index].alone is alone]
                for index, result in _results(cells, batch, 1 if alone else jobs, engine, address):
                    store.keep(index, result)
                    bar.update()
    finally:
        outcome = store.assemble()
    return outcome


def status(cells: Sequence[Cell], out: str | Path) -> Outcome:
    """Say what the table and the finished cells beside it hold, and write nothing."""
    _check(cells)
    return _Store(Path(out), cells).outcome()


def shown(key: Mapping[str, Value]) -> str:
    """Return a key in words."""
    return " ".join(f"{column}={written(value)}" for column, value in key.items())


@dataclass(frozen=True)
class _Result:
    """What a cell came to: rows, or the error and where it happened."""

    rows: list[Row] | None
    seconds: float
    error: str = ""
    trace: str = ""


def _attempt(index: int, job: Job, key: dict[str, Value], settings: dict[str, Any]) -> tuple[int, _Result]:
    """Run a cell, here or in a worker, with one thread."""
    torch: Any = sys.modules.get("torch")  # there by now if the job's module needs it
    threads = torch.get_num_threads() if torch else 0
    started = time.perf_counter()
    try:
        if torch:
            torch.set_num_threads(1)
        rows = [_merged(key, row) for row in job(**key, **settings)]
    except Exception as error:  # whatever a cell raises is recorded, and the others go on
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return index, _Result(None, time.perf_counter() - started, message, traceback.format_exc())
    finally:
        if torch:
            torch.set_num_threads(threads)
    return index, _Result(rows, time.perf_counter() - started)


def _merged(key: Mapping[str, Value], row: Mapping[str, Any]) -> Row:
    values = {column: as_value(value, column) for column, value in row.items()}
    for column, value in values.items():
        if column == MARK or (column in key and key[column] != value):
            raise TableError(
                f"a row sets column '{column}' to {value!r}, which its cell's key or the table itself fixes"
            )
    return {**key, **{column: value for column, value in values.items() if value is not None}}


def _results(
    cells: Sequence[Cell], todo: Sequence[int], jobs: int, engine: str, address: str | None
) -> Iterator[tuple[int, _Result]]:
    """Yield what each cell comes to, as it comes."""
    if not todo:
        return
    calls = {
        index: (index, cells[index].function, dict(cells[index].key), dict(cells[index].settings)) for index in todo
    }
    if jobs == 1 and engine == "loky":
        for call in calls.values():
            yield _attempt(*call)
        return
    with engine_of(engine, jobs, address) as parallel:
        pending = list(todo)
        while pending:
            try:
                for index, result in parallel(_attempt, [calls[index] for index in pending]):
                    pending.remove(index)
                    yield index, result
            except Crash:
                # a worker died: whichever cell was in flight may be the reason, so each of these runs by itself
                for index in pending[: 2 * jobs]:
                    pending.remove(index)
                    try:
                        yield from parallel(_attempt, [calls[index]])
                    except Crash as crash:
                        yield index, _Result(None, 0.0, " ".join(f"the worker died: {crash}".split()))


class _Store:
    """The files of one table: finished cells, failures, the table itself."""

    def __init__(self, out: Path, cells: Sequence[Cell]) -> None:
        self.out, self.cells = out, cells
        self.folder = out.with_suffix(".cells")
        self.failures = out.with_suffix(".failures.csv")
        self.finished: dict[int, list[Row]] = {}
        self.failed: dict[int, str] = {}
        self.stale = 0
        self._read_table()
        for index, cell in enumerate(cells):
            self._read(index, cell)

    def _read_table(self) -> None:
        if not self.out.is_file():
            return
        columns = list(self.cells[0].key)
        places = {tuple(cell.key.values()): index for index, cell in enumerate(self.cells)}
        for row in read_table(self.out):
            mark = row.pop(MARK, None)
            index = places.get(tuple(row.get(column) for column in columns))
            if index is None or mark != self.cells[index].fingerprint:
                self.stale += 1
                continue
            key = self.cells[index].key
            rest = {column: value for column, value in row.items() if column not in key}
            self.finished.setdefault(index, []).append({**key, **rest})

    def _read(self, index: int, cell: Cell) -> None:
        path = self.folder / f"{cell.label}.json"
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["fingerprint"] == cell.fingerprint and kept["rows"] is not None:
                self.finished[index] = kept["rows"]
            elif kept["fingerprint"] == cell.fingerprint and index not in self.finished:
                self.failed[index] = kept["error"]

    def keep(self, index: int, result: _Result) -> None:
        """Write a cell's file in one step."""
        cell = self.cells[index]
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"key": dict(cell.key), "fingerprint": cell.fingerprint, "settings": dict(cell.settings)}
        with replacing(self.folder / f"{cell.label}.json") as draft:
            draft.write_text(json.dumps({**content, **vars(result)}), encoding="utf-8")
        self.failed.pop(index, None)
        if result.rows is None:
            self.failed[index] = result.error
        else:
            self.finished[index] = result.rows

    def outcome(self) -> Outcome:
        """Return what there is."""
        rows = [row for index in sorted(self.finished) for row in self.finished[index]]
        return Outcome(
            self.out,
            rows,
            finished=[self.cells[index].key for index in sorted(self.finished)],
            failed=[(self.cells[index].key, self.failed[index]) for index in sorted(self.failed)],
            missing=[cell.key for index, cell in enumerate(self.cells) if index not in self.finished],
            stale=self.stale,
        )

    def assemble(self) -> Outcome:
        """Write the table and the list of failures."""
        outcome = self.outcome()
        marked = [
            {**row, MARK: self.cells[index].fingerprint}
            for index in sorted(self.finished)
            for row in self.finished[index]
        ]
        columns = dict.fromkeys(column for row in outcome.rows for column in row)
        write_table(
            self.out, marked, first=[*self.cells[0].key, *(c for c in columns if c not in self.cells[0].key), MARK]
        )
        if outcome.failed:
            write_table(self.failures, [{**key, "error": message} for key, message in outcome.failed])
        else:
            self.failures.unlink(missing_ok=True)
        return outcome


def _check(cells: Sequence[Cell]) -> None:
    if not cells:
        raise SweepError("there are no cells to run")
    columns = list(cells[0].key)
    seen: set[tuple[Value, ...]] = set()
    for cell in cells:
        if list(cell.key) != columns:
            raise SweepError(f"cell {shown(cell.key)} has other columns than the first cell's {', '.join(columns)}")
        key = tuple(cell.key.values())
        if key in seen:
            raise SweepError(f"two cells have the key {shown(cell.key)}; tell them apart by another column")
        seen.add(key)


def _chosen(cells: Sequence[Cell], only: Mapping[str, Iterable[Any]]) -> list[int]:
    wanted = {column: {_text(value, column) for value in values} for column, values in only.items()}
    for column, values in wanted.items():
        if column not in cells[0].key:
            raise SweepError(f"there is no column '{column}' to choose by; there are: {', '.join(cells[0].key)}")
        known = dict.fromkeys(written(cell.key[column]) for cell in cells)
        for value in sorted(values - known.keys()):
            raise SweepError(f"no cell has {column}={value}; there are: {', '.join(known)}")
    chosen = [i for i, cell in enumerate(cells) if all(written(cell.key[c]) in v for c, v in wanted.items())]
    if not chosen:
        raise SweepError(f"no cell has all of {', '.join(f'{c}={v}' for c, values in wanted.items() for v in values)}")
    return chosen


def _text(value: Any, column: str) -> str:
    """Return how a table writes a value that may be given as text: `1e-3` means 0.001."""
    return written(parsed(value) if isinstance(value, str) else as_value(value, column))
