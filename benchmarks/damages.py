"""Damages files at random and reads them: every reader answers in one sentence, at once, without memory or code.

`python -m benchmarks.damages --count 100000 --state damages.json` is the long run (an hour or two; started again, it
goes on where it stopped); the tests take a thousand. ONNX files are damaged too if the package onnx is installed.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

import socicnn
from benchmarks.damaged_files import damaged
from benchmarks.damaged_graphs import graphs
from socicnn._compile import value_program
from socicnn._files import FileError, replacing
from socicnn.conic.export import export
from socicnn.conic.export._cbf import read_cbf
from socicnn.conic.export._npz import read_npz
from socicnn.errors import SocicnnError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn import load_metadata
from socicnn.training._checkpoint import Mark
from socicnn.training._checkpoint import read as read_checkpoint
from socicnn.training._checkpoint import write as write_checkpoint
from socicnn_cli._tables import read_rows, read_samples
from verify._certify import certify
from verify.check import check

SECONDS = 0.5  # of CPU time, so that a busy machine does not matter
CHUNK = 1000  # files between two saves of the state
MEMORY = 2**26  # bytes beyond three times the file
MAPPED = 2**25  # of these: a read that may have come nearer is watched allocation by allocation
Reader = Callable[[Path], Any]


@dataclass
class Tally:
    """What became of the damaged files.

    Args:
        counts: files read, refused, and faults, by kind.
        faults: a sentence for the first fault of each kind.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    def fault(self, kind: str, sentence: str) -> None:
        """Count a fault."""
        self.counts[kind] += 1
        self.faults.setdefault(f"{kind}: {sentence[:60]}", sentence)


def originals(folder: Path) -> dict[str, list[Reader]]:
    """Write one whole file of each kind into a folder and return their names with their readers."""
    net = FrozenNet(
        [Layer(None, sparse.csr_array(np.eye(3)), [0.5, -0.25, 0.0]), Layer(np.ones((2, 3)), None, np.zeros(2))],
        Output(np.ones(2), np.ones(3), 0.5),
        [Quadratic(0.5, np.eye(3))],
        [Norm(1.5, sparse.csr_array(np.eye(4, 3)), None, 2)],
    )
    rng = np.random.default_rng(0)
    program = value_program(net)
    net.save(folder / "frozen.safetensors")
    model = socicnn.SOCICNN(3, (4, 3), context_features=2, generator=torch.Generator().manual_seed(0))
    socicnn.save(model, folder / "model.safetensors", {"set": "box"})
    certify(net, rng.normal(size=(3, 3))).save(folder / "claim.npz")
    export(program, folder / "program.npz")
    export(program.at(np.ones(3)), folder / "program.cbf")
    np.save(folder / "points.npy", rng.normal(size=(4, 3)))
    np.savez_compressed(folder / "samples.npz", x=rng.normal(size=(4, 3)), y=np.ones(4), theta=rng.normal(size=(4, 2)))
    rows = "\n".join(",".join(map(repr, row)) for row in rng.normal(size=(4, 4)).tolist())
    (folder / "table.csv").write_text(f"x0,x1,x2,y\n{rows}\n", encoding="utf-8")
    mark = Mark.of({"epochs": 3}, None, None)
    write_checkpoint(folder / "run.pt", mark, {"epoch": 3, "weights": model.state_dict()})

    def points(path: Path) -> Any:
        return read_rows(path, "points", "x")

    found: dict[str, list[Reader]] = {}
    if find_spec("onnx") is not None:
        for name, content in graphs().items():
            (folder / name).write_bytes(content)
            found[name] = [FrozenNet.from_onnx]
    return found | {
        "frozen.safetensors": [FrozenNet.load],
        "model.safetensors": [socicnn.load, load_metadata],
        "claim.npz": [check],
        "program.npz": [read_npz],
        "program.cbf": [read_cbf],
        "points.npy": [points],
        "samples.npz": [read_samples, points],
        "table.csv": [read_samples, points],
        "run.pt": [lambda path: read_checkpoint(path, mark, torch.device("cpu"))],
    }


