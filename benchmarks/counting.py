"""Counts of what is false among random cases, kept after every step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from socicnn._files import replacing

Step = Callable[[int, int], tuple[int, int, list[str]]]  # size and seed -> violations, count, and what they are


def counted(step: Step, total: int, size: int, name: str, folder: Path | None) -> tuple[int, int, list[str]]:
    """Take steps of `size` until `total` are counted, each with its own seed; the counts are kept in the folder.

    Args:
        step: counts violations among `size` cases of a seed.
        total: cases at least.
        size: cases per step.
        name: of the file in the folder, and of the bar.
        folder: where the counts are kept; nowhere if omitted.

    Returns:
        Violations, cases, and a description of each violation.
    """
    kept = {"size": size, "seed": 0, "violations": 0, "count": 0, "worst": []}
    path = None if folder is None else folder / f"{name}.json"
    if path is not None and path.is_file():
        kept = json.loads(path.read_text())
        if kept["size"] != size:
            raise ValueError(f"{path} was counted in steps of {kept['size']}, not {size}; choose another folder")
    with tqdm(total=total, initial=kept["count"], desc=name) as bar:
        while kept["count"] < total:
            violations, count, worst = step(size, kept["seed"])
            kept["seed"] += 1
            kept["violations"] += violations
            kept["count"] += count
            kept["worst"] += worst
            bar.update(count)
            if path is not None:
                with replacing(path) as draft:
                    draft.write_text(json.dumps(kept))
    return kept["violations"], kept["count"], kept["worst"]
