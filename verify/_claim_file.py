"""Write a claim: network, program, points, witness and bracket, as plain arrays that anybody can check."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from socicnn._files import replacing
from socicnn._numpy_files import digest
from socicnn._packed import pack_net, pack_program
from verify._core.claim import FORMAT, PROGRAM, Claim


def write(path: str | os.PathLike[str], claim: Claim) -> None:
    """Write a claim; the file appears whole or not at all.

    Raises:
        FileError: the folder does not exist.
    """
    arrays: dict[str, Any] = pack_net(claim.net, "net.") | pack_program(claim.program, PROGRAM, "program.")
    for name in ("row", "column"):
        arrays[f"program.{name}s.names"] = np.asarray(getattr(claim.program, f"{name}_names"), dtype=np.str_)
    arrays |= {name: getattr(claim, name) for name in ("x", "forward", "v", "y", "k", "lo", "hi")}
    arrays["format"] = np.asarray(FORMAT)
    arrays["digest"] = np.asarray(digest(arrays))
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