def run(count: int, seed: int, state: Path | None = None) -> Tally:
    """Read `count` damaged files; nothing but errors of this package may come of it.

    Args:
        count: how many files.
        seed: of the damages; chunk i of a thousand files has the seed `(seed, i)`.
        state: where to keep the counts after each chunk, and to go on from.
    """
    tally, begun = _resumed(state, seed)
    with tempfile.TemporaryDirectory() as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(made)
        readers = originals(folder)
        whole = {name: (folder / name).read_bytes() for name in readers}
        for name, reads in readers.items():  # what a first read imports or compiles is no fault of a file
            for read in reads:
                read(folder / name)
        for chunk in range(begun, -(-count // CHUNK)):
            rng = np.random.default_rng((seed, chunk))
            for _ in range(min(CHUNK, count - chunk * CHUNK)):
                _read_one(folder, whole, readers, rng, tally)
            if state is not None:
                kept = {"seed": seed, "chunks": chunk + 1, "counts": dict(tally.counts), "faults": tally.faults}
                with replacing(state) as draft:
                    draft.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    return tally


def _resumed(state: Path | None, seed: int) -> tuple[Tally, int]:
    """Return the counts so far and the number of chunks that they are of."""
    if state is None or not state.exists():
        return Tally(), 0
    kept = json.loads(state.read_text(encoding="utf-8"))
    if kept["seed"] != seed:
        raise FileError(f"{state} is of seed {kept['seed']}; received seed {seed}: name another file")
    return Tally(Counter(kept["counts"]), kept["faults"]), int(kept["chunks"])


def _read_one(
    folder: Path, whole: dict[str, bytes], readers: dict[str, list[Reader]], rng: np.random.Generator, tally: Tally
) -> None:
    names = sorted(readers)
    name = names[int(rng.integers(len(names)))]
    path, trap = folder / f"damaged-{name}", folder / "code-ran"
    path.write_bytes(damaged(whole[name], name, rng, trap))
    for read in readers[name]:
        _judge(path, read, tally)
    if trap.exists():
        trap.rmdir()
        tally.fault("code run", name)


def _judge(path: Path, read: Reader, tally: Tally) -> None:
    allowed = MEMORY + 3 * path.stat().st_size
    before, start = _mapped("VmSize"), time.process_time()
    try:
        read(path)
        tally.counts["read"] += 1
    except SocicnnError as error:
        tally.counts["refused"] += 1
        if "\n" in str(error) or len(str(error)) > 1500:
            tally.fault("no sentence", f"{path.name}: {error!r}"[:300])
    except Exception as error:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = "" if place is None else f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
        tally.fault("traceback", f"{path.name} {type(error).__name__} {where}: {error}"[:300])
    seconds = time.process_time() - start
    if seconds > SECONDS and (alone := _seconds(path, read)) > SECONDS:
        tally.fault("hang", f"{path.name}: {alone:.1f} s")
    # what the process mapped at most bounds what this read took, but for what was mapped and free before
    if _mapped("VmPeak") - before > allowed - MAPPED and (peak := _traced(path, read)) > allowed:
        tally.fault("memory", f"{path.name}: {peak / 2**20:.0f} MB")


def _mapped(entry: str) -> float:
    """Return the address space of this process in bytes, now or at most; infinite where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0 if entry == "VmSize" else math.inf
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(entry))


def _traced(path: Path, read: Reader) -> int:
    """Return the most memory that a read on its own takes; watching it takes several times as long."""
    tracemalloc.start()
    with suppress(Exception):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _seconds(path: Path, read: Reader) -> float:
    """Return the CPU time of a read on its own: the first one may have paid for something else."""
    start = time.process_time()
    with suppress(Exception):
        read(path)
    return time.process_time() - start


def main() -> int:
    """Print the counts; exit status 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, help="keep the counts here, and go on from them")
    given = parser.parse_args()
    start = time.perf_counter()
    tally = run(given.count, given.seed, given.state)
    print(f"{given.count} damaged files, seed {given.seed}, {time.perf_counter() - start:.0f} s")
    for kind in ("read", "refused", "traceback", "hang", "memory", "no sentence", "code run"):
        print(f"{kind:12} {tally.counts[kind]}")
    print(*tally.faults.values(), sep="\n")
    return int(bool(tally.faults))


if __name__ == "__main__":
    raise SystemExit(main())
