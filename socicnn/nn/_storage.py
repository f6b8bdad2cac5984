"""Saving and loading: one safetensors file, the configuration in its metadata; loading never runs code.

What is saved is a network, or something made of one that registers itself in `socicnn.nn._kinds`, e.g. a density; or a
frozen network, whose file `socicnn.frozen._storage` writes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar, overload

import safetensors.torch
import torch

from socicnn._files import FileError
from socicnn._ranges import Ranges
from socicnn._tensor_files import FORMAT, check_version, read, write
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.frozen import _storage as frozen_file
from socicnn.nn._kinds import NETWORKS, knows_network
from socicnn.nn._network import Network

VERSION = 2  # of version 1: means without a second buffer, no ranges; they are still read
SPARE = 1000  # largest number in a configuration that needs no equal number of entries in the file: strides, kernels

M = TypeVar("M")


class Storable(Protocol):
    """What a file can hold: a module that its configuration and its tensors make again."""

    ranges: Ranges | None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one x."""

    @property
    def context_shape(self) -> tuple[int, ...] | None:
        """Shape of one context, or None."""

    def config(self) -> dict[str, Any]:
        """Return what makes the same module again, apart from its tensors, as JSON values."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the tensors by name."""


def save(model: Storable | FrozenNet, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a network, frozen or not, or a density, to one file; an older file of that name is replaced in one step.

    Args:
        model: any network of `socicnn.nn`, a `FrozenNet`, or another registered model: `Energy`, `PotentialFlow`, ....
        path: where to.
        metadata: JSON values by name to store with it; the ranges of the training data are always stored.

    Raises:
        ModelError: a model of another kind, tied tensors, or metadata that is no mapping of names to JSON values.
        FileError: the place cannot be written.

    >>> from tempfile import mkdtemp
    >>> from socicnn import SOCICNN
    >>> path = os.path.join(mkdtemp(), "cost.safetensors")
    >>> save(SOCICNN(3), path, metadata={"set": "simplex"})
    >>> load(path).in_features, load_metadata(path)
    (3, {'set': 'simplex'})
    """
    if metadata is not None and not isinstance(metadata, Mapping):
        received = type(metadata).__name__
        raise ModelError(f"metadata must be a mapping of names to JSON values; received {received}: name each value")
    name, stored = type(model).__name__, _json(dict(metadata or {}), "metadata")
    if isinstance(model, FrozenNet):
        return frozen_file.save(model, path, stored)
    if not knows_network(name) or type(model) is not NETWORKS[name]:
        raise ModelError(f"only the networks {', '.join(sorted(NETWORKS))} can be saved; received {name}")
    header = {
        "format": FORMAT,
        "version": str(VERSION),
        "network": name,
        "module": type(model).__module__,
        "config": _json(model.config(), "the configuration"),
        "metadata": stored,
    }
    if model.ranges is not None:
        header["ranges"] = model.ranges.to_json()
    _refuse_tied(model)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    write(path, safetensors.torch.save(tensors, metadata=header))


def _json(values: dict[str, Any], name: str) -> str:
    try:
        return json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} must hold finite JSON values: {error}") from None


def _refuse_tied(model: Any) -> None:
    """Refuse tensors under two names: a file keeps each by itself, so that they would come back untied."""
    names: dict[int, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        first = names.setdefault(id(tensor), name)
        if first != name:
            raise ModelError(
                f"{first} and {name} are one tied tensor, which a file cannot keep; give each module a parameter of "
                "its own (a clone) before saving"
            )


@overload
def load(path: str | os.PathLike[str]) -> Network: ...


@overload
def load(path: str | os.PathLike[str], kind: type[M]) -> M: ...


def load(path: str | os.PathLike[str], kind: type = object) -> Any:
    """Read what `save` or `FrozenNet.save` wrote, every tensor of the type that it had.

    Args:
        path: the file.
        kind: the class that is expected, e.g. `Energy` or `FrozenNet`; any if omitted.

    Raises:
        FileError: the file cannot be read, is not a valid file of this kind and version, or holds another class.
    """
    if issubclass(FrozenNet, kind) and frozen_file.is_frozen(path):
        return FrozenNet.load(path)
    tensors, header = _read(path)
    name = header["network"]
    if name != FrozenNet.__name__ and not knows_network(name):
        module = header.get("module", "")
        hint = f"import {module} first" if module else "update socicnn"
        if module.startswith("socicnn."):
            hint = f"update socicnn, or {hint}"
        raise FileError(f"{path} holds a network '{name}' that socicnn does not know; {hint}")
    made: Any = FrozenNet if name == FrozenNet.__name__ else NETWORKS[name]
    if not issubclass(made, kind):
        raise FileError(f"{path} holds a model of the class {name}, where {kind.__name__} is expected")
    try:
        config = json.loads(header["config"])
        tensors = _of_version_1(tensors) if header["version"] == "1" else tensors
        _check_fit(made, config, tensors)
        model = made.from_config(config)
        model.load_state_dict(tensors, assign=True)
        model.ranges = _ranges(model, header)
    except (ModelError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise FileError(f"{path} is damaged: its tensors do not fit its configuration ({reason[:300]})") from None
    return model


def _of_version_1(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of version 1 by the names of today: it has no second buffers of the means."""
    second = {
        f"{name}_low": torch.zeros_like(tensor)
        for name, tensor in tensors.items()
        if name.endswith("_mean") and "standardisation" in name.split(".")
    }
    return second | tensors


def _ranges(model: Storable, header: dict[str, str]) -> Ranges | None:
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
        FileError: the file cannot be read, or is not a valid file of this kind and version.
    """
    _, header = _read(path)
    try:
        metadata = json.loads(header["metadata"])
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise FileError(f"{path} is damaged: its metadata cannot be read; save the network again")
    return metadata


def _check_fit(kind: Any, config: Any, tensors: dict[str, torch.Tensor]) -> None:
    """Compare the tensors with a network of that configuration, before any memory is taken for one.

    Raises:
        ModelError: the configuration names sizes that the file cannot fill, or other tensors than it has.
    """
    numbers = sum(tensor.numel() for tensor in tensors.values())
    largest = max(_sizes(config), default=0)
    if largest > numbers + SPARE:
        raise ModelError(f"the configuration names the size {largest}, but the file holds {numbers} numbers")
    with torch.device("meta"):  # sizes without memory
        expected = kind.from_config(config).state_dict()
    for name in sorted(expected.keys() ^ tensors.keys()):
        raise ModelError(f"the tensor {name} is {'missing' if name in expected else 'none of this network'}")
    for name, tensor in expected.items():
        stored = tensors[name]
        if stored.shape != tensor.shape or stored.is_floating_point() != tensor.is_floating_point():
            raise ModelError(f"{name} must have shape {tuple(tensor.shape)}; received {tuple(stored.shape)}")


def _sizes(value: Any) -> Iterator[int]:
    """Yield every whole number in a configuration, and the number of inputs that a shape of x comes to."""
    if isinstance(value, dict):
        shape = value.get("input_shape", ())
        if isinstance(shape, list) and all(isinstance(size, int) for size in shape):
            yield abs(math.prod(shape))
    if isinstance(value, int):
        yield abs(value)
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _sizes(entry)


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    tensors, header = read(path, "pt", "socicnn.save")
    check_version(path, header, frozen_file.VERSION if header.get("network") == frozen_file.NAME else VERSION)
    missing = [key for key in ("network", "config", "metadata") if key not in header]
    if missing:
        raise FileError(f"{path} is damaged: its header lacks {missing[0]}; save the network again")
    # copied: where a tensor begins in the file decides how its products round
    return {key: tensor.clone() for key, tensor in tensors.items()}, header
