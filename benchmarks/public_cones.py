"""Public second-order cone programs: CBF files, and SeDuMi's arrays as the DIMACS challenge of 2000 has them.

CBLIB, the library of CBF files, holds the second-order programs of that challenge under the same names. Its list of
values, `stat.set-cblib2014.csv`, has the name in the second column and the primal objective in the sixth.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from socicnn.conic.export import read_problem

VALUES = "stat.set-cblib2014.csv"
SUFFIXES = (".cbf", ".cbf.gz", ".mat.gz")


def cone_problem(path: Path) -> Any:
    """Return the `cvxpy.Problem` of a file, by its suffix."""
    return sedumi(path) if path.name.endswith(".mat.gz") else read_problem(path)


def sedumi(path: Path) -> Any:
    """Read min c'x, A x = b, x in K as SeDuMi keeps it: free entries first, then x >= 0, then second-order cones.

    Raises:
        ValueError: there are rotated or semidefinite cones.
    """
    import cvxpy as cp
    from scipy.io import loadmat

    with gzip.open(path) as stream:
        parts = loadmat(stream)
    A = parts["A"] if "A" in parts else parts["At"].T
    b, c = (_vector(parts[name]) for name in "bc")
    K = parts["K"][0, 0]
    sizes = {name: K[name].reshape(-1).astype(np.int64).tolist() for name in K.dtype.names}
    if sum(sizes.get("r", [])) or sum(sizes.get("s", [])):
        raise ValueError(f"{path} has rotated or semidefinite cones; this reader takes K.f, K.l and K.q alone")
    free, plane, cones = sum(sizes.get("f", [])), sum(sizes.get("l", [])), np.asarray(sizes.get("q", []), np.int64)
    cones = cones[cones > 0]
    x = cp.Variable(len(c))
    rows = [sparse.csr_array(A, dtype=np.float64) @ x == b]
    rows += [x[free : free + plane] >= 0] if plane else []
    heads = free + plane + np.cumsum(cones) - cones
    for size in np.unique(cones).tolist():
        at = heads[cones == size]
        tails = (at[None, :] + np.arange(1, size)[:, None]).reshape(-1)
        rows.append(cp.SOC(x[at], cp.reshape(x[tails], (size - 1, len(at)), order="C")))
    return cp.Problem(cp.Minimize(c @ x), rows)


def _vector(values: Any) -> Any:
    return np.asarray(values.todense() if sparse.issparse(values) else values, dtype=np.float64).reshape(-1)


def published(folder: Path) -> dict[str, float]:
    """Return the values that the folder's `stat.set-cblib2014.csv` lists by name; nothing without one."""
    path = folder / VALUES
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.reader(stream, delimiter=";") if len(row) > 5]
    return {row[1]: float(row[5]) for row in rows[1:] if _is_number(row[5])}


def _is_number(word: str) -> bool:
    try:
        return np.isfinite(float(word))
    except ValueError:
        return False
