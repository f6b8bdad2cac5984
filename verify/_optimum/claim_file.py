"""Write a claim about an optimum."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from scipy import sparse

from socicnn._files import replacing
from socicnn._numpy_files import digest
from socicnn._packed import pack_program
from verify._optimum.claim import FORMAT, MIXED, VECTORS, OptimumClaim, unpacked
from verify._optimum.mixed import MixedProgram


def write(path: str | os.PathLike[str], claim: OptimumClaim) -> None:
    """Write a claim; the file appears whole or not at all.

    Raises:
        FileError: the folder does not exist.
    """
    P = sparse.coo_array(claim.program.P)
    arrays: dict[str, Any] = pack_program(claim.program.conic, VECTORS, "program.") | unpacked(claim.witness)
    arrays |= {"P.entries": P.data, "P.at": np.stack([P.row, P.col]).astype(np.int64)}
    arrays |= {name: np.asarray(getattr(claim, name)) for name in ("sign", "lo", "hi")}
    arrays["format"] = np.asarray(FORMAT)
    if isinstance(claim.program, MixedProgram):
        arrays["format"] = np.asarray(MIXED)
        arrays |= {name: getattr(claim.program, name) for name in ("integers", "lower", "upper")}
    arrays["digest"] = np.asarray(digest(arrays))
    with replacing(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
