"""Random damages of files: bytes, words, numbers of a header, whole arrays."""

from __future__ import annotations

import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.damaged_graphs import HUGE, damaged_graph
from socicnn._numpy_files import digest


def damaged(content: bytes, name: str, rng: np.random.Generator, trap: Path) -> bytes:
    """Return a file with something wrong: bytes, numbers of its header, or whole arrays."""
    if name.endswith(".npz") and rng.random() < 0.6:
        return _arrays(content, rng, trap)
    if name.endswith(".safetensors") and rng.random() < 0.6:
        return _header(content, rng)
    if name.endswith((".csv", ".cbf")) and rng.random() < 0.6:
        return _words(content, rng)
    if name.endswith(".onnx") and rng.random() < 0.8:
        return damaged_graph(content, rng)
    return _bytes(content, rng)


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
