"""Saving and loading: one safetensors file, the configuration in its metadata; loading never runs code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from socicnn.errors import ModelError
from socicnn.files import FileError, replacing
from socicnn.frozen import FrozenNet
from socicnn.nn.kinds import NETWORKS, knows_network
from socicnn.nn.network import Network
from socicnn.ranges import Ranges

FORMAT = "socicnn"
VERSION = 1


def save(model: Network, path: str | os.PathLike[str], metadata: dict[str, Any] | None = None) -> None:
    """Write a network to one file; an older file of that name is replaced in one step.

    Args:
        model: any network of `socicnn.nn`.
        path: where to.
        metadata: JSON values to keep beside it; the ranges of the training data are kept anyway.

    Raises:
        ModelError: not a network of `socicnn.nn`, or metadata that is not JSON.
        FileError: the place cannot be written.

    >>> from tempfile import mkdtemp
    >>> from socicnn import SOCICNN
    >>> path = os.path.join(mkdtemp(), "cost.safetensors")
    >>> save(SOCICNN(3), path, metadata={"set": "simplex"})
    >>> load(path).in_features, load_metadata(path)
    (3, {'set': 'simplex'})
    """
    name = type(model).__name__
    if isinstance(model, FrozenNet):
        raise ModelError("a FrozenNet is saved by itself: net.save(path), and read by FrozenNet.load(path)")
    if not isinstance(model, Network) or not knows_network(name):
        raise ModelError(f"only the networks {', '.join(sorted(NETWORKS))} can be saved; received {name}")
    try:
        header = {
            "format": FORMAT,
            "version": str(VERSION),
            "network": name,
            "module": type(model).__module__,
            "config": json.dumps(model.config(), allow_nan=False),
            "metadata": json.dumps(metadata or {}, allow_nan=False),
        }
        if model.ranges is not None:
            header["ranges"] = model.ranges.to_json()
    except (TypeError, ValueError) as error:
        raise ModelError(f"metadata must hold finite JSON values: {error}") from None
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    with replacing(path) as draft:
        draft.write_bytes(safetensors.torch.save(tensors, metadata=header))


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network that `save` wrote, every tensor of the type that it had.

    Raises:
        FileError: the file cannot be read, or is not a whole file of this kind and version.
    """
    tensors, header = _read(path)
    name = header["network"]
    if name == FrozenNet.__name__:
        raise FileError(f"{path} holds a frozen network; read it with FrozenNet.load(path)")
    if not knows_network(name):
        module = header.get("module", "")
        hint = "update socicnn" if module.startswith("socicnn.") or not module else f"import {module} first"
        raise FileError(f"{path} holds a network '{name}' that socicnn does not know; {hint}")
    kind: type[Network] = NETWORKS[name]
    try:
        model = kind.from_config(json.loads(header["config"]))
        model.load_state_dict(tensors, assign=True)
        model.ranges = _ranges(model, header)
    except (ModelError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise FileError(f"{path} is damaged: its tensors do not fit its configuration ({reason[:300]})") from None
    return model


def _ranges(model: Network, header: dict[str, str]) -> Ranges | None:
    """Return the ranges in a header; None in files of older versions, and of networks that were never trained."""
    if "ranges" not in header:
        return None
    ranges = Ranges.from_json(header["ranges"])
    context = None if ranges.context_lower is None else ranges.context_lower.shape
    if ranges.x_lower.shape != model.input_shape or context != model.context_shape:
        raise ModelError(f"{ranges} does not fit x of shape {model.input_shape} and context {model.context_shape}")
    return ranges


def load_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what was given to `save` as metadata.

    Raises:
        FileError: the file cannot be read, or is not a whole file of this kind and version.
    """
    _, header = _read(path)
    try:
        found = json.loads(header["metadata"])
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise FileError(f"{path} is damaged: its metadata cannot be read; save the network again")
    return found


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        Path(path).open("rb").close()
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            # copied: where a tensor begins in the file decides how its products round
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 (the file is no mapping)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    except safetensors.SafetensorError as error:
        raise FileError(f"{path} is no whole safetensors file ({error}); save the network again") from None
    if header.get("format") != FORMAT:
        raise FileError(f"{path} was not written by socicnn.save; it cannot be loaded")
    version = header.get("version", "")
    if not version.isdecimal() or int(version) > VERSION:
        raise FileError(
            f"{path} has format version {version or 'none'}, this socicnn reads up to {VERSION}; update socicnn"
        )
    missing = [key for key in ("network", "config", "metadata") if key not in header]
    if missing:
        raise FileError(f"{path} is damaged: its header lacks {missing[0]}; save the network again")
    return tensors, header
