"""The files of a sweep: finished cells, failures, and the table that they make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from experiments.engine.cells import Cell, shown
from experiments.engine.tables import Row, Value, parsed, read_table, write_table
from socicnn._files import replacing

MARK = "fingerprint"  # the table's last column: which settings a row comes from


@final
@dataclass(frozen=True)
class Result:
    """What a cell came to.

    Args:
        rows: its rows; None where it failed.
        seconds: how long it took.
        error: the message of the failure, one line.
        trace: where it happened.
    """

    rows: list[Row] | None
    seconds: float
    error: str = ""
    trace: str = ""


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
            lines.append(f"{self.stale} rows of other settings or versions are left out; the next run makes them again")
        lines += [f"failed: {shown(key)}: {message}" for key, message in self.failed]
        missing = [key for key in self.missing if key not in [failed for failed, _ in self.failed]]
        lines += [f"missing: {shown(key)}" for key in missing[:10]]
        if len(missing) > 10:
            lines.append(f"missing: {len(missing) - 10} more")
        return "\n".join(lines)


@final
class Store:
    """The files of one table: finished cells, failures, the table itself.

    Args:
        out: the table.
        cells: all cells, in the table's order.
    """

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
            if index is None or mark != parsed(self.cells[index].fingerprint):  # a mark of digits reads as a number
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

    def keep(self, index: int, result: Result) -> None:
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
        """Write the table and the list of failures, with what other runs into the same table have finished since."""
        for index, cell in enumerate(self.cells):
            if index not in self.finished:
                self._read(index, cell)
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


def kept(cells: Sequence[Cell], out: Path) -> list[Row]:
    """Return the rows of a table that the cells would make today; say how many others it holds, and change nothing."""
    if not cells:
        return []
    outcome = Store(out, cells).outcome()
    if outcome.stale:
        print(f"{out}: {outcome.stale} rows of other settings or versions are left out; the next run makes them again")
    return outcome.rows
