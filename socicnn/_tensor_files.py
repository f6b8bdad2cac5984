"""Safetensors files with a header of our own: what every saved network has in common."""

from __future__ import annotations

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from socicnn._files import FileError, replacing

FORMAT = "socicnn"


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Write what `safetensors` made, its header in the order of the alphabet: equal networks give equal bytes.

    Raises:
        FileError: the place cannot be written.
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of eight bytes
    with replacing(path) as draft, draft.open("wb") as stream:
        stream.writelines([len(text).to_bytes(8, "little"), text, memoryview(content)[8 + size :]])


def read(
    path: str | os.PathLike[str], framework: Literal["np", "pt"], writer: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the tensors of a file and its header; nothing is allocated that the file cannot fill, no code is run.

    Args:
        path: the file.
        framework: whose tensors: NumPy's or PyTorch's.
        writer: what writes such files, for messages.

    Raises:
        FileError: the file cannot be read, or is not a valid file of this kind.
    """
    safetensors: Any = import_module("safetensors")
    try:
        Path(path).open("rb").close()
        with safetensors.safe_open(path, framework=framework) as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (the file is not a mapping)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    except safetensors.SafetensorError as error:
        reason = " ".join(str(error).split())[:300]
        raise FileError(f"{path} is not a valid safetensors file ({reason}); save the network again") from None
    except (AttributeError, TypeError, ValueError) as error:  # a number type that the framework does not have
        reason = " ".join(str(error).split())[:300]
        raise FileError(f"{path} holds unreadable numbers ({reason}); save the network again") from None
    if header.get("format") != FORMAT:
        raise FileError(f"{path} was not written by {writer}; it cannot be loaded")
    return tensors, header


def check_version(path: str | os.PathLike[str], header: dict[str, str], newest: int) -> None:
    """Raise a FileError if a file is of a later version than this package can read."""
    version = header.get("version", "")
    if not (version.isascii() and version.isdecimal() and len(version) < 10) or int(version) > newest:
        raise FileError(
            f"{path} has format version {version[:20] or 'none'}, this socicnn reads up to {newest}; update socicnn"
        )
