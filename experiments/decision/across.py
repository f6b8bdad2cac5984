"""The benchmark over instances: tasks and data drawn anew, every contender tuned and judged alike on each.

python -m experiments.decision --preset paper --instances 5 [--table] [--only n=10 model=soc-partial] [--jobs N]

A cell is an instance, task, n, model and loss, and all of its work: five configurations tried briefly, three trained in
full, the best of them judged on 1,000 fresh contexts. It is kept as soon as it is finished. The first cell of an n and
model trains for all tasks and instances that are run, side by side; the others find their models in the folder
`decision_instances.models` beside the table. Stop it at any time: every stack that is trained is kept, and every cell.
`--status` says how many hours are left, `--table` renders what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from decision import tasks
from experiments.decision import hours
from experiments.decision.contest import contend
from experiments.decision.instances import Sizes
from experiments.decision.models import as_seed, configurations
from experiments.decision.ratios import rendered
from experiments.decision.versions import bound
from experiments.engine.options import Options
from experiments.engine.store import kept
from experiments.engine.sweep import Cell
from experiments.peers import cells as peers
from experiments.peers.layers import contend_layer
from experiments.peers.lpcf import contend_lpcf
from socicnn._files import replacing

FINALISTS = 3  # configurations that are trained in full: which is best then, short training does not always say
FIRST = (("soc-partial", "within_context"), ("structured-dcp", "within_context"))
CHEAP = tuple((name, "within_context") for name in ("smooth-partial", "structured-pcf", "focused-partial"))
DEAR = (
    *(("cvxpylayers", "within_context"), ("lpcf", "within_context")),
    *(("soc-joint", "seed"), ("quad-joint", "seed")),
)


@dataclass(frozen=True)
class Contest:
    """What the benchmark over instances covers.

    Args:
        tasks: names of the tasks.
        features: numbers n of inputs.
        rounds: (model, loss) of the contenders, in the order that they are run.
        dear: rounds with an n up to `dear_features` only.
        dear_features: see `dear`.
        sizes: of the data.
        fresh: contexts to judge on.
        peers: name of the peers' preset.
    """

    tasks: tuple[str, ...]
    features: tuple[int, ...]
    rounds: tuple[tuple[tuple[str, str], ...], ...]
    dear: tuple[tuple[str, str], ...]
    dear_features: int
    sizes: Sizes
    fresh: int
    peers: str


CONTESTS = {
    "tiny": Contest(
        ("simplex_socp", "box_logsumexp"),
        (3,),
        (FIRST,),
        (("soc-joint", "seed"),),
        3,
        Sizes(contexts=40, candidates=6, tests=5, tuning=4, share=0.02, tuning_share=0.01, exact=2),
        12,
        "tiny",
    ),
    "paper": Contest(tuple(tasks.names()), (10, 20, 50), (FIRST, CHEAP), DEAR, 20, Sizes(), 1000, "paper"),
}


def cells(contest: Contest, instances: int, models: str, beside: Sequence[tuple[str, int]] = ()) -> list[Cell]:
    """Return one cell per instance, task, n, model and loss, those of the closest contenders first.

    Args:
        contest: what is covered.
        instances: how many instances there are.
        models: folder that trained models are kept in.
        beside: (task, instance) of what is trained side by side.
    """
    dear = tuple((pair,) for pair in contest.dear)
    return [
        cell(contest, models, {"instance": instance, "task": task, "n": n, "model": model, "loss": loss}, beside)
        for n in contest.features
        for pairs in (*contest.rounds, *(dear if n <= contest.dear_features else ()))
        for instance in range(1, instances + 1)
        for task in contest.tasks
        for model, loss in pairs
    ]


def cell(contest: Contest, models: str, key: dict[str, Any], beside: Sequence[tuple[str, int]] = ()) -> Cell:
    """Return the cell of a contender."""
    shared = {"sizes": asdict(contest.sizes), "fresh": contest.fresh, "version": bound()}
    model, given = str(key["model"]), peers.PRESETS[contest.peers]
    if model == "lpcf":
        return Cell(key, contend_lpcf, {**shared, **given.lpcf, "configurations": peers.LPCF_CONFIGURATIONS})
    if model == "cvxpylayers":
        return Cell(key, contend_layer, {**shared, **given.layer, "configurations": peers.LAYER_CONFIGURATIONS})
    if key["loss"] == "seed":  # large networks and batches, which gain nothing side by side
        return Cell(key, contend, {**shared, "configurations": [as_seed(model)], "finalists": 1}, {"models": models})
    own = {"configurations": configurations(model, key["n"]), "finalists": FINALISTS}
    return Cell(key, contend, {**shared, **own}, {"models": models, "beside": list(beside)})


def run(given: Options, instances: int, *, table: bool) -> None:
    """Run the cells that are not finished, unless only the table is asked for, and render what there is."""
    out = given.out
    contest, numbers = CONTESTS[given.preset], range(1, instances + 1)
    wanted = given.only.get("instance", list(map(str, numbers)))
    beside = [
        (task, number) for task in given.only.get("task", contest.tasks) for number in numbers if str(number) in wanted
    ]
    every = cells(contest, instances, str(out.with_suffix(".models")), beside)
    rows = kept(every, out) if table else given.run(every).rows
    if given.status:
        print(hours.rendered(rows, every))
    if given.status or not rows:
        return
    text = rendered(rows, [cell.key for cell in every])
    with replacing(out.with_suffix(".md")) as draft:
        draft.write_text(text, encoding="utf-8")
    print(text)
