"""Against half of every baseline: what version 1 left within six times of ours, again under today's protocol.

python -m experiments.decision --preset paper --half [--table] [--only task=budget_huber seed=0]

The instance is that of version 1. Every baseline whose regret was there less than six times that of ours is tuned,
trained and judged anew, and all structured ones on simplex_logistic, whose smooth costs gain most by a finish; ours too
where a baseline stood within three times or regrets are near the accuracy of version 1. Seed 0 of the network chooses
among the configurations, as in `across`; the other seeds train the chosen one. A cell is a task, n, model, loss and
seed, judged on 1,000 fresh contexts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from experiments.decision.across import FINALISTS
from experiments.decision.balanced import contend_balanced
from experiments.decision.contest import contend
from experiments.decision.half_table import rendered
from experiments.decision.instances import Sizes
from experiments.decision.models import BALANCED, FOCUSED, SMOOTH, configurations
from experiments.decision.versions import bound
from experiments.engine.options import RESULTS, Options
from experiments.engine.pages import Page
from experiments.engine.store import Store
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, Value
from experiments.peers import cells as peers
from experiments.peers.layers import contend_layer

LOSS = "within_context"
KEPT = RESULTS / "decision_half.csv"
PAGE = Page("decisions.md", "python -m experiments.decision --preset paper --half --table")


@dataclass(frozen=True)
class Half:
    """What is run again.

    Args:
        plan: the models that are run for a task and n, in the order that they are run.
        seeds: how many seeds of the network.
        sizes: of the data.
        fresh: contexts to judge on.
        peers: name of the peers' preset.
    """

    plan: tuple[tuple[str, int, tuple[str, ...]], ...]
    seeds: int
    sizes: Sizes
    fresh: int
    peers: str


OURS, PCF, DCP, LAYER = "soc-partial", "structured-pcf", "structured-dcp", "cvxpylayers"
PRESETS = {
    "tiny": Half(
        (("simplex_logistic", 3, (SMOOTH, DCP)),),
        2,
        Sizes(contexts=40, candidates=6, tests=5, tuning=4, share=0.02, tuning_share=0.01, exact=2),
        12,
        "tiny",
    ),
    "paper": Half(
        (
            ("simplex_logistic", 10, (SMOOTH, DCP, OURS, FOCUSED)),
            ("box_logsumexp", 10, (SMOOTH, DCP)),
            ("budget_huber", 10, (SMOOTH, DCP)),
            ("budget_huber", 50, (SMOOTH,)),
            # the closest by version 1 come first
            ("simplex_socp", 10, (PCF, OURS, DCP)),
            ("budget_twocone_socp", 10, (DCP, OURS, LAYER, BALANCED)),
            ("budget_huber", 20, (DCP, OURS, LAYER)),
            ("budget_huber", 50, (LAYER, DCP, PCF)),
            ("budget_twocone_socp", 20, (LAYER,)),
            ("box_logsumexp", 10, (LAYER, PCF)),
            ("simplex_logistic", 50, (PCF, SMOOTH, DCP, LAYER)),
            ("simplex_logistic", 20, (DCP, PCF, LAYER, OURS)),
            # no rival is near, but regrets are near the accuracy of version 1
            ("simplex_socp", 20, (OURS,)),
            ("simplex_socp", 50, (OURS,)),
            ("box_logsumexp", 50, (LAYER,)),
            ("box_logsumexp", 20, (LAYER,)),
            ("budget_huber", 10, (LAYER,)),
            ("budget_twocone_socp", 50, (LAYER,)),
        ),
        3,
        Sizes(),
        1000,
        "paper",
    ),
}


def cells(half: Half, rows: Sequence[Mapping[str, Value]], models: str) -> list[Cell]:
    """Return one cell per task, n, model and seed; those of a further seed only where the first has chosen."""
    chosen = {(row["task"], row["n"], row["model"]): row["configuration"] for row in rows if row["seed"] == 0}
    layer = {**peers.PRESETS[half.peers].layer, "configurations": peers.LAYER_CONFIGURATIONS}
    found: list[Cell] = []
    for task, n, contenders in half.plan:
        for model, seed in product(contenders, range(half.seeds)):
            key: dict[str, Any] = {"instance": 0, "seed": seed, "task": task, "n": n, "model": model, "loss": LOSS}
            choice: dict[str, Any] = {}
            if seed:
                if (task, n, model) not in chosen:
                    continue
                choice["chosen"] = chosen[task, n, model]
            shared = {"sizes": asdict(half.sizes), "fresh": half.fresh, "version": bound(), **choice}
            if model == LAYER:
                found.append(Cell(key, contend_layer, {**shared, **layer}))
                continue
            own = {"finalists": FINALISTS, "configurations": configurations(model, n)}
            if model == BALANCED:
                found.append(Cell(key, contend_balanced, {**shared, **own}))
                continue
            found.append(Cell(key, contend, {**shared, **own}, {"models": models}))
    return found


def kept_rows(half: Half, out: Path, models: str) -> list[Row]:
    """Return the kept rows that today's settings would make, those of further seeds too."""
    first = Store(out, cells(half, [], models)).outcome().rows
    return Store(out, cells(half, first, models)).outcome().rows


def run(given: Options, *, table: bool) -> None:
    """Run the first seed, then the others with its choice, and render what there is."""
    half, models = PRESETS[given.preset], str(given.out.with_suffix(".models"))
    if not table:
        for seeds in (range(1), range(1, half.seeds)):
            wanted = [str(seed) for seed in seeds if str(seed) in given.only.get("seed", [str(seed)])]
            if wanted:
                every = cells(half, kept_rows(half, given.out, models), models)
                replace(given, only={**given.only, "seed": wanted}).run(every)
    rows = kept_rows(half, given.out, models)
    if given.status or not rows:
        return
    text = rendered(rows, RESULTS)
    if given.out == KEPT:
        PAGE.write(text)
    print(text)
