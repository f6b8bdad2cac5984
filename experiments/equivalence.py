"""Experiment 1: the forward pass, the closed-form dual and a solver agree on the value of the conic program.

python -m experiments.equivalence --preset tiny|paper [--jobs N] [--render]

One row a trial: a fresh random network and point, every metric of `verify.equivalence`, the proven bracket, sizes and
times. float64, Clarabel at its default settings. U and v have variance 1/n, W is uniform on (0, 2/h), w is |N(0, 1)|;
two quadratic branches with weight 1/2 and two norm branches with weight 1, entries of variance 1/n; x ~ N(0, I). With
biases, b, e and d are standard normal; otherwise they are zero.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.engine.options import options
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row, Value, markdown, read_table
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from verify import certify, equivalence

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"n": 8, "width": 16, "depth": 3, "blocks": 2, "rows": 4, "seeds": 1, "trials": 3},
    "paper": {"n": 100, "width": 256, "depth": 6, "blocks": 2, "rows": 24, "seeds": 5, "trials": 30},
}
METRICS = (
    *("relu_primal", "relu_dual_box", "relu_complementarity"),
    *("quadratic_epigraph", "quadratic_slack", "quadratic_dual_cone", "quadratic_complementarity"),
    *("norm_epigraph", "norm_slack", "norm_dual_ball", "norm_dual_alignment"),
    "stationarity",
)
SOLVER_METRICS = ("relu_primal", "quadratic_epigraph", "quadratic_slack", "norm_epigraph", "norm_slack")


def random_network(
    rng: np.random.Generator, *, n: int, width: int, depth: int, blocks: int, rows: int, passthrough: bool, biases: bool
) -> FrozenNet:
    """Return one random network of the experiment."""
    bias: Callable[[int], Any] = lambda size: rng.normal(size=size) if biases else np.zeros(size)  # noqa: E731 (local shorthand)
    normal = lambda *shape: rng.normal(size=shape) / np.sqrt(n)  # noqa: E731 (entries of variance 1/n)
    layers = [Layer(None, normal(width, n), bias(width))]
    for _ in range(depth - 1):
        W = rng.uniform(0.0, 2.0 / width, size=(width, width))
        layers.append(Layer(W, normal(width, n) if passthrough else None, bias(width)))
    return FrozenNet(
        layers,
        Output(np.abs(rng.normal(size=width)), normal(n), 0.0),
        [Quadratic(0.5, normal(rows, n), bias(rows)) for _ in range(blocks)],
        [Norm(1.0, normal(rows, n), bias(rows)) for _ in range(blocks)],
    )


def trial(
    *, preset: str, passthrough: bool, biases: bool, seed: int, trial: int, repeat: int, version: int, **sizes: Any
) -> list[Row]:
    """Verify one random network at one random point; `version` goes up when this changes."""
    rng = np.random.default_rng([seed, trial, passthrough, biases])
    net = random_network(rng, passthrough=passthrough, biases=biases, **sizes)
    x = rng.normal(size=(1, sizes["n"]))
    report = equivalence(net, x, solvers=("clarabel",), proof=True)
    failed = [check.name for check in report.checks if check.ok is False and check.name != "clarabel"]
    if failed:  # a disagreement of the solver is a result, a failed certificate a defect
        report.raise_if_failed()
    forward_ms = least(lambda: net(x), repeat)
    certificate_ms = 1e3 * min(certify(net, x).seconds["certificate"] for _ in range(repeat))
    solved = report.solvers["clarabel"]
    assert report.lo is not None
    assert report.hi is not None
    row: Row = {
        "forward": float(report.forward[0]),
        "dual": float(report.dual[0]),
        "gap": report.max_gap,
        **{name: report.residuals[name] for name in METRICS},
        "lo": float(report.lo[0]),
        "hi": float(report.hi[0]),
        "solver": "clarabel",
        "solver_status": "solved" if solved.solved[0] else "failed",
        "solver_value": float(solved.value[0]),
        "solver_error": float(solved.errors[0]),
        **{f"solver_{name}": solved.residuals.get(name, float("nan")) for name in SOLVER_METRICS},
        **report.sizes,
        "forward_ms": forward_ms,
        "certificate_ms": certificate_ms,
        "solver_ms": 1e3 * report.times["solver"],
    }
    return [row]


def least(run: Callable[[], Any], repeat: int) -> float:
    """Return the least time in milliseconds."""
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1e3 * min(times)


def cells(preset: str) -> list[Cell]:
    """Return the trials of a preset: without passthrough and with, without biases and with."""
    given = PRESETS[preset]
    sizes = {name: given[name] for name in ("n", "width", "depth", "blocks", "rows")}
    return [
        Cell(
            {"preset": preset, "passthrough": passthrough, "biases": biases, "seed": seed, "trial": number},
            trial,
            {**sizes, "repeat": 5, "version": 1},
            alone=True,
        )
        for biases in (False, True)
        for passthrough in (False, True)
        for seed in range(given["seeds"])
        for number in range(given["trials"])
    ]


LINES: tuple[tuple[str, str], ...] = (
    ("primal-dual gap", "gap"),
    ("forward against solver", "solver_error"),
    *((name.replace("_", " "), name) for name in METRICS),
    *((f"solver: {name.replace('_', ' ')}", f"solver_{name}") for name in SOLVER_METRICS),
    ("forward, ms", "forward_ms"),
    ("certificate, ms", "certificate_ms"),
    ("Clarabel, ms", "solver_ms"),
)


def rendered(rows: Sequence[Mapping[str, Value]]) -> str:
    """Return the table of the paper's appendix in Markdown: mean and largest of each metric, by setting."""
    settings = [(biases, passthrough) for biases in (False, True) for passthrough in (False, True)]
    groups = {
        f"{'passthrough' if passthrough else 'none'}, {'biases' if biases else 'no biases'}": [
            row for row in rows if row["biases"] is biases and row["passthrough"] is passthrough
        ]
        for biases, passthrough in settings
    }
    groups = {name: members for name, members in groups.items() if members}
    table: list[Row] = []

    def line(title: str, show: Callable[[list[Mapping[str, Value]]], str]) -> None:
        table.append({"": title, **{name: show(members) for name, members in groups.items()}})

    line("trials", lambda members: str(len(members)))
    line("solver success", lambda members: _share(members, lambda row: row["solver_status"] == "solved"))
    line("agreement within 1e-6 (1 + abs f)", lambda members: _share(members, _agrees))
    for title, column in LINES:
        line(title, lambda members, column=column: _mean_and_largest(members, column))
    line("Clarabel / forward", lambda members: _ratio(members, "forward_ms"))
    line("Clarabel / certificate", lambda members: _ratio(members, "certificate_ms"))
    return markdown(table)


