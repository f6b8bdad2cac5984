"""`socicnn demo`: train, verify and decide on one full-size task, in about a minute."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from socicnn._files import FileError, replacing
from socicnn._shadows import refuse_shadow
from socicnn.errors import MissingExtra
from socicnn_cli._fit import SEEDS
from socicnn_cli._outputs import as_json, check_output

if TYPE_CHECKING:
    import torch

TASK: Literal["simplex_socp"] = "simplex_socp"
FEATURES, TASK_SEED = 10, 2026
TRAIN_CONTEXTS, CANDIDATES, TEST_CONTEXTS, VERIFIED_POINTS = 1000, 64, 200, 100


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the plot and the trained networks.")] = Path("socicnn-demo"),
    json: Annotated[Path | None, typer.Option(help="Also write the table to this file as JSON.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of initialisation and batches.", min=0, max=SEEDS)] = 0,
) -> None:
    """Train two surrogates on a parametric task, prove them equal to their programs, and decide with a certificate."""
    refuse_shadow("decision")
    refuse_shadow("verify")
    import torch

    import decision
    from decision import metrics, tasks
    from socicnn.nn import save
    from socicnn.training._options import gathered
    from socicnn_cli._demo_plot import plot

    check_output(json, "--json")
    if out.exists() and not out.is_dir():
        raise FileError(f"--out names the folder for plot and networks; {out} is a file")
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # networks of this size gain nothing from more, and lose on a busy machine
    typer.echo(f"Task {TASK}, n = {FEATURES}: {TRAIN_CONTEXTS} training contexts x {CANDIDATES} labelled candidates.")
    task = tasks.make(TASK, features=FEATURES, seed=TASK_SEED)
    data = task.sample(contexts=TRAIN_CONTEXTS, candidates=CANDIDATES, seed=1)
    held_out = task.sample(contexts=TRAIN_CONTEXTS, candidates=CANDIDATES, seed=2)
    contexts = task.sample_contexts(TEST_CONTEXTS, seed=3)
    optimum = task.optimum(contexts)

    rows: list[dict[str, Any]] = []
    regrets: dict[str, Any] = {}
    models: dict[str, Any] = {}
    for name, (model, training) in _surrogates(task.context_features, seed).items():
        started = time.perf_counter()
        decision.fit(model, data, seed=seed, **gathered({**training, "description": name}))
        train_s = time.perf_counter() - started
        model = model.finalise().double()
        save(model, out / f"{name}.safetensors")
        models[name] = model
        report = _verify(model, task, contexts)
        report_line = str(report).splitlines()[0]
        typer.echo(f"{name}: {report_line}; Clarabel off by at most {report.solvers['clarabel'].error:.1e}")
        with torch.no_grad():
            f = model(held_out.x, held_out.contexts[:, None])
        for method in ("projected_gradient", "exact"):
            answer = decision.decide(model, task.feasible_set, contexts, method=method)
            judged = decision.evaluate(task, answer, contexts, optimum=optimum)
            regrets[f"{name}, {method}"] = judged.regret
            rows.append(
                {
                    "model": name,
                    "method": method,
                    "parameters": sum(p.numel() for p in model.parameters()),
                    "test_relative_error": metrics.relative_error(f, held_out.y),
                    "within_context_error": metrics.within_context_error(f, held_out.y),
                    **judged.row(),
                    "train_s": train_s,
                    "decide_ms": 1e3 * answer.seconds / TEST_CONTEXTS,
                    "verified": report.ok,
                    "verify_gap": report.max_gap,
                }
            )
    yardsticks = _yardsticks(task, contexts, optimum[1])
    typer.echo(table(rows))
    typer.echo(f"Mean regret of no model: {', '.join(f'{name} {v.mean():.3f}' for name, v in yardsticks.items())}.")
    typer.echo(DIFFERENCES)
    regrets.update(yardsticks)
    picture = out / "demo.png"
    written = [f"{name}.safetensors" for name in models]
    try:
        plot(picture, task, models, contexts, optimum, regrets)
        written.insert(0, picture.name)
    except MissingExtra as missing:
        typer.echo(f"no picture: {missing}", err=True)
    typer.echo(f"Written to {out}/: {', '.join(written)}")
    if json is not None:
        with replacing(json) as draft:
            draft.write_text(as_json({"rows": rows}) + "\n")
    if not all(row["verified"] for row in rows):
        raise typer.Exit(1)


# between the rows: network, context and loss all change, so the table compares two ways of working, not one choice
DIFFERENCES = (
    "soc-partial: quadratic and norm branches, free in the context, trained on differences within a context.\n"
    "relu-joint: ReLU units alone, convex in x and context together, trained on values.\n"
    "Methods of one surrogate decide the same function; error is that of its differences within a context."
)


def _yardsticks(task: Any, contexts: torch.Tensor, optimum: Any) -> dict[str, Any]:
    """Return the regret per context of decisions that know no cost: the centre of the set, and a random point of it."""
    import torch

    feasible = task.feasible_set
    points = {
        "centre of the set": feasible.centre().expand(len(contexts), -1),
        "random decision": feasible.sample(len(contexts), generator=torch.Generator().manual_seed(6)),
    }
    return {name: np.asarray(task.cost(x, contexts)) - np.asarray(optimum) for name, x in points.items()}


def _surrogates(context_features: int, seed: int) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return the two surrogates, each with how it is trained."""
    import torch

    from socicnn.nn import ICNN, SOCICNN

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    partial = SOCICNN(
        FEATURES,
        hidden_features=(32,),
        quadratic=(FEATURES,),
        norm=(FEATURES, FEATURES),
        context_features=context_features,
        context="partial",
        generator=generator(),
    )
    joint = ICNN(
        FEATURES, hidden_features=(144, 144), context_features=context_features, context="joint", generator=generator()
    )
    return {
        "soc-partial": (partial.double(), {"loss": "within_context", "epochs": 120}),
        "relu-joint": (joint, {"loss": "mse", "epochs": 60}),  # float32, as such networks are mostly trained
    }


def _verify(model: Any, task: Any, contexts: torch.Tensor) -> Any:
    """Prove network = program at points of the feasible set, one context each, with Clarabel as a cross-check."""
    import torch

    from verify import equivalence

    x = task.feasible_set.sample(VERIFIED_POINTS, generator=torch.Generator().manual_seed(4))
    return equivalence(model, x, contexts[:VERIFIED_POINTS], solvers=("clarabel",), max_solver_points=VERIFIED_POINTS)


COLUMNS = {
    "model": ("surrogate", "{}"),
    "method": ("decided by", "{}"),
    "parameters": ("params", "{:d}"),
    "within_context_error": ("error", "{:.4f}"),
    "regret_mean": ("regret mean", "{:.5f}"),
    "regret_max": ("max", "{:.4f}"),
    "relative_gap_max": ("rel. gap", "{:.0e}"),
    "decide_ms": ("ms", "{:.2f}"),
    "verified": ("= program", "{}"),
}


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as an aligned text table."""
    cells = [[title for title, _ in COLUMNS.values()]]
    cells += [
        [
            form.format({True: "proven", False: "FAILED"}.get(row[key], row[key]) if key == "verified" else row[key])
            for key, (_, form) in COLUMNS.items()
        ]
        for row in rows
    ]
    widths = np.max([[len(cell) for cell in line] for line in cells], axis=0)
    lines = [
        "  ".join(cell.ljust(int(width)) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
