"""What helps a surrogate decide, beside its loss: one partial network, trained as always or with one option each.

python -m experiments.ablation --preset tiny|paper [--only option=active,uniform n=10] [--render]

| option | what it does |
|---|---|
| uniform | the default: uniform candidates, within-context loss |
| longer | the same, then trained on as `active` does, but without new labels: the control |
| boundary, vertices | half of the candidates reach the boundary, or are averages of few vertices |
| active | two rounds: the decisions of all training contexts and 7 points near each are labelled; train on |
| active-within | the same with fewer candidates at first, so that the labels are as many as the default's |
| focused | fine-tuning on the true cost through the argmin |
| average | a quarter more epochs at a constant rate, the weights of all their steps averaged |
| ensemble | the mean of two networks, of this seed and of another one |
| polish | 40 iterations of L-BFGS on all data |

Every labelled point is counted (a gradient of the true cost as n + 1), every option's time includes the first training.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import decision
from decision._deciding import decide
from decision.learning import ActiveOptions, Ensemble, WeightAverage, fit_active, fit_focused
from decision.metrics import evaluate, within_context_error
from decision.tasks import Data, Task, make
from experiments.decision.models import make as make_model
from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, Value, markdown, read_table
from socicnn.nn import load, save
from socicnn.nn._network import Network
from socicnn.nn._storage import load_metadata
from socicnn.training._options import FitOptions, gathered

VERSION = 1  # goes up when a job changes
RTOL = 1e-6
TASK_SEED, TRAIN, VALIDATION, TEST = 2026, 1, 2, 3
RATE = 5e-3
ROUNDS = 2  # of active candidates
OPTIONS = (
    "uniform",
    "longer",
    "boundary",
    "vertices",
    "active",
    "active-within",
    "focused",
    "average",
    "ensemble",
    "polish",
)


@dataclass(frozen=True)
class Sizes:
    """How much of everything.

    Args:
        contexts: training contexts.
        candidates: labelled candidates of each.
        tests: test contexts.
        epochs: of the first training.
        near: points near each decision that are labelled, a round.
        steps: of fine-tuning.
        polish: iterations of L-BFGS.
    """

    contexts: int = 1000
    candidates: int = 64
    tests: int = 200
    epochs: int = 40
    near: int = 7
    steps: int = 30
    polish: int = 40


@dataclass(frozen=True)
class Preset:
    """What is covered: (task, n, seeds), and sizes."""

    instances: tuple[tuple[str, int, int], ...]
    sizes: Sizes


PRESETS = {
    "tiny": Preset((("box_socp", 3, 2),), Sizes(40, 20, 5, 4, 2, 3, 2)),
    "paper": Preset(
        (("budget_huber", 10, 2), ("box_socp", 10, 2), ("simplex_logistic", 10, 2), ("budget_huber", 50, 1)), Sizes()
    ),
}


@dataclass
class Setting:
    """One instance, and where networks that have been trained are kept.

    Args:
        task: the task.
        seed: of the initial weights, the split and the batches.
        sizes: how much of everything.
        models: folder of the kept networks.
        first: seconds that the first trainings took, now or when they were made.
        passed: seconds that they took now.
    """

    task: Task
    seed: int
    sizes: Sizes
    models: Path
    first: float = 0.0
    passed: float = 0.0

    def data(self, sampler: str = "uniform", candidates: int | None = None) -> Data:
        """Return the training data."""
        return self.task.sample(self.sizes.contexts, candidates or self.sizes.candidates, seed=TRAIN, sampler=sampler)

    def fit(self, model: Network, data: Data, seed: int, **changed: Any) -> None:
        """Train a network with the settings that all options share."""
        shared = {"epochs": self.sizes.epochs, "batch_size": 16, "learning_rate": RATE, "weight_decay": 0.1}
        settings = gathered({**shared, "optimiser": "adamw", **changed})
        decision.fit(model, data, seed=seed, progress=False, **settings)

    def trained(self, data: Data, sampler: str = "uniform", seed: int | None = None) -> Network:
        """Return a network after the first training; one that is kept is read."""
        started = time.process_time()
        model, seconds = self._kept_or_trained(data, sampler, seed)
        self.first += seconds
        self.passed += time.process_time() - started
        return model

    def _kept_or_trained(self, data: Data, sampler: str, seed: int | None) -> tuple[Network, float]:
        seed, n = self.seed if seed is None else seed, self.task.in_features
        kept = f"{self.task.name}-{n}-{sampler}-{data.y.shape[1]}-{len(data)}-{self.sizes.epochs}-{seed}-{VERSION}"
        path = self.models / f"{kept}.safetensors"
        if path.is_file():
            return load(path), float(load_metadata(path)["seconds"])
        started = time.process_time()
        shape = {"hidden_features": (), "norm": (4,) * max(12, n // 2 + 7), "context_hidden": 8}
        model = make_model("soc-partial", n, self.task.context_features, seed, shape)
        self.fit(model, data, seed)
        seconds = time.process_time() - started
        path.parent.mkdir(parents=True, exist_ok=True)
        save(model, path, {"seconds": seconds})
        return model, seconds


Learned = tuple[Any, int]  # what `decide` takes, and labels


def sampled(sampler: str) -> Callable[[Setting], Learned]:
    """Return the way that trains on candidates of that law."""

    def learn(given: Setting) -> Learned:
        data = given.data(sampler)
        model = given.trained(data, sampler)
        return model, data.labels

    return learn


def longer(given: Setting) -> Learned:
    """Train on twice for a quarter of the epochs, as `fit_active` does, without new labels."""
    data = given.data()
    model = given.trained(data)
    for _ in range(ROUNDS):
        given.fit(
            model, data, given.seed, standardise=False, epochs=max(1, given.sizes.epochs // 4), learning_rate=RATE / 2
        )
    return model, data.labels


def active(within: bool) -> Callable[[Setting], Learned]:
    """Return the way that labels its own decisions, perhaps within the default's number of labels."""

    def learn(given: Setting) -> Learned:
        sizes = given.sizes
        data = given.data(candidates=sizes.candidates - ROUNDS * (1 + sizes.near) if within else None)
        model = given.trained(data)
        found = fit_active(
            model,
            given.task,
            data,
            rounds=ROUNDS,
            near=sizes.near,
            epochs=sizes.epochs,
            first=False,
            options=ActiveOptions(
                learning_rate=RATE, batch_size=16, training=FitOptions(optimiser="adamw", weight_decay=0.1)
            ),
            seed=given.seed,
            progress=False,
        )
        return model, found.data.labels

    return learn


