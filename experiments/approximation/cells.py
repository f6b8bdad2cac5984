"""Experiment 2 of the SOC-ICNN paper: ten convex targets, networks of about equal size, relative errors.

python -m experiments.approximation --preset tiny|paper|converged [--only d=5 model=soc] [--status] [--render]

`paper` trains as the paper does: about 240 steps of Adam. `converged` trains to the end, and also fits other shapes
with equal or fewer parameters, to choose among by validation data, and smaller and larger ones (the frontier). Both
grow one table, `experiments/results/approximation.csv`; `--render` makes the page's tables and figures from it alone.
A row is a preset, a target, a number of inputs d, a model, its shape and a seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.approximation.plots import frontier, regimes
from experiments.approximation.shapes import CHOICE, FRONTIER, NETWORKS, PAPER, SMOOTH, WIDTHS
from experiments.approximation.tables import rendered
from experiments.approximation.targets import POINTS, TARGETS
from experiments.approximation.training import fit_networks
from experiments.approximation.yardsticks import fit_yardstick
from experiments.engine.options import RESULTS, options
from experiments.engine.pages import Page
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, read_table

VERSION = {"paper": 1, "converged": 3, "yardstick": 1}  # go up when what is run changes
VERSION |= {"logistic": 4, "logsumexp": 4}  # of networks by themselves
OTHERS = ("trees", "max-affine", "lpcf")
LPCF_MOST = 10  # inputs
PAGE = Page("approximation.md", "python -m experiments.approximation --preset converged --render")
ON_FRONTIER = ("Mixed", "LogSumExpQuad", "Huber")
FRONTIER_D = 5
LARGE = 50  # inputs


@dataclass(frozen=True)
class Preset:
    """How long the networks train.

    Args:
        course: see `fit_networks`.
        epochs: of Adam, as the paper trains.
        screen: iterations of L-BFGS at each d that choose among the starts, to the end.
        polish: iterations of L-BFGS after them.
        points: training, validation and test points.
        seeds: of the paper's shapes.
    """

    course: str
    epochs: int
    screen: dict[int, int]
    polish: int
    points: tuple[int, int, int] = POINTS
    seeds: int = 3


PRESETS = {
    "tiny": Preset("converged", epochs=0, screen={5: 5}, polish=10, points=(200, 50, 50), seeds=2),
    "paper": Preset("paper", epochs=120, screen={}, polish=0),
    "converged": Preset("converged", epochs=0, screen={5: 100, 10: 150, 20: 200, 50: 200}, polish=600),
}
TINY = (("NormEuclid", "Huber"), (5,), (*NETWORKS, "ickan", "trees"))


def cells(preset: str) -> list[Cell]:
    """Return the cells of a preset; of the kept table, those of `paper` and of `converged` together.

    First come the paper's shapes, d by d, then what else is compared; of what takes long, first one seed, and last the
    others.
    """
    if preset == "tiny":
        targets, sizes, models = TINY
        return [
            _cell("tiny", t, d, m, "paper" if m in PAPER else "own", 0) for d in sizes for t in targets for m in models
        ]
    return [*_paper(), *_converged()]


def _paper() -> Iterator[Cell]:
    for d in WIDTHS:
        for target in TARGETS:
            for model in (*NETWORKS, "ickan"):
                if d in PAPER[model]:
                    yield _cell("paper", target, d, model, "paper", 0)


def _converged() -> Iterator[Cell]:
    def each(sizes: Sequence[int], models: Sequence[str], names: Sequence[str], block: int = 0) -> Iterator[Cell]:
        for d in sizes:
            for target in TARGETS:
                for model in models:
                    if (model != "lpcf" or d <= LPCF_MOST) and d in PAPER.get(model, WIDTHS):
                        yield from (_cell("converged", target, d, model, name, block) for name in names)

    few = [d for d in WIDTHS if d < LARGE]
    yield from each(few, NETWORKS, ("paper",))
    yield from each(few, ("trees", "max-affine"), ("own",))
    for d in few:
        yield from each((d,), NETWORKS, CHOICE[1:])
    yield from _frontier(0)
    yield from each(few, (*SMOOTH, "ickan"), ("paper",))
    yield from each((LARGE,), ("trees", "max-affine"), ("own",))
    for block in (0, 1):
        yield from each((LARGE,), NETWORKS, ("paper",), block)
        yield from each(few, ("lpcf",), ("own",), block)
        yield from each((LARGE,), SMOOTH, ("paper",), block)
    yield from each((FRONTIER_D,), NETWORKS, CHOICE[1:], block=1)
    yield from _frontier(1)


def _frontier(block: int) -> Iterator[Cell]:
    for target in ON_FRONTIER:
        for model in NETWORKS:
            for name in FRONTIER:
                if name != "paper":
                    yield _cell("converged", target, FRONTIER_D, model, name, block)


def _cell(preset: str, target: str, d: int, model: str, shape: str, block: int) -> Cell:
    given = PRESETS[preset]
    key: dict[str, Any] = {
        "preset": preset, "target": target, "d": d, "model": model,
        "shape": "own" if model in OTHERS else shape, "block": block,
    }  # fmt: skip
    common = {"seeds": _seeds(preset, d, model, shape, block), "points": list(given.points)}
    if model in OTHERS:
        return Cell(key, fit_yardstick, {**common, "version": VERSION["yardstick"]})
    settings: dict[str, Any] = {"course": given.course, "epochs": given.epochs, "polish": given.polish, **common}
    settings["version"] = VERSION.get(model, VERSION[given.course]) if preset == "converged" else VERSION[given.course]
    if given.course == "converged":
        settings["screen"] = given.screen[d]
    return Cell(key, fit_networks, settings)


def _seeds(preset: str, d: int, model: str, shape: str, block: int) -> list[int]:
    """Return the seeds of a cell: of what takes long the first one, block 0, and the others, block 1."""
    every = list(range(PRESETS[preset].seeds))
    long = model == "lpcf" or (preset == "converged" and model not in OTHERS and (d == LARGE or shape != "paper"))
    return every if not long else every[1:] if block else every[:1]


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: argparse.ArgumentParser) -> Any:
        parser.add_argument(
            "--render", action="store_true", help="make tables and figures of the rows, and run nothing"
        )

    presets = tuple(PRESETS)
    given = options("approximation", "Fit convex networks to ten targets.", argv, presets=presets, extend=extend)
    if given.preset == "paper" and given.others.out is None:
        given = replace(given, out=RESULTS / "approximation.csv")
    if given.preset != "tiny":
        given = replace(given, only={"preset": [given.preset], **given.only})
    found = cells(given.preset)
    rows = read_table(given.out) if given.others.render else given.run(found).rows
    if given.others.render:
        show(rows, found, given.out)


def show(rows: Sequence[Row], found: Sequence[Cell], out: Path) -> None:
    """Print the tables, draw the figures beside the rows, and put the kept table's tables into the page."""
    text = rendered(rows, [cell.key for cell in found])
    print(text)
    if out == RESULTS / "approximation.csv":
        PAGE.write(text)
    for picture in (
        frontier(rows, FRONTIER_D, ON_FRONTIER, out.with_name(f"{out.stem}_frontier.png")),
        regimes(rows, FRONTIER_D, out.with_name(f"{out.stem}_regimes.png")),
    ):
        if picture is not None:
            print(f"plot: {picture}")
