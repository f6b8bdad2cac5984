"""Contract: what stores arrays keeps copies, so that nobody changes it by changing what it was made from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

import decision
import socicnn.conic
import socicnn.frozen
import verify
from decision._region import Region
from decision.sets import Box
from socicnn import SOCICNN, FrozenNet
from socicnn._arrays import owned, read_only
from socicnn._compile import value_program
from socicnn._ranges import Ranges
from socicnn.conic import Cones, ConicProgram, Lifts, Rows, ValueProgram
from socicnn.conic.export import export
from socicnn.conic.export._npz import read_npz
from socicnn.frozen import Layer, Logistic, LogSumExp, Norm, Norms, Output, Quadratic, Squares

Made = tuple[Any, list[np.ndarray]]  # an object, and the arrays that it was made from


def small_net() -> FrozenNet:
    return FrozenNet(
        [Layer(None, [[1.0, -1.0]], [0.25])],
        Output([1.0], [0.5, 0.0]),
        [Quadratic(0.5, np.eye(2))],
        [Norm(1.0, np.eye(2))],
    )


def frozen_net() -> Made:
    given = [np.eye(2), np.array([0.5, -1.0]), np.ones(2), np.array([0.25, 1.0]), np.eye(2), np.eye(2), np.ones(2)]
    U, b, w, v, A, C, d = given
    held = sparse.csr_array(np.eye(2))
    squares, norms = Squares(np.ones(2), held), Norms(np.ones(2), held)
    G, S, omega = np.eye(2), np.eye(2), np.ones(2)
    smooth = {"logsumexps": [LogSumExp(1.0, G, d)], "logistics": [Logistic(omega, S)]}
    net = FrozenNet(
        [Layer(None, U, b, squares, norms=norms)], Output(w, v), [Quadratic(1.0, A, d)], [Norm(1.0, C)], **smooth
    )
    return net, [*given, held.data, G, S, omega]


def value() -> Made:
    A, B = sparse.csc_array(np.array([[-1.0], [-1.0]])), sparse.csr_array(np.array([[1.0], [0.0]]))
    b, q, d, r = np.zeros(2), np.ones(1), np.ones(1), np.array(0.5)
    return ValueProgram(A, B, b, q, d, r, Cones(0, 2)), [A.data, B.data, b, q, d, r]


def conic() -> Made:
    A, b, c = sparse.csc_array(np.array([[-1.0], [1.0]])), np.ones(2), np.ones(1)
    return ConicProgram(A, b, c, 0.0, Cones(0, 2)), [A.data, b, c]


def rows() -> Made:
    G, h = sparse.csr_array(np.eye(2)), np.ones(2)
    return Rows(G, h, Cones(0, 2)), [G.data, h]


def lifts() -> Made:
    given = [np.array([0]), np.array([0]), np.array([3])]
    return Lifts(*given), given


def ranges() -> Made:
    given = [np.zeros(2), np.ones(2), np.zeros(1), np.ones(1)]
    return Ranges(*given), given


def certificate() -> Made:
    x = np.array([[0.5, 1.0], [2.0, -1.0]])
    return verify.certify(small_net(), x), [x]


def report() -> Made:
    x = np.array([[0.5, 1.0], [2.0, -1.0]])
    return verify.equivalence(small_net(), x, solvers=()), [x]


def box() -> Made:
    lower, upper = np.zeros(2), np.ones(2)
    return Box(2, lower, upper), [lower, upper]


def region() -> Made:
    x = np.arange(12.0).reshape(2, 3, 2)
    return Region.of(x), [x]


def decided() -> Made:
    theta = np.array([[0.5, -1.0], [1.0, 0.0]])
    model = SOCICNN(2, (3,), context_features=2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return decision.decide(model, decision.Simplex(2), theta), [theta]


CASES: dict[str, Callable[[], Made]] = {
    "FrozenNet": frozen_net,
    "ValueProgram": value,
    "ConicProgram": conic,
    "Rows": rows,
    "Lifts": lifts,
    "Ranges": ranges,
    "Certificate": certificate,
    "EquivalenceReport": report,
    "Box": box,
    "Region": region,
    "Decision": decided,
}
READ_ONLY = ("FrozenNet", "ValueProgram", "ConicProgram", "Rows", "Lifts", "Ranges", "Certificate")
# parts of a FrozenNet, which copies them; results that only this package makes, of arrays of its own; training data,
# which stay the caller's as in torch, because they may fill the memory
OTHERS = {
    "Layer",
    "Norm",
    "Norms",
    "Output",
    "Parts",
    "Quadratic",
    "Report",
    "Squares",
    "Solution",
    "Falsification",
    "Data",
}
OTHERS |= {"LogSumExp", "Logistic", "AffinePieces"}


def stored(made: Any, depth: int = 4) -> list[Any]:
    """Return every array that an object holds, at any depth."""
    if isinstance(made, np.ndarray | torch.Tensor):
        return [made]
    if sparse.issparse(made):
        return [made.data, made.indices, made.indptr]
    if depth and isinstance(made, list | tuple | dict):
        return [a for entry in (made.values() if isinstance(made, dict) else made) for a in stored(entry, depth)]
    if depth and hasattr(made, "__dict__") and type(made).__module__.split(".")[0] in ("socicnn", "verify", "decision"):
        return [array for entry in vars(made).values() for array in stored(entry, depth - 1)]
    return []


def contents(made: Any) -> list[Any]:
    return [a.numpy().copy() if isinstance(a, torch.Tensor) else np.array(a) for a in stored(made)]


@pytest.mark.parametrize("kind", CASES)
def test_what_it_was_made_from_is_not_its_own(kind: str) -> None:
    made, given = CASES[kind]()
    before = contents(made)
    assert before
    for array in given:
        array[...] = 7
    after = contents(made)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", READ_ONLY)
def test_its_arrays_are_read_only(kind: str) -> None:
    made, _ = CASES[kind]()
    for name, entry in vars(made).items():
        for array in stored(entry):
            assert not array.flags.writeable, name


def test_programs_read_from_files_and_at_a_point_are_read_only(tmp_path: Path) -> None:
    program = value_program(small_net())
    export(program, tmp_path / "program.npz")
    x = np.array([0.5, -2.0])
    for made in (read_npz(tmp_path / "program.npz"), program.at(x), program.free(), program.rescaled(np.array([2.0]))):
        assert not any(array.flags.writeable for array in stored(made))
    at = program.at(x)
    before = contents(at)
    x[...] = 9.0
    assert all(map(np.array_equal, before, contents(at)))


def test_a_solution_is_left_alone_by_the_next_solve() -> None:
    prepared = value_program(small_net()).prepare()
    first = prepared.solve([0.5, -2.0])
    before = contents(first)
    prepared.solve([3.0, 1.0])
    assert all(map(np.array_equal, before, contents(first)))


def test_views_of_what_can_be_written_to_are_copied() -> None:
    base = np.ones(3)
    view = read_only(base[1:])
    mine = owned(view)
    base[...] = 5.0
    assert mine.tolist() == [1.0, 1.0]
    assert owned(mine[1:]).base is mine


def test_sparse_matrices_that_nobody_can_write_to_are_not_copied_again() -> None:
    eye = sparse.csr_array(np.eye(3))
    mine = owned(eye)
    assert owned(mine) is mine
    eye.data[:] = 2.0
    assert mine.sum() == 3.0


def test_every_public_class_of_arrays_is_listed() -> None:
    for face in (socicnn.frozen, socicnn.conic, verify, decision):
        for name in face.__all__:
            entry = getattr(face, name)
            if inspect.isclass(entry) and is_dataclass(entry):
                kinds = " ".join(str(item.type) for item in fields(entry))
                if any(word in kinds for word in ("Array", "Matrix", "Tensor", "_array")):
                    assert entry.__name__ in {*CASES, *OTHERS}, f"{name} stores arrays: add it to CASES"
