"""Checkpoints: everything a run needs to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from socicnn.errors import ModelError
from socicnn.files import FileError, replacing
from socicnn.training.data import Samples

FORMAT = "socicnn checkpoint 1"


def fingerprint(settings: dict[str, Any], *samples: Samples | None) -> str:
    """Return a hash of the settings and of every number of the data, so that no other run is continued."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode())
    for part in samples:
        for tensor in () if part is None else (part.x, part.y, part.context):
            if tensor is not None:
                digest.update(repr(tuple(tensor.shape)).encode())
                digest.update(tensor.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.hexdigest()


def write(path: str | os.PathLike[str], mark: str, state: dict[str, Any]) -> None:
    """Write a checkpoint in one step."""
    with replacing(path) as draft:
        torch.save({"format": FORMAT, "fingerprint": mark, **state}, draft)


def read(path: str | os.PathLike[str], mark: str, device: torch.device) -> dict[str, Any] | None:
    """Return the state of this run, or None where there is no file.

    Raises:
        FileError: the file is no whole checkpoint.
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
    except (RuntimeError, OSError, pickle.UnpicklingError, EOFError, ValueError, KeyError):
        state = None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise FileError(f"{path} is no whole checkpoint of socicnn; delete it to start anew")
    if state["fingerprint"] != mark:
        raise ModelError(
            f"checkpoint {path} belongs to a run with other data, settings or initial weights; delete it to start "
            "anew, or choose another path"
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
