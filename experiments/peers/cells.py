"""The peers of experiment 3: lpcf, and layers of cvxpylayers trained end to end, on the same tasks.

python -m experiments.peers --preset tiny|paper [--jobs N] [--only n=10 model=lpcf ...]

lpcf runs in an environment of its own (`make .venv-pcf/.ready`), cvxpylayers comes with `pip install 'socicnn[dcp]'`.
Both are capped alike in every cell, as `PRESETS` says, because each works with thousands of solves or on all points at
once. Times are CPU seconds, so that cells may run beside other work. A row is a task, n, model, loss, method and seed.
Losses `lpcf` and `end_to_end` are the peers' own; `within_context` is ours in the place of lpcf's, and the start from
which a layer is then trained end to end. Method `certified` decides by our optimiser, `exact` as the peer itself does,
with Clarabel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from decision import tasks
from experiments.decision.instances import Sizes
from experiments.decision.versions import bound
from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.peers.layers import END_TO_END_CONFIGURATIONS, LAYER_CONFIGURATIONS, peer_layer
from experiments.peers.lpcf import LPCF_CONFIGURATIONS, peer_lpcf


@dataclass(frozen=True)
class Preset:
    """What the peers are run on.

    Args:
        tasks: names of the tasks.
        features: numbers n of inputs.
        seeds: how many seeds.
        sizes: of the data.
        lpcf: caps of lpcf.
        layer: caps of cvxpylayers.
    """

    tasks: tuple[str, ...]
    features: tuple[int, ...]
    seeds: int
    sizes: Sizes
    lpcf: dict[str, Any]
    layer: dict[str, Any]


PRESETS = {
    "tiny": Preset(
        ("simplex_socp",),
        (3,),
        1,
        Sizes(contexts=30, candidates=4, tests=4, tuning=3, exact=2),
        {
            "final": {"contexts": 30, "candidates": 4, "adam_epochs": 10, "lbfgs_epochs": 10},
            "tuning": {"contexts": 10, "candidates": 4, "adam_epochs": 2, "lbfgs_epochs": 2},
        },
        {
            "final": {"contexts": 10, "epochs": 2},
            "tuning": {"contexts": 5, "epochs": 1},
            "values": {"configuration": 2, "share": 0.01},
        },
    ),
    "paper": Preset(
        tuple(tasks.names()),
        (10, 20, 50),
        3,
        Sizes(),
        {
            "final": {"contexts": 1000, "candidates": 8, "adam_epochs": 50, "lbfgs_epochs": 250},
            "tuning": {"contexts": 250, "candidates": 8, "adam_epochs": 20, "lbfgs_epochs": 100},
        },
        {
            "final": {"contexts": 400, "epochs": 6},
            "tuning": {"contexts": 100, "epochs": 2},
            "values": {"configuration": 2, "share": 0.2},
        },
    ),
}


def cells(preset: Preset) -> list[Cell]:
    """Return one cell per task, n, model, loss and seed, the cheap ones first."""
    shared = {"sizes": asdict(preset.sizes), "version": bound()}
    kinds: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("cvxpylayers", "within_context", peer_layer, {"configurations": LAYER_CONFIGURATIONS, **preset.layer}),
        ("lpcf", "within_context", peer_lpcf, {"configurations": LPCF_CONFIGURATIONS, **preset.lpcf}),
        ("cvxpylayers", "end_to_end", peer_layer, {"configurations": END_TO_END_CONFIGURATIONS, **preset.layer}),
        ("lpcf", "lpcf", peer_lpcf, {"configurations": LPCF_CONFIGURATIONS, **preset.lpcf}),
    ]
    return [
        Cell({"task": task, "n": n, "model": model, "loss": loss, "seed": seed}, job, {**shared, **settings})
        for n in preset.features
        for model, loss, job, settings in kinds
        for task in preset.tasks
        for seed in range(preset.seeds)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    given = options("peers", "Fit the peers on the tasks, decide with them, and judge the decisions.", argv)
    given.run(cells(PRESETS[given.preset]))