def focused(given: Setting) -> Learned:
    """Fine-tune on the true cost."""
    data = given.data()
    model = given.trained(data)
    found = fit_focused(model, given.task, data, steps=given.sizes.steps, seed=given.seed, progress=False)
    return model, data.labels + found.labels


def averaged(given: Setting) -> Learned:
    """Train a quarter longer at a constant rate, and average the weights."""
    data, mean = given.data(), WeightAverage()
    model = given.trained(data)
    longer = {"epochs": max(1, given.sizes.epochs // 4), "learning_rate": RATE / 2, "schedule": "constant"}
    given.fit(model, data, given.seed, standardise=False, on_step=mean, **longer)
    mean.put(model)
    return model, data.labels


def ensemble(given: Setting) -> Learned:
    """Average the functions of two networks."""
    data = given.data()
    members = [given.trained(data, seed=given.seed + shift) for shift in (0, 100)]
    return Ensemble(members), data.labels


def polished(given: Setting) -> Learned:
    """Finish by L-BFGS: `fit` with one epoch at a rate that moves nothing."""
    data = given.data()
    model = given.trained(data)
    given.fit(model, data, given.seed, standardise=False, epochs=1, learning_rate=1e-12, polish=given.sizes.polish)
    return model, data.labels


WAYS: dict[str, Callable[[Setting], Learned]] = {
    "uniform": sampled("uniform"),
    "longer": longer,
    "boundary": sampled("boundary"),
    "vertices": sampled("vertices"),
    "active": active(within=False),
    "active-within": active(within=True),
    "focused": focused,
    "average": averaged,
    "ensemble": ensemble,
    "polish": polished,
}


def learn_and_decide(
    *, task: str, n: int, option: str, seed: int, sizes: dict[str, Any], models: str, version: int
) -> list[Row]:
    """Train with one option and judge the decisions for the test contexts."""
    given = Setting(make(task, features=n, seed=TASK_SEED), seed, Sizes(**sizes), Path(models))
    started = time.process_time()
    model, labels = WAYS[option](given)
    spent = time.process_time() - started - given.passed + given.first
    theta = given.task.sample_contexts(given.sizes.tests, seed=TEST)
    made = model if isinstance(model, Ensemble) else model.finalise()
    answer = decide(made.double(), given.task.feasible_set, theta, rtol=RTOL)
    judged = evaluate(given.task, answer, theta, optimum=given.task.optimum(theta)).row()
    validation = given.task.sample(given.sizes.contexts, given.sizes.candidates, seed=VALIDATION)
    values = made(validation.x, validation.context.unsqueeze(1)).detach()
    return [
        {
            "labels": labels,
            "train_s": spent,
            "regret_mean": judged["regret_mean"],
            "regret_median": judged["regret_median"],
            "regret_max": judged["regret_max"],
            "within_context_error": within_context_error(values, validation.y),
            "relative_gap_max": judged["relative_gap_max"],
        }
    ]


def cells(preset: Preset, models: Path) -> list[Cell]:
    """Return one cell per task, n, option and seed."""
    settings = {"sizes": asdict(preset.sizes), "models": str(models), "version": VERSION}
    return [
        Cell({"task": task, "n": n, "option": option, "seed": seed}, learn_and_decide, settings)
        for task, n, seeds in preset.instances
        for option in OPTIONS
        for seed in range(seeds)
    ]


def rendered(rows: Sequence[Mapping[str, Value]]) -> str:
    """Return a Markdown table for each task and n: means over the seeds, ratios to `uniform` with the same seeds."""
    parts = []
    for task, n in dict.fromkeys((row["task"], row["n"]) for row in rows):
        mine = [row for row in rows if (row["task"], row["n"]) == (task, n)]
        table: list[Row] = []
        for option in OPTIONS:
            found = [row for row in mine if row["option"] == option]
            if not found:
                continue
            regret, seeds = _mean(found, "regret_mean"), {row["seed"] for row in found}
            base = [row for row in mine if row["option"] == "uniform" and row["seed"] in seeds]
            table.append(
                {
                    "option": option,
                    "seeds": len(seeds),
                    "labels": f"{_mean(found, 'labels'):,.0f}",
                    "train, s": f"{_mean(found, 'train_s'):.0f}",
                    "regret, mean": f"{regret:.4f}",
                    "median": f"{_mean(found, 'regret_median'):.4f}",
                    "max": f"{_mean(found, 'regret_max'):.3f}",
                    "against uniform": f"{regret / _mean(base, 'regret_mean'):.2f}",
                    "within-context error": f"{_mean(found, 'within_context_error'):.4f}",
                    "relative gap, max": f"{_mean(found, 'relative_gap_max'):.0e}",
                }
            )
        parts.append(f"**{task}, n = {n}**\n\n{markdown(table)}")
    return "\n\n".join(parts)


def _mean(rows: Sequence[Mapping[str, Value]], column: str) -> float:
    values = [float(row[column]) for row in rows]  # type: ignore[arg-type]  # numbers by construction
    return statistics.fmean(values) if values else float("nan")


def main(argv: Sequence[str] | None = None) -> None:
    def extend(parser: argparse.ArgumentParser) -> Any:
        parser.add_argument("--render", action="store_true", help="print the tables in Markdown, and run nothing")

    given = options("ablation", "Compare what surrogates learn from, by their decisions.", argv, extend=extend)
    if given.others.render:
        print(rendered(read_table(given.out)))
        return
    # the networks are no results: they lie beside the other working files
    outcome = given.run(cells(PRESETS[given.preset], Path("out") / f"{given.out.stem}.models"))
    if outcome.rows and not given.status:
        print(rendered(outcome.rows))


if __name__ == "__main__":
    main()
