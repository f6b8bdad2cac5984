"""Jobs for the sweep engine, and a program that runs them: `python -m tests.support.sweep_jobs FOLDER JOBS`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from experiments.engine.sweep import Cell, run
from experiments.engine.tables import Row


def measure(task: str, seed: int, *, folder: str, steps: int = 3) -> list[Row]:
    """Note the call, wait where a gate is closed, and return two rows and a time."""
    note(folder, f"{task}-{seed}")
    gate = Path(folder) / "gate"
    while seed >= 2 and not gate.exists():
        time.sleep(0.005)
    started = time.perf_counter()
    return [
        {"part": part, "value": (seed + 0.1) / 3 * steps, "seconds": time.perf_counter() - started}
        for part in ("head", "tail")
    ]


def fail_at_two(task: str, seed: int, *, folder: str) -> list[Row]:
    """Fail for seed 2 until the file `mended` is there."""
    note(folder, f"{task}-{seed}")
    if seed == 2 and not (Path(folder) / "mended").exists():
        raise ValueError("seed 2\nis no good")
    return [{"value": float(seed)}]


def die_at_two(task: str, seed: int, *, folder: str) -> list[Row]:
    """Take the worker down for seed 2."""
    if seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return [{"value": float(seed)}]


def threads(task: str, seed: int, *, folder: str) -> list[Row]:
    """Say with how many threads torch runs, and which process this is."""
    import torch

    return [
        {"threads": torch.get_num_threads(), "omp": int(os.environ.get("OMP_NUM_THREADS", 0)), "process": os.getpid()}
    ]


def note(folder: str, line: str) -> None:
    """Append a line to the record of calls."""
    with (Path(folder) / "calls").open("a") as stream:
        stream.write(line + "\n")


def calls(folder: Path) -> list[str]:
    """Return the record of calls."""
    return (folder / "calls").read_text().split() if (folder / "calls").exists() else []


def cells(folder: Path, job: object = measure, seeds: int = 4, **settings: object) -> list[Cell]:
    """Return the cells of two tasks and some seeds."""
    assert callable(job)
    keys = [{"task": task, "seed": seed} for task in ("box", "simplex") for seed in range(seeds)]
    return [Cell(key, job, {"folder": str(folder), **settings}) for key in keys]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    run(cells(place), place / "table.csv", jobs=int(sys.argv[2]), progress=False)
