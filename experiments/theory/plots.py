"""The three figures: pieces against the bound, error against tangents, operations against branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.engine.tables import Value, grouped
from experiments.theory.pieces import fewest
from socicnn._files import replacing

MARKS = {"tangents": "o", "network": "s", "max-affine regression": "^"}
Rows = Sequence[Mapping[str, Value]]


def plots(rows: Rows, table: Path) -> list[Path]:
    """Write `TABLE_pieces.png`, `TABLE_absorption.png` and `TABLE_operations.png` beside a table; return the files."""
    written = []
    for study, draw in (("pieces", pieces), ("absorption", absorption), ("operations", operations)):
        members = [row for row in rows if row["study"] == study]
        if members:
            path = table.with_name(f"{table.stem}_{study}.png")
            _save(draw(members), path)
            written.append(path)
    return written


def pieces(rows: Rows) -> Any:
    """Draw the number of pieces against the error, with the least number that the bound allows."""
    figure, panels = _panels(sorted({int(_number(row["n"])) for row in rows}))
    for n, panel in panels.items():
        errors = [_number(row["error"]) for row in rows if row["n"] == n]
        line = np.geomspace(min(errors), max(errors))
        panel.plot(line, [fewest(n, float(error)) for error in line], "k-", label="no fewer are possible")
        for (way,), members in grouped([row for row in rows if row["n"] == n], ("way",)).items():
            x, y = ([_number(row[name]) for row in members] for name in ("error", "pieces"))
            panel.plot(x, y, MARKS.get(str(way), "."), label=str(way))
        panel.set(xscale="log", yscale="log", xlabel="largest error", ylabel="affine pieces", title=f"n = {n}")
        _finish(panel)
    return figure


def absorption(rows: Rows) -> Any:
    """Draw the error against the number of tangents."""
    figure, panels = _panels(sorted({int(_number(row["n"])) for row in rows}))
    for n, panel in panels.items():
        for (way,), members in grouped([row for row in rows if row["n"] == n], ("way",)).items():
            x, y = ([_number(row[name]) for row in members] for name in ("pieces", "error"))
            panel.plot(x, y, "o-", label=str(way))
            if "bound" in members[0]:
                panel.plot(x, [_number(row["bound"]) for row in members], "k:", label="bound, slope -2/n")
        panel.set(xscale="log", yscale="log", xlabel="tangents K", ylabel="largest error", title=f"n = {n}")
        _finish(panel)
    return figure


def operations(rows: Rows) -> Any:
    """Draw the operations against the number of branches."""
    figure, panels = _panels([0])
    for (way,), members in grouped(rows, ("way",)).items():
        x = [_number(row["number"]) for row in members]
        mark = "o" if way == "quadratic" else "x"
        panels[0].plot(x, [_number(row["operations"]) for row in members], mark, label=f"{way} branches, counted")
    panels[0].plot(x, [_number(row["formula"]) for row in members], "k:", label="formula")
    panels[0].set(xlabel="branches of 16 rows", ylabel="operations per point", ylim=(0, None))
    _finish(panels[0])
    return figure


def _panels(dimensions: Sequence[int]) -> tuple[Any, dict[int, Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(dimensions) + 0.4, 3.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(dimensions)))
    return figure, dict(zip(dimensions, axes, strict=True))


def _finish(panel: Any) -> None:
    from matplotlib.ticker import NullFormatter

    for axis in (panel.xaxis, panel.yaxis):
        axis.set_minor_formatter(NullFormatter())  # whose numbers would overlap
    panel.legend(fontsize="small")
    panel.grid(alpha=0.3)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _save(figure: Any, path: Path) -> None:
    with replacing(path) as draft:
        figure.savefig(draft, dpi=100, format="png")
