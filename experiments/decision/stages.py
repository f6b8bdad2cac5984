"""Experiment 3: surrogates trained on costs decide, and the true cost judges their decisions.

python -m experiments.decision --preset tiny|paper [--stage tune final fit fresh time table] [--jobs N] [--only n=...]
python -m experiments.decision --preset tiny|paper --instances N [--table]    # tasks and data of N seeds: see `across`

Six stages, each resumable. `tune` tries the five configurations of every model briefly and judges them by the true
cost of their decisions on validation contexts; `final` trains the three best in full and judges them again; `fit`
trains each model with the best of them, decides for the test contexts by every method and keeps the model; `fresh`
decides with the models trained within contexts for contexts that no choice has seen; `time` measures training and
decisions with nothing beside; `table` joins what there is, the rows of `experiments.peers` too, into one tidy table,
renders it and plots it. A row of the table is a task, n, model, loss, method and seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from decision import tasks
from experiments.decision import across, half
from experiments.decision.across import FINALISTS as FINALISTS
from experiments.decision.instances import Sizes
from experiments.decision.jobs import fit_and_decide, judge_afresh, measure, try_configuration
from experiments.decision.models import JOINT, NAMES, TRIES, as_seed, configurations
from experiments.decision.plots import plots
from experiments.decision.tables import joined, rendered
from experiments.decision.versions import bound
from experiments.engine.options import Options, counted, options
from experiments.engine.store import kept
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, Value, read_table, write_table, written
from experiments.peers import cells as peers
from socicnn._files import replacing

STAGES = ("tune", "final", "fit", "fresh", "time", "table")
# the authors' own training: of their models, and of one of ours to tell shape from training
AS_SEED = (*JOINT, "structured-pcf", "structured-dcp", "soc-partial")


@dataclass(frozen=True)
class Preset:
    """What an experiment covers.

    Args:
        tasks: names of the tasks.
        features: numbers n of inputs.
        seeds: how many seeds of initialisation, split and batches.
        models: models trained with the within-context loss.
        as_seed: models trained as the benchmark's authors do.
        sizes: of the data.
        fresh: fresh contexts.
    """

    tasks: tuple[str, ...]
    features: tuple[int, ...]
    seeds: int
    models: tuple[str, ...]
    as_seed: tuple[str, ...]
    sizes: Sizes
    fresh: int

    def pairs(self) -> list[tuple[str, str]]:
        """Return (model, loss)."""
        return [(name, "seed") for name in self.as_seed] + [(name, "within_context") for name in self.models]


PRESETS = {
    "tiny": Preset(
        ("simplex_socp", "box_logsumexp"),
        (3,),
        2,
        ("relu-partial", "soc-partial", "structured-dcp"),
        ("relu-joint",),
        Sizes(contexts=40, candidates=6, tests=5, tuning=4, share=0.02, tuning_share=0.01, exact=2),
        fresh=6,
    ),
    "paper": Preset(tuple(tasks.names()), (10, 20, 50), 3, NAMES, AS_SEED, Sizes(), fresh=1000),
}


def tuning_cells(preset: Preset) -> list[Cell]:
    """Return one cell a configuration."""
    settings = {"sizes": asdict(preset.sizes), "version": bound()}
    return [
        Cell(
            {"task": task, "n": n, "model": model, "loss": loss, "configuration": number},
            try_configuration,
            {**settings, "given": given},
        )
        for n in preset.features
        for task in preset.tasks
        for model, loss in preset.pairs()
        if loss != "seed"
        for number, given in enumerate(configurations(model, n))
    ]


Key = tuple[Value, ...]


def best(rows: Sequence[Row], tries: int, keep: int) -> dict[Key, list[int]]:
    """Return the configurations of least validation cost for each (task, n, model, loss) of which all were tried."""
    tried: dict[Key, list[Row]] = {}
    for row in rows:
        tried.setdefault((row["task"], row["n"], row["model"], row["loss"]), []).append(row)

    def cost(row: Row) -> float:
        return float(row["validation_cost"])  # type: ignore[arg-type]  # a number by construction

    return {
        key: [int(row["configuration"]) for row in sorted(found, key=cost)[:keep]]  # type: ignore[arg-type]  # as above
        for key, found in tried.items()
        if len(found) == tries
    }


def final_cells(preset: Preset, tuning: Sequence[Row], models: Path) -> list[Cell]:
    """Return one cell for each of the configurations that are trained in full."""
    settings = {"sizes": asdict(preset.sizes), "version": bound()}
    finalists = best(tuning, TRIES, FINALISTS)
    return [
        Cell(
            {"task": task, "n": n, "model": model, "loss": loss, "configuration": number},
            try_configuration,
            {**settings, "given": configurations(model, n)[number]},
            {"models": str(models)},
        )
        for n in preset.features
        for task in preset.tasks
        for model, loss in preset.pairs()
        for number in finalists.get((task, n, model, loss), [])
    ]


def chosen(tuning: Sequence[Row], finals: Sequence[Row]) -> dict[Key, int]:
    """Return the configuration for each (task, n, model, loss) whose finalists have been trained in full."""
    finalists = best(tuning, TRIES, FINALISTS)
    # where tuning was run anew, finals of other configurations may still be in the table
    still = [
        row
        for row in finals
        if row["configuration"] in finalists.get((row["task"], row["n"], row["model"], row["loss"]), [])
    ]
    return {key: numbers[0] for key, numbers in best(still, FINALISTS, 1).items()}


def fitting_cells(preset: Preset, choices: dict[Key, int], models: Path) -> list[Cell]:
    """Return one cell per task, n, model, loss and seed."""
    cells = []
    for n in preset.features:
        for task in preset.tasks:
            for model, loss in preset.pairs():
                number = 0 if loss == "seed" else choices.get((task, n, model, loss))
                given = None
                if number is not None:
                    given = as_seed(model) if loss == "seed" else configurations(model, n)[number]
                settings = {"given": given, "sizes": asdict(preset.sizes), "version": bound()}
                cells += [
                    Cell(
                        {"task": task, "n": n, "model": model, "loss": loss, "seed": seed},
                        fit_and_decide,
                        settings,
                        {"models": str(models)},
                    )
                    for seed in range(preset.seeds)
                ]
    return cells


def fresh_cells(preset: Preset, runs: Sequence[Row], choices: dict[Key, int], models: Path) -> list[Cell]:
    """Return one cell for each model trained within contexts that is in the table of runs."""
    there = {(row["task"], row["n"], row["model"], row["loss"], row["seed"]) for row in runs}
    settings = {"contexts": preset.fresh, "version": bound()}
    return [
        replace(cell, job=judge_afresh, settings={**cell.settings, **settings})
        for cell in fitting_cells(preset, choices, models)
        if tuple(cell.key.values()) in there and cell.key["loss"] != "seed" and cell.settings["given"] is not None
    ]


def timing_cells(preset: Preset, runs: Sequence[Row], choices: dict[Key, int], models: Path) -> list[Cell]:
    """Return one cell for each model that was trained with seed 0."""
    epochs = {
        (row["task"], row["n"], row["model"], row["loss"]): row["epochs"]
        for row in runs
        if row["seed"] == 0 and row["method"] == "certified"
    }
    cells = []
    for n in preset.features:
        for task in preset.tasks:
            for model, loss in preset.pairs():
                key = (task, n, model, loss)
                if key not in epochs or (loss != "seed" and key not in choices):
                    continue
                given = as_seed(model) if loss == "seed" else configurations(model, n)[choices[key]]
                settings = {"epochs": epochs[key], "given": given, "sizes": asdict(preset.sizes), "repeat": 3}
                cells.append(
                    Cell(
                        {"task": task, "n": n, "model": model, "loss": loss},
                        measure,
                        {**settings, "version": bound()},
                        {"models": str(models)},
                        alone=True,
                    )
                )
    return cells


def files(out: Path) -> dict[str, Path]:
    """Return where each stage keeps its table, and the trained models."""
    return {
        "tune": out.with_suffix(".tuning.csv"),
        "final": out.with_suffix(".finals.csv"),
        "fit": out.with_suffix(".runs.csv"),
        "fresh": out.with_suffix(".fresh.csv"),
        "time": out.with_suffix(".timings.csv"),
        "peers": out.with_name("peers.csv"),
        "models": out.with_suffix(".models"),
    }


def run_stage(given: Options, cells: Sequence[Cell], everything: Sequence[Cell], out: Path) -> list[Row]:
    """Run the cells of one stage that `--only` chooses and return its table.

    Columns and values that only other stages have say nothing here; `everything` is all of these stages' cells.
    """
    elsewhere = {(column, written(value)) for cell in everything for column, value in cell.key.items()}
    here = {(column, written(value)) for cell in cells for column, value in cell.key.items()}
    only = {
        column: [value for value in values if (column, value) in here or (column, value) not in elsewhere]
        for column, values in given.only.items()
        if any(column == name for name, _ in here) or all(column != name for name, _ in elsewhere)
    }
    if not cells or not all(only.values()):
        return read_table(out) if out.is_file() else []
    return replace(given, out=out, only=only).run(cells).rows


def read(preset: Preset, places: dict[str, Path]) -> dict[str, list[Row]]:
    """Return the kept rows of every stage that today's settings and versions would make; say which are left out."""
    models = places["models"]
    found = {"tune": kept(tuning_cells(preset), places["tune"])}
    found["final"] = kept(final_cells(preset, found["tune"], models), places["final"])
    choices = chosen(found["tune"], found["final"])
    found["fit"] = kept(fitting_cells(preset, choices, models), places["fit"])
    found["fresh"] = kept(fresh_cells(preset, found["fit"], choices, models), places["fresh"])
    found["time"] = kept(timing_cells(preset, found["fit"], choices, models), places["time"])
    return found


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: argparse.ArgumentParser) -> Any:
        parser.add_argument("--stage", nargs="+", choices=STAGES, default=list(STAGES), help="which stages to run")
        parser.add_argument(
            "--instances", type=counted, metavar="N",
            help="run the benchmark over instances: tasks and data of N seeds, in a table of their own",
        )  # fmt: skip
        parser.add_argument(
            "--half", action="store_true", help="run the cells in which version 1 is above half of a baseline"
        )
        parser.add_argument("--table", action="store_true", help="render the tables of the kept rows, and run nothing")

    given = options("decision", "Train surrogates, decide with them, and judge the decisions.", argv, extend=extend)
    if given.others.instances:
        if given.others.out is None:
            name = given.out.stem.replace("decision", "decision_instances")
            given = replace(given, out=given.out.with_stem(name))
        across.run(given, given.others.instances, table=given.others.table)
        return
    if given.others.half:
        if given.others.out is None:
            given = replace(given, out=given.out.with_stem(given.out.stem.replace("decision", "decision_half")))
        half.run(given, table=given.others.table)
        return
    preset, places = PRESETS[given.preset], files(given.out)
    stages = ["table"] if given.others.table else given.others.stage
    found = read(preset, places)
    everything = [*tuning_cells(preset), *fitting_cells(preset, {}, places["models"])]
    if "tune" in stages:
        found["tune"] = run_stage(given, tuning_cells(preset), everything, places["tune"])
    if "final" in stages:
        cells = final_cells(preset, found["tune"], places["models"])
        found["final"] = run_stage(given, cells, everything, places["final"])
    choices = chosen(found["tune"], found["final"])
    if "fit" in stages:
        cells = fitting_cells(preset, choices, places["models"])
        found["fit"] = run_stage(given, cells, everything, places["fit"])
    if "fresh" in stages:
        cells = fresh_cells(preset, found["fit"], choices, places["models"])
        found["fresh"] = run_stage(given, cells, everything, places["fresh"])
    if "time" in stages:
        cells = timing_cells(preset, found["fit"], choices, places["models"])
        found["time"] = run_stage(given, cells, everything, places["time"])
    if "table" in stages and found["fit"] and not given.status:
        theirs = kept(peers.cells(peers.PRESETS[given.preset]), places["peers"])
        rows = joined([*found["fit"], *theirs], found["time"], [*found["tune"], *found["final"]])
        write_table(given.out, rows)
        cells = fitting_cells(preset, choices, places["models"])
        if places["peers"].is_file():
            cells += peers.cells(peers.PRESETS[given.preset])
        text = rendered(rows, found["fresh"], [cell.key for cell in cells])
        with replacing(given.out.with_suffix(".md")) as draft:
            draft.write_text(text, encoding="utf-8")
        print(text)
        for picture in plots(rows, given.out.parent, preset, places["models"]):
            print(f"plot: {picture}")
