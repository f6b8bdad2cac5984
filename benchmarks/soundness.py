"""Is anything false ever accepted? Four counts, which must be 0.

python -m benchmarks.soundness [--preset full|tiny] [--folder soundness]

    mutants accepted where they matter          of 1,000,000    benchmarks.mutations
    bounds above a known minimum                of 10,000       benchmarks.soundness_decisions
    modules: false bounds or certificates       of 1,500        benchmarks.module_minima
    provers against exact rationals             of 100,000      benchmarks.soundness_proofs

The full preset takes a few hours of one core. It keeps its counts in the folder after every step and goes on where it
was stopped; `tiny` takes seconds and keeps nothing. Exit status 0 if all four counts are 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.counting import counted
from benchmarks.module_minima import modules_of
from benchmarks.mutations import run
from benchmarks.soundness_decisions import bounds_above_minimum
from benchmarks.soundness_proofs import brackets_against_rationals


@dataclass(frozen=True)
class Preset:
    """How much is tried.

    Args:
        mutants: mutants at least.
        points: points of each mutant.
        problems: decisions with a known minimum.
        modules: decisions of modules without a program, with a known minimum.
        step: problems, or modules, that are counted at a time.
        rationals: points of the provers.
        part: points that are counted at a time.
    """

    mutants: int
    points: int
    problems: int
    modules: int
    step: int
    rationals: int
    part: int


PRESETS = {
    "full": Preset(
        mutants=1_000_000, points=25, problems=10_000, modules=1_500, step=100, rationals=100_000, part=1_000
    ),
    "tiny": Preset(mutants=600, points=5, problems=20, modules=20, step=20, rationals=200, part=200),
}


def _decisions(size: int, seed: int) -> tuple[int, int, list[str]]:
    found = bounds_above_minimum(size, seed)
    return found.violations, found.count, found.worst


def _provers(size: int, seed: int) -> tuple[int, int, list[str]]:
    found = brackets_against_rationals(size, seed)
    return found.violations, found.points, found.worst


def soundness(preset: Preset, folder: Path | None = None) -> Iterator[tuple[str, int, int, str, list[str]]]:
    """Yield what was counted, how many are wrong, how many there were, of what, and a description of each."""
    table = run(preset.mutants, preset.points, state=None if folder is None else folder / "mutants.json")
    yield "mutants accepted", len(table.accepted), table.mutants, "", table.accepted
    if table.honest_rejected:
        yield "honest points rejected", table.honest_rejected, table.honest_points, "", []
    yield "bounds above a known minimum", *_named(counted(_decisions, preset.problems, preset.step, "bounds", folder))
    found = counted(modules_of, preset.modules, preset.step, "modules", folder)
    yield "modules: false bounds or certificates", *_named(found)
    found = counted(_provers, preset.rationals, preset.part, "provers", folder)
    yield "provers against exact rationals", *_named(found, "points")


def _named(found: tuple[int, int, list[str]], unit: str = "") -> tuple[int, int, str, list[str]]:
    violations, count, worst = found
    return violations, count, unit, worst


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=list(PRESETS), default="full")
    parser.add_argument("--folder", type=Path, default=Path("soundness"), help="keeps the counts of the full preset")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    folder = None if given.preset == "tiny" else given.folder
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for what, bad, count, unit, worst in soundness(PRESETS[given.preset], folder):
        print(f"{what}: {bad:,} of {count:,}{' ' + unit if unit else ''}", flush=True)
        for line in worst[:20]:
            print(f"  {line}")
        wrong += bad
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
