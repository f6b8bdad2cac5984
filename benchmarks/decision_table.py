"""Decisions beside prepared solvers, row by row with what each row has to reach.

python -m benchmarks.decision_table [--preset paper|asked|smooth|short|tiny] [--repeat 3]

Times are CPU milliseconds per decision, one thread, medians of rounds in which each way takes its turn; ratios are
medians of the rounds' ratios, so that what else runs on the machine hardly counts. Raw solvers are set up once and get
vectors that were made before the clock starts; their answers carry no proof (`benchmarks.raw_peers`). Ours is a
`decision.Decider`, called with contexts: vectors, search and the proof of a relative gap of 1e-6 are on the clock, and
so is `exact`. A peer counts as fastest if its values are within 1e-5 of the scale from ours. `decide` leaves out units
that are read out with weight zero alone; where there are some, Clarabel is timed on the program without them, too
("live"). The preset `asked` has the rows that have something to reach.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

import decision
from benchmarks import raw_peers
from decision import surrogates, tasks
from decision._minimise.stack_surrogate import StackSurrogate
from experiments.engine.tables import markdown
from socicnn._arrays import Array
from socicnn._compile import compile_net, frozen
from socicnn.frozen import FrozenNet

RTOL = 1e-6
NEAR = 1e-5  # of the scale: how far a peer's value may be from ours
FEW = 12  # problems that solvers are timed on at most


@dataclass(frozen=True)
class Case:
    """A surrogate over a task's set at n inputs.

    Args:
        surrogate: its name.
        task: the task's name.
        n: number of inputs.
        asks: how many times Clarabel's speed each batch size has to reach; None for a row that is only shown.
        few: problems that solvers, and `exact`, are timed on at most.
        against: how many times the speed of the fastest solver each batch size has to reach.
        exact: how many times Clarabel's time `exact` may take at each batch size.
        peers: solvers to time; all that are installed if omitted.
    """

    surrogate: str
    task: str
    n: int
    asks: dict[int, float | None]
    few: int = FEW
    against: dict[int, float] = field(default_factory=dict)
    exact: dict[int, float] = field(default_factory=dict)
    peers: tuple[str, ...] | None = None

    def asked(self, batch: int) -> bool:
        """Return whether something has to be reached at a batch size."""
        return self.asks[batch] is not None or batch in self.against or batch in self.exact


PRESETS: dict[str, list[Case]] = {
    "tiny": [Case("soc-partial", "simplex_socp", 4, {1: None, 6: None}), Case("relu-joint", "box_socp", 3, {2: None})],
    "short": [
        Case("soc-partial", "simplex_socp", 10, {1: None, 64: None, 200: 2.0}, 200, exact={200: 1.5}),
        Case("soc-partial", "simplex_socp", 50, {1: 5.0, 64: None, 200: 12.0}),
        Case("soc-partial", "box_socp", 10, {200: 2.0}),
        Case("soc-partial", "budget_huber", 10, {200: 2.0}),
        Case("soc-partial", "box_socp", 50, {1: None, 200: 8.0}),
        Case("soc-partial", "budget_huber", 50, {1: None, 200: 8.0}),
        Case("relu-joint", "simplex_socp", 10, {1: None, 64: None, 200: None}, 8, exact={200: 1.0}),
    ],
}
PRESETS["paper"] = [
    *PRESETS["short"],
    Case("soc-partial", "simplex_socp", 200, {1: None, 64: None, 200: 10.0}, few=4),
    Case("soc-partial", "box_socp", 200, {200: 6.0}, few=4),
    Case("soc-partial", "budget_huber", 200, {200: 6.0}, few=4),
    Case("relu-joint", "simplex_socp", 50, {200: 60.0}, few=3),
    Case("soc-joint", "simplex_socp", 50, {200: 60.0}, few=3),
    # ECOS and QOCO take longer than Clarabel here, and PIQP minutes
    Case("soc-partial", "simplex_socp", 1000, {1: None, 16: None}, 1, {1: 5.0, 16: 5.0}, peers=("Clarabel",)),
    Case("relu-joint", "simplex_socp", 1000, {1: None, 16: None}, 4, {1: 5.0, 16: 5.0}, peers=("Clarabel", "HiGHS")),
]
PRESETS["smooth"] = [  # softplus units are exponential cones: their ratio is to be that of SOC networks in the same run
    Case(f"{kind}-{context}", "simplex_socp", 50, {200: None}, few=few, peers=("Clarabel", "ECOS"))
    for context, few in (("partial", 6), ("joint", 2))
    for kind in ("soc", "softplus")
]
PRESETS["asked"] = [
    replace(case, asks={batch: ask for batch, ask in case.asks.items() if case.asked(batch)})
    for case in PRESETS["paper"]
]
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Print the rows of a preset, and return them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="short")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for case in PRESETS[given.preset]:
        for row in measured(case, given.repeat):
            rows.append(row)
            text = markdown([row])
            print(text if len(rows) == 1 else text.splitlines()[-1], flush=True)
    return rows


def measured(case: Case, repeat: int) -> list[Row]:
    """Return a row for each batch size."""
    task = tasks.make(case.task, features=case.n, seed=2026)
    data = task.sample(200 if case.n <= 200 else 40, 16, seed=1)
    network = surrogates.make(case.surrogate, case.n, generator=torch.Generator().manual_seed(0))
    decision.fit(network, data, epochs=10 if case.n <= 200 else 2, batch_size=16, seed=0, progress=False)
    model = network.finalise((data.x[:, 0], data.context)).double()
    region, theta = task.feasible_set, task.sample_contexts(max(case.asks), seed=3)
    net = frozen(model, theta)
    live = StackSurrogate.of(net).live().net
    solvers = peers(case, net, region)
    if any(few.width < all_.width for few, all_ in zip(live.layers, net.layers, strict=True)):
        solvers["live"] = peers(case, live, region)["Clarabel"]
    decider, exact = (decision.Decider(model, region, method, rtol=RTOL) for method in ("auto", "exact"))
    rows = []
    for batch, ask in case.asks.items():
        ways: dict[str, tuple[Callable[[], Any], int]] = {
            name: (solver, min(case.few, len(theta))) for name, solver in solvers.items()
        }
        some = theta[: min(batch, case.few)]
        long = case.n > 200  # a solve takes half a minute: once, without a first round, and not by `exact` as well
        if not long:
            ways["exact"] = (lambda some=some: exact(some)), len(some)
        ways["ours"] = (lambda batch=batch: decider(theta[:batch])), batch
        times, answers = rounds(ways, 1 if long else repeat, warm=not long)
        rows.append(row_of(case, batch, ask, model, region, theta, times, answers))
    return rows


def peers(case: Case, net: FrozenNet, region: Any) -> dict[str, Callable[[], Any]]:
    """Return the solvers of a case, each with the programs of its first contexts."""
    program = compile_net(net).program
    free = [program[i].free(region.rows()) for i in range(min(case.few, net.contexts or 1))]
    made = raw_peers.loops(free[0], [(one.b, one.c) for one in free], case.n).items()
    return {name: way for name, way in made if case.peers is None or name in case.peers}


def rounds(
    ways: dict[str, tuple[Callable[[], Any], int]], repeat: int, *, warm: bool = True
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return CPU milliseconds per decision of each way, by rounds, and the last answers.

    With `warm` a first round does not count.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    answers: dict[str, Any] = {}
    for turn in range(repeat + warm):
        for name, (call, count) in ways.items():
            started = time.process_time()
            answers[name] = call()
            if turn >= warm:
                times[name].append(1e3 * (time.process_time() - started) / count)
    return times, answers


def row_of(
    case: Case,
    batch: int,
    ask: float | None,
    model: Any,
    region: Any,
    theta: torch.Tensor,
    times: dict[str, list[float]],
    answers: dict[str, Any],
) -> Row:
    """Return a row of the table."""
    raw = [name for name in times if name not in ("ours", "exact", "live")]
    right = [name for name in raw if near(answers[name], model, region, theta)]
    fastest = raw_peers.fastest(times, right or raw)
    ours = answers["ours"]
    ratio = ratio_of(times, "Clarabel", "ours")
    return {
        "surrogate": case.surrogate,
        "task": case.task,
        "n": case.n,
        "batch": batch,
        "Clarabel ms": statistics.median(times["Clarabel"]),
        "fastest": fastest,
        "fastest ms": statistics.median(times[fastest]),
        "exact ms": statistics.median(times["exact"]) if "exact" in times else "-",
        "ours ms": statistics.median(times["ours"]),
        "Clarabel / ours": ratio,
        "asked": "-" if ask is None else ask,
        "met": "-" if ask is None else ("yes" if ratio >= ask else "no"),
        "fastest / ours": judged(ratio_of(times, fastest, "ours"), least=case.against.get(batch)),
        "exact / Clarabel": (
            judged(ratio_of(times, "exact", "Clarabel"), most=case.exact.get(batch)) if "exact" in times else "-"
        ),
        "live ms": statistics.median(times["live"]) if "live" in times else "-",
        "live / ours": ratio_of(times, "live", "ours") if "live" in times else "-",
        "worst relative gap": float(ours.relative_gap.max()),
        "certified": f"{int(ours.certified.sum())} of {len(ours)}",
    }


def judged(ratio: float, *, least: float | None = None, most: float | None = None) -> str:
    """Return a ratio with the end that it has to keep, if there is one, and whether it does."""
    if least is None and most is None:
        return f"{ratio:.3g}"
    met = ratio >= least if least is not None else ratio <= (most or 0.0)
    end = f"at least {least:g}" if least is not None else f"at most {most:g}"
    return f"{ratio:.3g} ({end}: {'yes' if met else 'no'})"


def near(x: Array, model: Any, region: Any, theta: torch.Tensor) -> bool:
    """Return whether a solver's decisions, projected, have values near the certified ones."""
    some = theta[: len(x)]
    best = decision.decide(model, region, some, rtol=RTOL)
    with torch.no_grad():
        value = model(region.project(torch.as_tensor(x)), some)
    return bool(((value - best.value + best.gap) <= NEAR * best.scale).all())


def ratio_of(times: dict[str, list[float]], above: str, below: str) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))


if __name__ == "__main__":
    main()
