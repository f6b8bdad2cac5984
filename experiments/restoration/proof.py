"""A trained network proven at every test image, and its claim checked by somebody else.

python -m experiments.restoration.proof --preset tiny|paper [--render]

The network of the sweep (`experiments.restoration`; weights that are kept are read, others trained) is decided at every
test image to a relative gap of 1e-4. `verify.certify` proves network = program at each decision, with the value in real
arithmetic; `save` writes the claim, and `verify.check` judges it in a process of its own, which loads neither torch nor
the network's module. Seconds are processor time per image, one thread; the most memory is that of each process, of ours
with PyTorch and the images. It needs Linux, `pip install 'socicnn[experiments,images]'` and the faces.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

import verify
from experiments.energies import cells as energies
from experiments.energies import deciding
from experiments.energies.problem import References
from experiments.engine.options import options
from experiments.engine.pages import Page
from experiments.engine.sweep import Cell
from experiments.engine.tables import Row
from experiments.restoration.cells import RTOL, TRAINED
from experiments.restoration.problem import Restoration

T = TypeVar("T")

CHECK = """
import sys
from pathlib import Path
from verify.check import main
status = main(sys.argv[1:])
print(Path("/proc/self/status").read_text())
sys.exit(status)
"""
PAGE = Page("architectures.md", "python -m experiments.restoration.proof --preset paper --render")
PROOF = 1  # goes up when the job changes
COLUMNS = {
    "side": ("side", "d"),
    "images": ("images", "d"),
    "proven": ("proven", "d"),
    "checked": ("checked", "d"),
    "gap": ("largest gap of the programs", ".1e"),
    "width": ("widest bracket", ".1e"),
    "least": ("least value", ".3g"),
    "decide_s": ("decision, s", ".2g"),
    "prove_s": ("proof, s", ".2g"),
    "save_s": ("claim, s", ".2g"),
    "check_s": ("check, s", ".2g"),
    "claim_mb": ("claim, MB", ".0f"),
    "peak_mb": ("peak, MB", ".0f"),
    "check_peak_mb": ("of the check, MB", ".0f"),
}


@dataclass(frozen=True)
class Preset:
    """What is proven: the side, sizes of training, validation and test data, epochs of both ways of training."""

    side: int
    sizes: tuple[int, int, int]
    epochs: tuple[int, int]


PRESETS = {"tiny": Preset(8, (20, 6, 3), (2, 2)), "paper": Preset(64, (280, 60, 60), (50, 50))}


def trained(
    name: str, way: str, seed: int, side: int, sizes: Sequence[int], epochs: Sequence[int], folder: str
) -> tuple[Any, Restoration, Tensor]:
    """Return a trained network, its problem and the contexts of the test images."""
    a, b, c = sizes
    problem = Restoration(side, (a, b, c))
    unknown = References(np.empty(0), np.empty(0), 0.0)  # exact decisions, which no proof needs
    data = energies.Prepared(problem, *problem.splits(), unknown)
    made: Any = energies.Made(name, way, seed, epochs, Path(folder))  # type: ignore[arg-type]  # names of the cells
    return made.trained(data)[0], problem, data.test.context.to(energies.TYPE)


def proven(
    *, name: str, way: str, seed: int, side: int, sizes: Sequence[int], epochs: Sequence[int], **settings: Any
) -> list[Row]:
    """Decide every test image, prove the network there, write the claim and have it checked."""
    model, problem, theta = trained(name, way, seed, side, sizes, epochs, settings["folder"])
    answer = deciding.certified(model, problem, theta, settings["rtol"], "projected_gradient")
    count = len(theta)
    certificate, prove_s = _timed(lambda: verify.certify(model.freeze(theta.double()), answer.x, proof=True))
    if certificate.lo is None or certificate.hi is None:
        raise ValueError("a certificate with a proof has a bracket")
    with tempfile.TemporaryDirectory() as place:
        claim = Path(place) / "claim.npz"
        _, save_s = _timed(lambda: certificate.save(claim))
        holds, check_s, check_peak = checked(claim, certificate.net.fingerprint)
        size = claim.stat().st_size
    return [
        {
            "images": count,
            "proven": int(certificate.passed.sum()),
            "checked": count if holds else 0,
            "decided_gap": answer.gap,
            "gap": float(np.abs(certificate.gap).max()),
            "width": float((certificate.hi - certificate.lo).max()),
            "least": float(certificate.forward.min()),
            "decide_s": answer.seconds,
            "prove_s": prove_s / count,
            "save_s": save_s / count,
            "check_s": check_s / count,
            "claim_mb": size / 2**20,
            "peak_mb": most_memory(),
            "check_peak_mb": check_peak,
        }
    ]


def checked(claim: Path, fingerprint: str) -> tuple[bool, float, float]:
    """Return whether `verify.check` lets a claim pass in a process of its own, its processor seconds and MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", CHECK, str(claim), "--fingerprint", fingerprint]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode == 0, seconds, most_memory(done.stdout)


def most_memory(status: str | None = None) -> float:
    """Return the most memory of a process so far in MB, from Linux's account of it; this process if it is omitted.

    (`ru_maxrss` of a process that another has started counts that other's memory, too.)
    """
    text = Path("/proc/self/status").read_text(encoding="utf-8") if status is None else status
    return int(text.rpartition("VmHWM:")[2].split()[0]) / 1024


def _timed(run: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    return run(), time.process_time() - started


def cells(preset: str) -> list[Cell]:
    """Return the cells of a preset."""
    chosen = PRESETS[preset]
    settings = {"sizes": list(chosen.sizes), "epochs": list(chosen.epochs), "rtol": RTOL, "version": [TRAINED, PROOF]}
    key = {"side": chosen.side, "name": "soc", "way": "paper", "seed": 0}
    return [Cell(key, proven, settings, {"folder": str(energies.folder(TRAINED))})]


def table(rows: Sequence[Row], columns: Mapping[str, tuple[str, str]]) -> str:
    """Return a Markdown table; `columns` has a head and a format for each column."""
    lines = [f"| {' | '.join(head for head, _ in columns.values())} |", "|" + "---:|" * len(columns)]
    lines += [f"| {' | '.join(format(row[c], form) for c, (_, form) in columns.items())} |" for row in rows]
    return "\n".join(lines)


def report(
    name: str,
    description: str,
    argv: Sequence[str] | None,
    cells: Callable[[str], list[Cell]],
    shown: tuple[Page, Mapping[str, tuple[str, str]]],
) -> None:
    """Run the cells that are asked for, print their table, and put it into its page if that is asked for."""

    def extend(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--render", action="store_true", help="also put the table into the page of results")

    given = options(name, description, argv, presets=tuple(PRESETS), extend=extend)
    text = table(given.run(cells(given.preset)).rows, shown[1])
    print(text)
    if given.others.render:
        shown[0].write(text)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cells that are asked for, and print the table."""
    report("restoration_proof", "Prove a network at all test images.", argv, cells, (PAGE, COLUMNS))


if __name__ == "__main__":
    main()
