"""The figures of experiment 2, from the kept rows alone."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from experiments.approximation.shapes import FRONTIER, NETWORKS
from experiments.approximation.tables import BAR, NAMES, Rows, errors, number, of
from experiments.approximation.targets import TARGETS
from socicnn._files import replacing

COLOURS = {"relu": "C7", "softplus": "C1", "quad": "C2", "norm": "C0", "soc": "C3"}
MARKS = {"relu": "s", "softplus": "^", "quad": "D", "norm": "v", "soc": "o"}


def frontier(rows: Rows, d: int, targets: tuple[str, ...], path: Path) -> Path | None:
    """Draw error against parameters: a line per network, its mean over the seeds at each size, a dot per seed."""
    found = [row for row in of(rows, preset="converged", d=d) if row["shape"] in FRONTIER and row["model"] in NETWORKS]
    drawn = [target for target in targets if any(row["shape"] != "paper" for row in of(found, target=target))]
    if not drawn:
        return None
    figure, panels = _panels(len(drawn), 3.6 if len(drawn) > 1 else 5.0)
    for panel, target in zip(panels, drawn, strict=True):
        for model in NETWORKS:
            own = of(found, target=target, model=model)
            counts = sorted({number(row, "parameters") for row in own})
            means = [statistics.fmean(errors(own, parameters=count)) for count in counts]
            panel.plot(counts, means, "-", color=COLOURS[model], marker=MARKS[model], label=NAMES[model])
            panel.scatter(
                [number(row, "parameters") for row in own],
                [number(row, "relative_error") for row in own],
                s=10, color=COLOURS[model], alpha=0.5,
            )  # fmt: skip
        panel.set(xscale="log", yscale="log", xlabel="parameters", title=target)
        panel.set_xticks([300, 1000, 3000], ["300", "1,000", "3,000"])
        panel.tick_params(axis="x", which="minor", labelbottom=False)
        panel.grid(which="both", alpha=0.25)
    panels[0].set_ylabel(f"relative error, d = {d}")
    panels[-1].legend(fontsize="small")
    return _save(figure, path)


def regimes(rows: Rows, d: int, path: Path) -> Path | None:
    """Draw the mean error of every network on every target, trained as the paper does and to the end."""
    figure, panels = _panels(2, 5.0)
    panels[1].sharex(panels[0])
    labelled = dict[str, Any]()
    for panel, preset in zip(panels, ("paper", "converged"), strict=True):
        for model in NETWORKS:
            for place, target in enumerate(TARGETS):
                found = errors(rows, preset=preset, target=target, d=d, model=model, shape="paper")
                if found:
                    style: dict[str, Any] = {"color": COLOURS[model], "marker": MARKS[model], "linestyle": "none"}
                    labelled[NAMES[model]] = panel.plot([statistics.fmean(found)], [place], alpha=0.8, **style)[0]
        panel.set(xscale="log", title={"paper": "about 240 steps", "converged": "trained to the end"}[preset])
        panel.set_xlabel(f"relative error, d = {d}, mean over seeds")
        panel.set_yticks(range(len(TARGETS)), list(TARGETS))
        panel.invert_yaxis()
        panel.grid(axis="x", which="both", alpha=0.25)
        panel.axvline(BAR, color="black", linestyle=":", linewidth=1)
    panels[0].legend(labelled.values(), labelled, fontsize="small")
    return _save(figure, path) if labelled else None


def _panels(count: int, width: float) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * count, 3.6), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _save(figure: Any, path: Path) -> Path:
    with replacing(path) as draft:
        figure.savefig(draft, dpi=130)
    return path