def _share(rows: Sequence[Mapping[str, Value]], holds: Callable[[Mapping[str, Value]], bool]) -> str:
    return f"{sum(holds(row) for row in rows)} / {len(rows)}"


def _agrees(row: Mapping[str, Value]) -> bool:
    error, forward = row.get("solver_error"), row["forward"]
    return row["solver_status"] == "solved" and _number(error) <= 1e-6 * (1.0 + abs(_number(forward)))


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _mean_and_largest(rows: Sequence[Mapping[str, Value]], column: str) -> str:
    values = [value for row in rows if np.isfinite(value := _number(row.get(column)))]
    return f"{statistics.fmean(values):.2g} / {max(values):.2g}" if values else "-"


def _ratio(rows: Sequence[Mapping[str, Value]], column: str) -> str:
    return f"{statistics.median(_number(row['solver_ms']) / _number(row[column]) for row in rows):.0f}"


def main(argv: Sequence[str] | None = None) -> None:
    given = options(
        "equivalence",
        "Verify random networks against their programs and a solver.",
        argv,
        extend=lambda parser: parser.add_argument(
            "--render", action="store_true", help="print the table in Markdown, mean / largest, and run nothing"
        ),
    )
    if given.others.render:
        print(rendered(read_table(given.out)))
        return
    outcome = given.run(cells(given.preset))
    if outcome.rows and not given.status:
        print(rendered(outcome.rows))


if __name__ == "__main__":
    main()
