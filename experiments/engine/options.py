"""The command line that every experiment shares.

given = options("positivity", "Compare the recipes.")        # or options(..., argv)
outcome = given.run(cells_of(given.preset))                  # prints what the table holds
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from experiments.engine.engines import ENGINES
from experiments.engine.sweep import Cell, Outcome, run, status
from socicnn.errors import SocicnnError

RESULTS = Path(__file__).parents[1] / "results"


@final
@dataclass(frozen=True, eq=False)
class Options:
    """What the command line says.

    Args:
        preset: name of the settings.
        out: the table.
        jobs: how many cells at a time.
        engine: `loky` or `dask`.
        address: of a Dask scheduler, or None.
        only: values to keep, by column.
        status: whether to say what there is, and run nothing.
        others: the arguments that the experiment added itself.
    """

    preset: str
    out: Path
    jobs: int
    engine: str
    address: str | None
    only: dict[str, list[str]]
    status: bool
    others: argparse.Namespace

    def run(self, cells: Sequence[Cell]) -> Outcome:
        """Run the cells as asked (or only look), print what the table holds, and return it.

        What cannot be run as asked ends the program with one sentence.
        """
        try:
            if self.status:
                outcome = status(cells, self.out)
            else:
                engine: dict[str, Any] = {"jobs": self.jobs, "engine": self.engine, "address": self.address}
                outcome = run(cells, self.out, only=self.only, **engine)
        except SocicnnError as error:
            sys.exit(f"error: {error}")
        print(outcome)
        return outcome


def options(
    name: str,
    description: str,
    argv: Sequence[str] | None = None,
    *,
    presets: Sequence[str] = ("tiny", "paper"),
    extend: Callable[[argparse.ArgumentParser], Any] | None = None,
) -> Options:
    """Read the command line of an experiment.

    Args:
        name: of the experiment and of its table: `experiments/results/NAME.csv` for the last preset, which is the one
            that is kept, `out/NAME-PRESET.csv` for the others.
        description: what the experiment does, one sentence.
        argv: the arguments; those of the program if omitted.
        presets: names of the settings, the first of them the default.
        extend: adds arguments of the experiment's own to the parser.
    """
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{name}", description=description)
    parser.add_argument("--preset", choices=presets, default=presets[0], help="which settings (default: %(default)s)")
    parser.add_argument("--jobs", type=counted, default=1, metavar="N", help="cells at a time, one thread each")
    parser.add_argument(
        "--engine", choices=sorted(ENGINES), default="loky", help="what runs them (default: %(default)s)"
    )
    parser.add_argument("--address", metavar="TCP", help="Dask scheduler to run on, for instance tcp://host:8786")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the table, a CSV file; finished cells lie beside it")
    parser.add_argument(
        "--only", type=_choice, nargs="+", action="extend", default=[], metavar="KEY=VALUE[,VALUE]",
        help="run the cells with these values only; the table grows over several runs",
    )  # fmt: skip
    parser.add_argument("--status", action="store_true", help="say which cells are finished, and run none")
    if extend is not None:
        extend(parser)
    given = parser.parse_args(argv)
    kept = RESULTS / f"{name}.csv" if given.preset == presets[-1] else Path("out") / f"{name}-{given.preset}.csv"
    only: dict[str, list[str]] = {}
    for column, values in given.only:
        only.setdefault(column, []).extend(values)
    if given.address is not None and given.engine != "dask":
        parser.error("--address names a Dask scheduler; add --engine dask")
    return Options(
        given.preset, given.out or kept, given.jobs, given.engine, given.address, only, given.status, others=given
    )


def counted(text: str) -> int:
    """Return an integer >= 1 from the command line."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1; received {text!r}")
    return int(text)


def _choice(text: str) -> tuple[str, list[str]]:
    column, equals, values = text.partition("=")
    if not column or not equals or not values:
        raise argparse.ArgumentTypeError(f"must read KEY=VALUE or KEY=VALUE,VALUE; received {text!r}")
    return column, values.split(",")
