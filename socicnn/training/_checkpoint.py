"""Checkpoints: everything a run needs to continue as if it had never stopped."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from socicnn._files import FileError, replacing
from socicnn.errors import ModelError
from socicnn.training._data import Data

FORMAT = "socicnn checkpoint 1"


@dataclass(frozen=True)
class Mark:
    """What tells one run from another, so that no other run is continued.

    Args:
        fingerprint: hash of everything.
        parts: the same in parts, by name, to say which differ: a setting as text, data and weights as hashes.
    """

    fingerprint: str
    parts: dict[str, str]

    @classmethod
    def of(cls, settings: dict[str, Any], *samples: Data | None) -> Mark:
        """Return the mark of a run with these settings, training data and validation data."""
        names = ("training data", "validation data")
        words = {"generator": "seed", "weights": "initial weights"}  # as a user calls them
        parts = {words.get(name, name): json.dumps(value, default=repr) for name, value in settings.items()}
        parts |= {name: fingerprint({}, part) for name, part in zip(names, samples, strict=True)}
        return cls(fingerprint(settings, *samples), parts)

    def differences(self, parts: dict[str, str]) -> str:
        """Return which parts of another run differ from these, for a message."""
        changes = []
        for name, value in self.parts.items():
            before = parts.get(name)
            if before == value:
                continue
            short = before is not None and max(len(before), len(value)) < 30
            changes.append(f"{name} (then {before}, now {value})" if short else name)
        return " and ".join([", ".join(changes[:-1]), changes[-1]] if len(changes) > 1 else changes)


def fingerprint(settings: dict[str, Any], *samples: Data | None) -> str:
    """Return a hash of the settings and of every number of the data."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode())
    for part in samples:
        for name, tensor in (part.tensors() if part is not None else {}).items():
            if name in ("gradient", "weight"):
                digest.update(name.encode())
            digest.update(repr(tuple(tensor.shape)).encode())
            digest.update(tensor.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write(path: str | os.PathLike[str], mark: Mark, state: dict[str, Any]) -> None:
    """Write a checkpoint in one step."""
    # a stream: from a path, torch.save would put the name of the draft into the file
    with replacing(path) as draft, draft.open("wb") as stream:
        torch.save({"format": FORMAT, "fingerprint": mark.fingerprint, "parts": mark.parts, **state}, stream)


def read(path: str | os.PathLike[str], mark: Mark, device: torch.device) -> dict[str, Any] | None:
    """Return the state of this run, or None if there is no file.

    Raises:
        FileError: the file is not a valid checkpoint.
        ModelError: it belongs to another run.
    """
    if not Path(path).exists():
        return None
    try:
        whole = Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"cannot read checkpoint {path}: {error.strerror or error}") from None
    try:  # tensors and plain values only: runs no code
        state = torch.load(io.BytesIO(whole), map_location=device, weights_only=True)
    except Exception:  # whatever a damaged file makes of the reader
        state = None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise FileError(f"{path} is not a valid socicnn checkpoint; delete it to start over")
    if state.get("fingerprint") != mark.fingerprint:
        parts = state.get("parts")
        which = mark.differences(parts) if isinstance(parts, dict) else ""
        raise ModelError(
            f"checkpoint {path} belongs to another run: different {which or 'data, settings or initial weights'}; "
            "delete it to start over, or choose another path"
        )
    return state


def copied(state: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a state dict that training on leaves alone."""
    return {key: value.detach().clone() if isinstance(value, Tensor) else value for key, value in state.items()}


def weights_hash(model: torch.nn.Module) -> str:
    """Return a hash of every tensor of a model."""
    digest = hashlib.sha256()
    for key, value in model.state_dict().items():
        digest.update(key.encode())
        if isinstance(value, Tensor):
            digest.update(value.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.hexdigest()
