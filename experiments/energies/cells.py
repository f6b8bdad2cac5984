"""The sweep: a cell is a surrogate, the way it is made and trained, and a seed of the network; data have one seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.energies import deciding, judging, networks, training
from experiments.energies.problem import Problem, References, Split
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row
from socicnn._arrays import Array

TYPE = torch.float32  # of training, and of the contexts that are decided
FOLDER = Path("out") / "networks"  # where weights are kept
EXACT, PROVEN = "exact", "exact, proven"  # the cell of the exact program and of methods without learning; its proof
SOLVERS: dict[str, dict[str, float]] = {"ECOS": {}, "SCS": {"eps": 1e-5}}  # beside Clarabel, for the first contexts
FIRST = 3
DECIDED = ("steps", "certified")  # ways of deciding


def folder(version: int) -> Path:
    """Return where the weights that a version of the experiments trains are kept."""
    return FOLDER / f"version-{version}"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A problem, its data, and the exact minimisers of the test contexts."""

    problem: Problem
    train: Split
    validation: Split
    test: Split
    exact: References

    @classmethod
    def of(cls, problem: Problem) -> Prepared:
        """Return a problem with its data and references."""
        splits = problem.splits()
        return cls(problem, *splits, problem.references(splits[2].context))

    def figures(self, x: Array) -> Row:
        """Return what decisions `(contexts, n)` cost, and how near they are to the exact and to the clean ones."""
        lost = judging.regret(self.problem, x, self.test.context, self.exact.energy)
        return {
            "regret": float(lost.mean()),
            "regret_median": float(np.median(lost)),
            "distance": float(np.sqrt(((x - self.exact.x) ** 2).mean())),
            **self.problem.quality(x, self.test.clean),
        }


@dataclass(frozen=True)
class Made:
    """A surrogate of a problem.

    Args:
        name: of the surrogate.
        way: how it is trained.
        seed: of the network and its batches.
        epochs: of the paper's training, of training within contexts, and of that with slopes.
        folder: where its weights are kept.
    """

    name: networks.Name
    way: networks.Way
    seed: int
    epochs: Sequence[int]
    folder: Path

    def count(self, problem: Problem) -> int:
        """Return how many passes over the training data are made."""
        longer = problem.patience if (self.name, self.way) == ("shape", "within") else 1
        return self.epochs[networks.WAYS.index(self.way)] * longer

    def path(self, prepared: Prepared) -> Path:
        """Return the file of the weights."""
        size = "x".join(map(str, (*prepared.problem.shape, len(prepared.train), self.count(prepared.problem))))
        return self.folder / f"{self.name}-{self.way}-{self.seed}-{size}.pt"

    def trained(self, prepared: Prepared) -> tuple[Any, float]:
        """Return the trained surrogate, and the seconds of its training; weights that are kept are read."""
        model = networks.make(prepared.problem, self.name, self.seed)

        def run() -> float:
            data = prepared.train, prepared.validation
            return training.train(model, self.way, prepared.problem, *data, self.count(prepared.problem), self.seed)

        return model, training.kept(self.path(prepared), model, run)


def drawable(shown: Sequence[Made], prepared: Prepared, figure: Path) -> bool:
    """Return whether a figure can be drawn: whether the weights of all networks in it are kept; else say what lacks."""
    lacking = [f"{made.name} ({made.way})" for made in shown if not made.path(prepared).is_file()]
    if lacking:
        print(f"{figure.name} stays as it is: the weights of {', '.join(lacking)} are not kept")
    return not lacking


def judged(prepared: Prepared, made: Made, rtol: float, decided: Sequence[str] = DECIDED) -> list[Row]:
    """Train a surrogate, decide every test context, and return one row per way of deciding.

    Args:
        prepared: the problem with its data.
        made: the surrogate.
        rtol: relative accuracy of certified decisions.
        decided: ways of deciding.
    """
    problem, seed = prepared.problem, made.seed
    model, seconds = made.trained(prepared)
    relative, within = judging.errors(model, prepared.test)
    theta: Tensor = prepared.test.context.to(TYPE)
    shared: Row = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "relative_error": relative,
        "within_error": within,
        "train_s": seconds,
    }
    method = problem.methods.get(made.name)
    answers = {
        way: deciding.by_steps(model, problem, theta, seed)
        if way == "steps"
        else deciding.certified(model, problem, theta, rtol, method)
        for way in decided
    }
    return [
        {"decided": method, **shared, **prepared.figures(answer.x), "gap": answer.gap, "decide_s": answer.seconds}
        for method, answer in answers.items()
    ]


def without_learning(prepared: Prepared) -> list[Row]:
    """Return one row for the exact program and one for every method without learning."""
    others = prepared.problem.classical(prepared.test.context)
    rows: list[Row] = [{"decided": method, **prepared.figures(x)} for method, x in others.items()]
    exact = prepared.exact
    shared: Row = {"energy": float(exact.energy.mean()), **prepared.figures(exact.x)}
    gap, seconds = prepared.problem.proven(prepared.test.context, exact.energy)
    proven: Row = {"decided": PROVEN, **shared, "gap": gap, "decide_s": seconds}
    return [{"decided": EXACT, **shared, "decide_s": exact.seconds}, proven, *_solvers(prepared), *rows]


def _solvers(prepared: Prepared) -> list[Row]:
    """Return what other solvers take for the exact program of the first contexts, and what they lose."""
    rows: list[Row] = []
    for solver, options in SOLVERS.items():
        answer = prepared.problem.references(prepared.test.context[:FIRST], solver, **options)
        lost = answer.energy - prepared.exact.energy[:FIRST]
        rows.append({"decided": f"exact, {solver}", "regret": float(lost.mean()), "decide_s": answer.seconds})
    return rows


def cells(
    job: Callable[..., list[Row]],
    names: Sequence[str],
    seeds: int,
    settings: dict[str, Any],
    size: dict[str, int],
    sloped: Sequence[str] = (),
    decided: Sequence[str] = (),
    trained: int | None = None,
) -> list[Cell]:
    """Return the cell without learning, then one per surrogate, way and seed; `size` tells the problem in every key.

    The surrogates in `sloped` are also trained with slopes. Ways of deciding in `decided` have cells of their own
    (`means`); the first that runs trains for all. Weights are kept below `out/networks`, in a folder per version of
    training, `trained`, or of the settings if that is omitted.
    """
    keys = [(EXACT, "none", 0)]
    ways = [(name, way) for name in names for way in ("paper", "within") if (name, way) != ("shape", "paper")]
    ways += [(name, "slopes") for name in names if name in sloped]
    keys += [(name, way, seed) for name, way in ways for seed in range(seeds)]
    places = {"folder": str(folder(trained or settings["version"]))}
    cells = []
    for name, way, seed in keys:
        key = {**size, "name": name, "way": way, "seed": seed}
        apart = [{"means": means} for means in (("none",) if name == EXACT else decided)] if decided else [{}]
        cells += [Cell({**key, **more}, job, settings, places) for more in apart]
    return cells
