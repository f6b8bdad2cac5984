"""A frozen network in one safetensors file, what is no tensor as JSON in its header; loading never runs code."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from socicnn.errors import ModelError
from socicnn.files import FileError, replacing
from socicnn.frozen import FrozenNet
from socicnn.frozen.parts import Layer, Norm, Output, Quadratic, Squares

FORMAT = "socicnn"
VERSION = 1
NAME = "FrozenNet"
_LISTS: dict[str, type] = {"layers": Layer, "quadratics": Quadratic, "norms": Norm}
_SPARSE = ("data", "indices", "indptr")


def save(net: FrozenNet, path: str | os.PathLike[str]) -> None:
    """Write a frozen network, its arrays bit for bit; an older file of that name is replaced in one step.

    Raises:
        FileError: the place cannot be written.

    >>> from tempfile import mkdtemp
    >>> path = os.path.join(mkdtemp(), "net.safetensors")
    >>> save(FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [1.0])), path)
    >>> load(path)([[3.0], [-3.0]])
    array([ 9., -3.])
    """
    tensors: dict[str, Any] = {}
    shapes: dict[str, Any] = {}
    parts = [("output", net.output)]
    for name in _LISTS:
        parts += [(f"{name}.{index}", part) for index, part in enumerate(getattr(net, name))]
    for prefix, part in parts:
        _put(prefix, part, tensors, shapes)
    config = {
        "input_shape": net.input_shape,
        "groups": [norm.group for norm in net.norms],
        "sparse": shapes,
        **{name: len(getattr(net, name)) for name in _LISTS},
    }
    header = {
        "format": FORMAT,
        "version": str(VERSION),
        "network": NAME,
        "config": json.dumps(config),
        "metadata": "{}",
    }
    with replacing(path) as draft:
        draft.write_bytes(import_module("safetensors.numpy").save(tensors, metadata=header))


def is_frozen(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file says that it holds a frozen network; False where it cannot be read."""
    safetensors: Any = import_module("safetensors")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return (file.metadata() or {}).get("network") == NAME
    except (OSError, safetensors.SafetensorError):
        return False


def load(path: str | os.PathLike[str]) -> FrozenNet:
    """Read a frozen network that `save` wrote.

    Raises:
        FileError: the file cannot be read, is not a whole file of this kind and version, or holds no convex network.
    """
    safetensors: Any = import_module("safetensors")
    try:
        Path(path).open("rb").close()
        with safetensors.safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (the file is no mapping)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    except safetensors.SafetensorError as error:
        raise FileError(f"{path} is no whole safetensors file ({error}); save the network again") from None
    found = header.get("network") if header.get("format") == FORMAT else None
    if found != NAME:
        what = "was not written by FrozenNet.save" if found is None else f"holds a {found}; read it with socicnn.load"
        raise FileError(f"{path} {what}")
    version = header.get("version", "")
    if not version.isdecimal() or int(version) > VERSION:
        raise FileError(
            f"{path} has format version {version or 'none'}, this socicnn reads up to {VERSION}; update socicnn"
        )
    try:
        return _net(tensors, json.loads(header["config"]))
    except (ModelError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise FileError(f"{path} is damaged: its arrays do not make a network ({reason[:300]})") from None


def _put(prefix: str, part: Any, tensors: dict[str, Any], shapes: dict[str, Any]) -> None:
    """Enter the arrays of a part under their names; a sparse matrix as the three arrays of its rows."""
    for entry in fields(part):
        name, value = f"{prefix}.{entry.name}", getattr(part, entry.name)
        if isinstance(value, Squares):
            _put(name, value, tensors, shapes)
        elif isinstance(value, sparse.csr_array):
            shapes[name] = value.shape
            tensors |= {f"{name}.{piece}": getattr(value, piece) for piece in _SPARSE}
        elif value is not None and entry.name != "group":
            tensors[name] = np.array(value, order="C")  # the writer takes rows one after the other


def _net(tensors: dict[str, Any], config: dict[str, Any]) -> FrozenNet:
    parts = {
        name: [_part(kind, f"{name}.{index}", tensors, config["sparse"]) for index in range(config[name])]
        for name, kind in _LISTS.items()
    }
    norms = [
        Norm(norm.gamma, norm.C, norm.d, group) for norm, group in zip(parts["norms"], config["groups"], strict=True)
    ]
    output = _part(Output, "output", tensors, config["sparse"])
    return FrozenNet(parts["layers"], output, parts["quadratics"], norms, tuple(config["input_shape"]))


def _part(kind: type, prefix: str, tensors: dict[str, Any], shapes: dict[str, Any]) -> Any:
    values: dict[str, Any] = {}
    for entry in fields(kind):
        name = f"{prefix}.{entry.name}"
        if name in shapes:
            matrix = sparse.csr_array(tuple(tensors[f"{name}.{piece}"] for piece in _SPARSE), shape=tuple(shapes[name]))
            matrix.check_format(full_check=True)  # a place outside would be read from foreign memory
            values[entry.name] = matrix
        elif name in tensors:
            values[entry.name] = tensors[name]
        elif entry.name == "squares" and f"{name}.rho" in tensors:
            values[entry.name] = _part(Squares, name, tensors, shapes)
        elif entry.name in ("W", "U"):
            values[entry.name] = None
    return kind(**values)
