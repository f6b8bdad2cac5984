"""A frozen network in one safetensors file, in the layout of `socicnn._packing`; loading never runs code."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import Any

import numpy as np

from socicnn._compressed import from_compressed
from socicnn._files import FileError
from socicnn._packed import pack_net
from socicnn._packing import LISTS, unpack_net
from socicnn._plain_arrays import Arrays, PackingError
from socicnn._tensor_files import FORMAT, check_version, read, write

VERSION = 5  # of norms inside layers; 4 of units of several kinds, 3 of other exponential cones, 2 of none of these
NAME = "FrozenNet"


def save(net: Any, path: str | os.PathLike[str], metadata: str = "{}") -> None:
    """Write a frozen network, its arrays bit for bit; an older file of that name is replaced in one step.

    Equal networks give equal files. The header tells the sizes and the fingerprint.

    Args:
        net: the network.
        path: where to.
        metadata: what is stored with it, as JSON.

    Raises:
        FileError: the place cannot be written.
    """
    told = {
        "in_features": net.in_features,
        "hidden_features": net.hidden_features,
        "fingerprint": net.fingerprint,
    }
    header = {
        "format": FORMAT,
        "version": str(_version(net)),
        "network": NAME,
        "config": json.dumps(told),
        "metadata": metadata,
    }
    # the writer takes the entries of an array one after the other
    arrays = {name: np.array(array, order="C") for name, array in pack_net(net).items()}
    write(path, import_module("safetensors.numpy").save(arrays, metadata=header))


def _version(net: Any) -> int:
    """Return the version whose readers know everything in a network."""
    if any(name == "norms" for layer in net.layers for name, _ in layer.named_inner()):
        return VERSION
    return 4 if any(layer.smoothing.ndim for layer in net.layers) else 3 if net.exponential else 2


def is_frozen(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file says that it holds a frozen network; False if it cannot be read."""
    safetensors: Any = import_module("safetensors")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return (file.metadata() or {}).get("network") == NAME
    except (OSError, safetensors.SafetensorError):
        return False


def load(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str | None]:
    """Return the arguments of the `FrozenNet` that `save` wrote, and its fingerprint.

    Files of version 1 have no fingerprint.

    Raises:
        FileError: the file cannot be read, or is not a valid file of this kind and version.
    """
    tensors, header = read(path, "np", "FrozenNet.save")
    kind = header.get("network")
    if kind != NAME:
        raise FileError(f"{path} holds a {kind}; read it with socicnn.load")
    check_version(path, header, VERSION)
    try:
        config = json.loads(header["config"])
        if header["version"] == "1":
            return unpack_net(_of_version_1(tensors, config)), None
        return unpack_net(tensors), str(config["fingerprint"])
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged(path, error) from None


def damaged(path: str | os.PathLike[str], error: Exception) -> FileError:
    """Return the error for a file whose arrays do not make a network."""
    reason = " ".join(str(error).split())
    return FileError(f"{path} is damaged: its arrays do not make a network ({reason[:300]})")


def _of_version_1(tensors: Arrays, config: dict[str, Any]) -> Arrays:
    """Return the arrays of a file of version 1 in the layout of today: it kept lengths and shapes as JSON."""
    arrays = dict(tensors)
    for name, shape in config["sparse"].items():
        parts = [tensors[f"{name}.{piece}"] for piece in ("data", "indices", "indptr")]
        arrays |= from_compressed(name, parts, shape, by_rows=True)
    arrays |= {name: np.asarray(config[name]) for name in LISTS}
    if len(config["groups"]) != config["norms"]:
        raise PackingError(f"it has {config['norms']} norms, but groups of {len(config['groups'])}")
    groups = enumerate(config["groups"])
    arrays |= {f"norms.{index}.group": np.asarray(group) for index, group in groups if group is not None}
    return arrays | {"input_shape": np.asarray(config["input_shape"])}
