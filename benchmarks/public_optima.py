"""Public linear and second-order cone programs, proven: the bracket beside the optimum that is published.

    python -m benchmarks.public_optima FOLDER

FOLDER holds `.npz` files as SciPy's source package has them in `benchmarks/benchmarks/linprog_benchmark_files`: most of
the Netlib collection, each with c, A_ub, b_ub, A_eq, b_eq, bounds and obj, its published optimum, and infeasible
programs in the folder `infeasible`. It may also hold CBF files, packed or not, of which CBLIB is a library, and
`.mat.gz` files of SeDuMi's arrays (`public_cones`). They are no part of this repository. Bounds in `.npz` files are
pickled: read only files that you trust. Published optima have about ten digits, and some are of other versions of the
programs: a value outside a bracket is no fault as such, but an end that HiGHS, or Clarabel where there are cones,
contradicts by far is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.public_cones import SUFFIXES, cone_problem, published

NEAR = 1e-6  # of the optimum: how far published values may be from a bracket


@dataclass
class Program:
    """A program, linear or with cones.

    Args:
        problem: as a `cvxpy.Problem`.
        published: its optimum; infinite if it has no point, NaN if nothing is published.
        solver: CVXPY's name of the solver that it is compared with.
    """

    problem: Any
    published: float
    solver: str = "HIGHS"


def read(path: Path, known: Mapping[str, float]) -> Program:
    """Read a program.

    Args:
        path: the file.
        known: published optima of programs with cones, by name.
    """
    if path.suffix == ".npz":
        return linear_program(path)
    return Program(cone_problem(path), known.get(path.name.split(".")[0], np.nan), "CLARABEL")


def linear_program(path: Path) -> Program:
    """Read min c'x, A_ub x <= b_ub, A_eq x = b_eq, lower <= x <= upper.

    Args:
        path: the file; those in a folder `infeasible` have no point.
    """
    import cvxpy as cp
    from scipy import sparse

    with np.load(path, allow_pickle=True) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    n = len(parts["c"])
    x = cp.Variable(n)
    lower, upper = _bounds(parts.get("bounds", np.zeros(0)), n)
    rows = [x[np.isfinite(lower)] >= lower[np.isfinite(lower)], x[np.isfinite(upper)] <= upper[np.isfinite(upper)]]
    rows = [row for row in rows if row.size]
    for name, equal in (("ub", False), ("eq", True)):
        right = np.asarray(parts.get(f"b_{name}", np.zeros(0)), dtype=np.float64).reshape(-1)
        if len(right):
            left = sparse.csr_array(np.asarray(parts[f"A_{name}"], dtype=np.float64)) @ x
            rows.append(left == right if equal else left <= right)
    published = np.inf if path.parent.name == "infeasible" else float(parts["obj"])
    return Program(cp.Problem(cp.Minimize(np.asarray(parts["c"], dtype=np.float64).reshape(-1) @ x), rows), published)


def _bounds(bounds: NDArray[Any], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lower and upper bounds; x >= 0 if there are none, infinite where one is missing."""
    if bounds.size == 0:
        return np.zeros(n), np.full(n, np.inf)
    pairs = np.broadcast_to(bounds.reshape(-1, 2), (n, 2))
    lower = np.array([-np.inf if value is None else float(value) for value in pairs[:, 0]])
    upper = np.array([np.inf if value is None else float(value) for value in pairs[:, 1]])
    return lower, upper


def measured(path: Path, known: Mapping[str, float] = MappingProxyType({})) -> dict[str, Any]:
    """Return what was proven about a program."""
    import verify

    case = read(path, known)
    began = time.perf_counter()
    result = verify.optimum(case.problem)
    seconds = time.perf_counter() - began
    rows, variables = result.program.conic.A.shape
    case.problem.solve(solver=case.solver)
    value = float(case.problem.value)
    room = NEAR * (result.scale + abs(value)) if np.isfinite(value) else 0.0
    return {
        "name": path.name.split(".")[0],
        "rows": rows,
        "variables": variables,
        "kind": result.kind,
        "lo": result.lo,
        "hi": result.hi,
        "width": result.relative_gap if result.ok else np.inf,
        "published": case.published,
        "solver": value,
        "wrong": not result.lo - room <= value <= result.hi + room,
        "seconds": seconds,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run and print; the status is 1 if a solver contradicts an end by far."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.public_optima")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--largest", type=float, default=100.0, help="kilobytes of the largest file")
    options = parser.parse_args(arguments)
    files = [path for path in options.folder.rglob("*") if path.name.endswith((".npz", *SUFFIXES))]
    paths = sorted(files, key=lambda path: path.stat().st_size)
    paths = [path for path in paths if path.stat().st_size <= 1000 * options.largest]
    if not paths:
        raise SystemExit(f"{options.folder} has no .npz, .cbf or .mat.gz files, e.g. SciPy's linprog_benchmark_files")
    print("| program | rows | variables | lo | hi | width / terms | published | seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    known = published(options.folder)
    records = []
    for path in paths:
        row = measured(path, known)
        records.append(row)
        ends = f"{row['lo']:.10g} | {row['hi']:.10g} | {row['width']:.0e} | {row['published']:.10g}"
        flag = " WRONG" if row["wrong"] else ""
        print(
            f"| {row['name']} | {row['rows']} | {row['variables']} | {ends} | {row['seconds']:.1f} |{flag}", flush=True
        )
    wrong = sum(row["wrong"] for row in records)
    both = sum(bool(np.isfinite(row["width"])) for row in records)
    narrow = sum(row["width"] <= 1e-7 for row in records)
    print(f"{len(records)} programs: {both} with both ends, {narrow} narrow, {wrong} contradicted by a solver")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
