"""Tables of a sweep: means over the seeds, of gaps the largest, beside the exact program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.energies.cells import EXACT
from experiments.engine.tables import Row

COLUMNS = {
    "relative_error": "relative error",
    "within_error": "within contexts",
    "regret": "regret",
    "distance": "distance",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "gap": "largest gap",
    "train_s": "training, s",
    "decide_s": "decision, s",
}


def _entry(rows: Sequence[Row], column: str) -> str:
    values = [float(str(row[column])) for row in rows if row.get(column) is not None]
    if not values:
        return "-"
    spread = f" ± {np.std(values, ddof=1):.1g}" if len(values) > 1 and column in ("regret", "psnr") else ""
    digits = ".2f" if column in ("psnr",) else ".3g"
    return f"{np.max(values) if column == 'gap' else np.mean(values):{digits}}{spread}"


def summary(rows: Sequence[Row], size: str) -> str:
    """Return a Markdown table, one row per size, surrogate, way of training and way of deciding."""
    columns = [column for column in COLUMNS if any(row.get(column) is not None for row in rows)]
    lines = [f"| {size} | surrogate | trained | decided | {' | '.join(COLUMNS[c] for c in columns)} | seeds |"]
    lines.append("|---:|---|---|---|" + "---:|" * (len(columns) + 1))
    groups = dict.fromkeys(tuple(row[c] for c in (size, "name", "way", "decided")) for row in rows)
    for key in groups:
        own = [row for row in rows if tuple(row[c] for c in (size, "name", "way", "decided")) == key]
        head = (key[0], "-", "-", key[3]) if key[1] == EXACT else key
        lines.append(f"| {' | '.join(map(str, head))} | {' | '.join(_entry(own, c) for c in columns)} | {len(own)} |")
    return "\n".join(lines)
