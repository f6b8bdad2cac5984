"""Damages files at random and reads them: every reader answers in one sentence, at once, without memory or code.

`python -m benchmarks.damages --count 100000 --seed 0` is the long run (an hour or two); the tests take a thousand.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import struct
import tempfile
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

import socicnn
from socicnn.compile import value_program
from socicnn.conic.export import export
from socicnn.conic.export.cbf import read_cbf
from socicnn.conic.export.npz import read_npz
from socicnn.errors import SocicnnError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn import load_metadata
from socicnn.training.checkpoint import Mark
from socicnn.training.checkpoint import read as read_checkpoint
from socicnn.training.checkpoint import write as write_checkpoint
from socicnn_cli.tables import read_rows, read_samples
from verify.certify import certify
from verify.check import check
from verify.core.claim import digest

SECONDS = 5.0  # half a second on a machine of its own, ten times that where it is shared
MEMORY = 2**26  # bytes beyond three times the file
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

    return {
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


def run(count: int, seed: int) -> Tally:
    """Read `count` damaged files; nothing but errors of this package may come of it."""
    rng = np.random.default_rng(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory() as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(made)
        readers = originals(folder)
        whole = {name: (folder / name).read_bytes() for name in readers}
        trap = folder / "code-ran"
        names = sorted(readers)
        for _ in range(count):
            name = names[int(rng.integers(len(names)))]
            path = folder / f"damaged-{name}"
            path.write_bytes(damaged(whole[name], name, rng, trap))
            for read in readers[name]:
                _read(path, read, tally)
            if trap.exists():
                trap.unlink()
                tally.fault("code run", name)
    return tally


def _read(path: Path, read: Reader, tally: Tally) -> None:
    tracemalloc.start()
    start = time.perf_counter()
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
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if seconds > SECONDS:
        tally.fault("hang", f"{path.name}: {seconds:.1f} s")
    if peak > MEMORY + 3 * path.stat().st_size:
        tally.fault("memory", f"{path.name}: {peak / 2**20:.0f} MB")


def damaged(content: bytes, name: str, rng: np.random.Generator, trap: Path) -> bytes:
    """Return a file with something wrong: bytes, numbers of its header, or whole arrays."""
    if name.endswith(".npz") and rng.random() < 0.6:
        return _arrays(content, rng, trap)
    if name.endswith(".safetensors") and rng.random() < 0.6:
        return _header(content, rng)
    if name.endswith((".csv", ".cbf")) and rng.random() < 0.6:
        return _words(content, rng)
    return _bytes(content, rng)


HUGE = (-1, 0, 1, 7, 10**5, 2**31 - 1, 2**31, 10**9, 2**40, 2**62)


def _bytes(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    place = int(rng.integers(len(changed)))
    kind = rng.integers(6)
    if kind == 0:
        del changed[place:]
    elif kind == 1:
        changed[place] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        changed[place : place + 4] = rng.bytes(4)
    elif kind == 3:
        changed[place:place] = rng.bytes(int(rng.integers(1, 20)))
    elif kind == 4:
        del changed[place : place + int(rng.integers(1, 50))]
    else:
        changed[place : place + 8] = struct.pack("<q", int(rng.choice(HUGE)))
    return bytes(changed)


def _words(content: bytes, rng: np.random.Generator) -> bytes:
    words = content.decode().replace("\n", " \n ").replace(",", " , ").split(" ")
    place = int(rng.integers(len(words)))
    other = ["", "nan", "-inf", "1e999", "x", "-", "0", ",", "\n", "QR", "9" * 400, *map(str, HUGE)]
    words[place] = other[int(rng.integers(len(other)))]
    return " ".join(words).replace(" , ", ",").replace(" \n ", "\n").encode()


def _header(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a value somewhere in the header of a safetensors file, and in the JSON inside of it."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    known = header["__metadata__"]
    if rng.random() < 0.6:
        config = json.loads(known["config"])
        known["config"] = json.dumps(_changed(config, rng))
    else:
        header = _changed(header, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def _changed(value: Any, rng: np.random.Generator) -> Any:
    """Return JSON with one of its values replaced."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        keys: list[Any] = sorted(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[int(rng.integers(len(keys)))]
        if isinstance(value, dict) and rng.random() < 0.1:
            return {other: entry for other, entry in value.items() if other != key}
        value[key] = _changed(value[key], rng)
        return value
    other = [None, "", "relu", [], {}, [[]], True, 0.5, float("nan"), -1.0, [1] * 2000, *HUGE]
    return other[int(rng.integers(len(other)))]


class _Trap:
    """An object whose unpickling would make a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self._path),))


def _arrays(content: bytes, rng: np.random.Generator, trap: Path) -> bytes:
    """Change one array of an archive; a claim gets a fresh digest, as a forger would give it."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    name = sorted(arrays)[int(rng.integers(len(arrays)))]
    array = arrays[name]
    kind = rng.integers(8)
    if kind == 0:
        arrays.pop(name)
    elif kind == 1 and array.size and array.dtype.kind in "iu":
        arrays[name] = _at_random(array, int(rng.choice(HUGE)), rng)
    elif kind == 2 and array.size and array.dtype.kind == "f":
        arrays[name] = _at_random(array, rng.choice([np.nan, np.inf, -1.0, 1e308, 5e-324]), rng)
    elif kind == 3:
        arrays[name] = array.reshape(-1)
    elif kind == 4:
        arrays[name] = array[None]
    elif kind == 5:
        arrays[name] = np.asarray("text")
    elif kind == 6:
        arrays[name] = array.reshape(-1)[:0]
    else:
        arrays[name] = np.array([_Trap(trap)], dtype=object)
    if "digest" in arrays and arrays[name if name in arrays else "digest"].dtype != object:
        arrays.pop("digest")
        arrays["digest"] = np.asarray(digest(arrays))
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


def _at_random(array: Any, value: Any, rng: np.random.Generator) -> Any:
    flat = array.copy().reshape(-1)
    flat[int(rng.integers(flat.size))] = value
    return flat.reshape(array.shape)


def main() -> int:
    """Print the counts; exit status 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start = time.perf_counter()
    tally = run(given.count, given.seed)
    print(f"{given.count} damaged files, seed {given.seed}, {time.perf_counter() - start:.0f} s")
    for kind in ("read", "refused", "traceback", "hang", "memory", "no sentence", "code run"):
        print(f"{kind:12} {tally.counts[kind]}")
    print(*tally.faults.values(), sep="\n")
    return int(bool(tally.faults))


if __name__ == "__main__":
    raise SystemExit(main())
