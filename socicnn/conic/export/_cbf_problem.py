"""A CBF file as a CVXPY problem, whose variables may be integers."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from socicnn._arrays import IntArray
from socicnn.conic._program import ConicProgram
from socicnn.conic.export._cbf import sections


def read_problem(path: str | os.PathLike[str]) -> Any:
    """Read a CBF file as a `cvxpy.Problem`, e.g. to prove its optimum by `verify.optimum`.

    It takes versions 1 to 4, MIN and MAX, integers, and the cones F, L+, L-, L=, Q, QR and EXP, of variables too.
    Semidefinite variables and rows and power cones are refused. Files whose names end in `.gz` are unpacked. The
    problem's variables are `real`, and `whole` if there are integers, each in the order of the file.

    Args:
        path: file to read; it may be somebody else's.

    Raises:
        FileError: the file is missing or broken, or has other cones.

    >>> from tempfile import mkdtemp
    >>> from socicnn._compile import value_program
    >>> from socicnn.conic.export import export
    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> program = value_program(FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [1.0])))
    >>> path = os.path.join(mkdtemp(), "cost.cbf")
    >>> export(program.at([3.0]), path)
    >>> round(float(read_problem(path).solve(solver="CLARABEL")), 6)
    9.0
    """
    content = sections(path)
    return problem_of(content.program, content.integers, maximise=content.maximise)


def problem_of(program: ConicProgram, integers: IntArray, *, maximise: bool = False) -> Any:
    """Return a program as a `cvxpy.Problem`: min c'v + offset s.t. b - A v in K, or the maximum of the negative.

    Args:
        program: the program.
        integers: which entries of v are whole numbers.
        maximise: whether the problem is to maximise -(c'v + offset).
    """
    import cvxpy as cp

    real = np.setdiff1d(np.arange(program.A.shape[1]), integers)
    parts = [(cp.Variable(len(real), name="real"), real)] if len(real) else []
    parts += [(cp.Variable(len(integers), integer=True, name="whole"), integers)] if len(integers) else []
    cost: Any = program.offset
    s: Any = program.b
    for v, columns in parts:
        cost, s = cost + program.c[columns] @ v, s - program.A[:, columns] @ v
    cones = program.cones
    linear = cones.zero + cones.nonnegative
    rows: list[Any] = [s[: cones.zero] == 0] if cones.zero else []
    rows += [s[cones.zero : linear] >= 0] if cones.nonnegative else []
    sizes = np.asarray(cones.second_order, dtype=np.int64)
    for size in np.unique(sizes).tolist():  # cones of one size are one constraint
        heads = cones.heads[sizes == size]
        tails = (heads[None, :] + np.arange(1, size)[:, None]).reshape(-1)
        shape = (size - 1, len(heads))
        rows.append(cp.SOC(s[heads], cp.reshape(s[tails], shape, order="C")) if size > 1 else s[heads] >= 0)
    if cones.exponential:
        at = cones.exponential_start
        rows.append(cp.ExpCone(s[at::3], s[at + 1 :: 3], s[at + 2 :: 3]))
    return cp.Problem(cp.Maximize(-cost) if maximise else cp.Minimize(cost), rows)
