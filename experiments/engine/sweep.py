"""Run the cells of an experiment in parallel, each once, whatever interrupts the run, and gather one tidy table.

A cell is a key, a top-level function and its settings; `job(**key, **settings)` returns rows, and the table has the
key's columns before the rows' own:

    def fit_arm(target: str, arm: str, *, steps: int) -> list[Row]: ...

    cells = [Cell({"target": t, "arm": a}, fit_arm, {"steps": 3000}) for t in targets for a in arms]
    outcome = run(cells, "results/positivity.csv", jobs=2)

Finished cells lie in a folder beside the table (`positivity.cells/`) and are skipped when the run starts again, unless
their settings have changed; rows of a table that is already there count as well, so that a table may grow over several
runs. What fails is listed in `positivity.failures.csv` and tried again by the next run. `engine.options` reads
all this from a command line.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.engine.cells import Cell as Cell
from experiments.engine.cells import Job, shown
from experiments.engine.cells import SweepError as SweepError
from experiments.engine.engines import Crash, check_engine, engine_of
from experiments.engine.store import MARK, Result, Store
from experiments.engine.store import Outcome as Outcome
from experiments.engine.tables import Row, TableError, Value, as_value, parsed, written


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
    store = Store(Path(out), cells)
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
    return Store(Path(out), cells).outcome()


def _attempt(index: int, job: Job, key: dict[str, Value], settings: dict[str, Any]) -> tuple[int, Result]:
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
        return index, Result(None, time.perf_counter() - started, message, traceback.format_exc())
    finally:
        if torch:
            torch.set_num_threads(threads)
    return index, Result(rows, time.perf_counter() - started)


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
) -> Iterator[tuple[int, Result]]:
    """Yield what each cell comes to, as it comes."""
    if not todo:
        return
    calls = {
        index: (index, cell.function, dict(cell.key), {**cell.settings, **cell.places})
        for index, cell in ((index, cells[index]) for index in todo)
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
                        yield index, Result(None, 0.0, " ".join(f"the worker died: {crash}".split()))


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
