"""The theory of the SOC-ICNN paper as small studies, each with a table and a figure.

python -m experiments.theory --preset tiny|paper [--jobs N] [--only study=pieces|absorption|operations] [--render]

`pieces` (Proposition 3), `absorption` (Proposition 5) and `operations` (A.7) say in their own files what they measure.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, Value, grouped, markdown, read_table
from experiments.theory import absorption, operations, pieces
from experiments.theory.plots import plots

VERSION = 1  # goes up when a job changes
STUDIES = {"pieces": pieces.measured, "absorption": absorption.measured, "operations": operations.measured}
# study -> way -> n -> sizes: cubes per side, units, pieces, branches
SIZES: dict[str, dict[str, dict[str, dict[int, Sequence[int]]]]] = {
    "tiny": {
        "pieces": {
            "tangents": {1: (4, 8), 2: (2, 4)},
            "network": {1: (4,)},
            "max-affine regression": {1: (4,)},
        },
        "absorption": {way: {1: (4, 8), 2: (2, 6)} for way in ("structure and tangents", "all tangents")},
        "operations": {"quadratic": {operations.N: (0, 4)}, "norm": {operations.N: (0, 4)}},
    },
    "paper": {
        "pieces": {
            "tangents": {1: (2, 4, 8, 16, 32, 64), 2: (2, 3, 4, 6, 8, 12, 16), 3: (2, 3, 4, 5, 6, 8)},
            "network": {1: (2, 4, 8, 16), 2: (2, 4, 8, 16)},
            "max-affine regression": {1: (2, 4, 8, 16), 2: (4, 8, 16, 32)},
        },
        "absorption": {
            way: {
                1: (2, 4, 8, 16, 32, 64),
                2: (2, 4, 6, 8, 12, 16),
                3: (2, 4, 6, 8, 12),
            }  # even: 0 is a corner of cubes
            for way in ("structure and tangents", "all tangents")
        },
        "operations": {way: {operations.N: (0, 1, 2, 4, 8, 16)} for way in ("quadratic", "norm")},
    },
}
REPETITIONS = {"network": 2}  # seeds, of what is random


def cells(preset: str) -> list[Cell]:
    """Return the cells of a preset; those that measure time run alone."""
    return [
        Cell(
            {"preset": preset, "study": study, "way": way, "n": n, "number": number, "repetition": repetition},
            STUDIES[study],
            {"version": VERSION},
            alone=study == "operations",
        )
        for study, ways in SIZES[preset].items()
        for way, sizes in ways.items()
        for n, numbers in sizes.items()
        for number in numbers
        for repetition in range(REPETITIONS.get(way, 1) if preset == "paper" else 1)
    ]


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the slope of log y in log x by least squares.

    >>> round(slope([1.0, 2.0, 4.0], [3.0, 12.0, 48.0]), 6)
    2.0
    """
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def order(rows: Sequence[Mapping[str, Value]]) -> float:
    """Return the slope of log error in log pieces, over the upper half of the range of log pieces."""
    pairs = [(_number(row["pieces"]), _number(row["error"])) for row in rows]
    counts = [count for count, _ in pairs]
    large = [pair for pair in pairs if pair[0] ** 2 >= min(counts) * max(counts) * (1 - 1e-9)]
    if len({count for count, _ in large}) < 2:
        large = pairs
    return slope(*zip(*large, strict=True))


def rendered(rows: Sequence[Mapping[str, Value]]) -> str:
    """Return the tables of the three studies in Markdown."""
    tables: list[Row] = []
    for (study, way, n), members in grouped(rows, ("study", "way", "n")).items():
        column = lambda name, members=members: [_number(row[name]) for row in members]  # noqa: E731 (local shorthand)
        if study == "operations":
            continue
        line: Row = {"study": study, "way": way, "n": n, "pieces": _span(column("pieces"))}
        line["error"] = " to ".join(f"{end:.2g}" for end in (max(column("error")), min(column("error"))))
        if len(set(column("pieces"))) > 1 and way != "network":  # whose pieces are many in few places
            line["slope for large K"] = f"{order(members):.3f}"
            line["theory"] = f"{-2 / _number(n):.3f}"
        if study == "pieces":
            ratios = [count / least for count, least in zip(column("pieces"), column("bound"), strict=True)]
            line["pieces / fewest"] = f"{min(ratios):.2f} to {max(ratios):.2f}"
        if way == "structure and tangents":
            ratios = [error / most for error, most in zip(column("error"), column("bound"), strict=True)]
            line["error / bound"] = f"{min(ratios):.2f} to {max(ratios):.2f}"
        tables.append(line)
    names = list(dict.fromkeys(name for line in tables for name in line))
    text = markdown([{name: line.get(name, "-") for name in names} for line in tables])
    costs = [row for row in rows if row["study"] == "operations"]
    counts = [
        {"branches": row["way"], "number": row["number"]}
        | {name: int(_number(row[name])) for name in ("operations", "formula")}
        | {"microseconds": row["microseconds"]}
        for row in costs
    ]
    return text + "\n\n" + markdown(counts)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}"


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: argparse.ArgumentParser) -> Any:
        parser.add_argument(
            "--render", action="store_true", help="make tables and figures of the rows, and run nothing"
        )

    given = options("theory", "Check the propositions of the SOC-ICNN paper in figures.", argv, extend=extend)
    if given.others.render:
        rows = read_table(given.out)
        print(rendered(rows))
        print(*plots(rows, given.out), sep="\n")
        return
    outcome = given.run(cells(given.preset))
    if outcome.rows and not given.status:
        print(rendered(outcome.rows))
