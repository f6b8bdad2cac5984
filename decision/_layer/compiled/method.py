"""From tensors to the arrays of the compiled loops, and back; None where the loops cannot be used."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from decision._layer.array_gradient import AdjointSolution
from decision._layer.array_local import ArrayLocal
from decision._layer.compiled.state import ContextArrays, FaceArrays, place_for, room_for
from decision._layer.objective import Objective
from decision._layer.rows import SetRows
from decision._minimise.compiled.measure import run
from decision._minimise.compiled.method import WIDEST, installed
from decision._minimise.stack import Stack
from socicnn._arrays import Array

LARGEST = 128  # inputs: above, the processor's own batched matrices are as fast


def polished_by_loops(
    objective: Objective, rows: SetRows, h: Tensor, x: Tensor, rounds: int
) -> tuple[Tensor, Tensor] | None:
    """Return stationary points near x, and which contexts have one; None where the loops cannot be used.

    Args:
        objective: the functions, explored.
        rows: the set.
        h: its right-hand sides, shape `(contexts, rows)`.
        x: decisions, shape `(contexts, n)`.
        rounds: steps at most.
    """
    arrays = _arrays(objective, rows, h, x)
    if arrays is None:
        return None
    from decision._layer.compiled import loops

    shared, batch = arrays
    exact, done = x.numpy().copy(), np.zeros(len(x), dtype=np.bool_)
    run(loops.polish, shared, batch, exact, rounds, done, place_for(shared), room_for(shared))
    return torch.from_numpy(exact), torch.from_numpy(done)


def adjoint_by_loops(
    objective: Objective, rows: SetRows, h: Tensor, local: ArrayLocal, tolerance: Tensor, slope: Tensor
) -> tuple[AdjointSolution, Tensor] | None:
    """Return multipliers and adjoints, and which contexts have them; None where the loops cannot be used.

    Args:
        objective: the functions.
        rows: the set.
        h: its right-hand sides, shape `(contexts, rows)`.
        local: the functions around the decisions.
        tolerance: nearer to a kink is on it, shape `(contexts, 1)`.
        slope: gradient in the decisions, shape `(contexts, n)`.
    """
    arrays = _arrays(objective, rows, h, local.at)
    if arrays is None:
        return None
    from decision._layer.compiled import loops

    shared, batch = arrays
    x, count, (many, n) = _array(local.at), len(h), shared.B.shape
    mu, nu, y, eta, u = (np.zeros((count, size)) for size in (many, many, len(shared.G), len(shared.G), n))
    answers = mu, y, u, nu, eta
    done, near = np.zeros(count, dtype=np.bool_), _array(tolerance[:, 0])
    run(loops.adjoin, shared, batch, x, _array(slope), near, answers, done, place_for(shared), room_for(shared))
    return AdjointSolution(*(torch.from_numpy(values) for values in answers)), torch.from_numpy(done)


def _arrays(objective: Objective, rows: SetRows, h: Tensor, x: Tensor) -> tuple[FaceArrays, ContextArrays] | None:
    stack = objective.stack
    if stack is None or rows.cones or rows.G.shape[1] != stack.in_features or not installed() or not _suits(stack):
        return None
    v, empty = stack.v, stack.v.new_zeros(len(stack), 0)
    for term in stack.quadratics:
        v = v + 2.0 * term.weight * term.matrix.adjoint(term.offset)
    offset = torch.cat([*(layer.b for layer in stack.layers), *(term.offset for term in stack.norms), empty], dim=1)
    price = torch.cat([stack.w, *(term.weight.expand(-1, term.groups) for term in stack.norms)], dim=1)
    beta = torch.cat([*(term.weight for term in stack.quadratics), empty], dim=1)
    scale = torch.cat([*objective.scales(x), empty], dim=1)
    size = objective.size.expand(len(stack), 1)
    return _shared(stack, rows), ContextArrays(*(_array(part) for part in (offset, price, beta, v, h, scale, size)))


def _suits(stack: Stack) -> bool:
    """Return whether the loops know networks of this kind and size, and are worth while."""
    plain = len(stack.layers) <= 1 and all(
        layer.U is not None and not layer.inner and layer.b.shape[1] <= WIDEST for layer in stack.layers
    )
    return plain and stack.in_features <= LARGEST and stack.v.device.type == "cpu"


def _shared(stack: Stack, rows: SetRows) -> FaceArrays:
    """Return what the contexts share, kept with the stack's matrices."""
    known = stack.kept.get("faces")
    if known is None or known[0] is not rows:
        n = stack.in_features
        maps = [layer.U for layer in stack.layers if layer.U is not None] + [term.matrix for term in stack.norms]
        B = torch.cat([stack.v.new_zeros(0, n), *(matrix.dense for matrix in maps)])
        units = sum(layer.b.shape[1] for layer in stack.layers)
        size = np.array([term.group for term in stack.norms for _ in range(term.groups)], dtype=np.int64)
        grams = torch.cat(
            [stack.v.new_zeros(0, n * n), *(term.matrix.gram.reshape(1, -1) for term in stack.quadratics)]
        )
        G, column = _array(rows.G), rows.columns.numpy()
        length = np.sqrt(np.square(G).sum(axis=1))
        first = units + np.cumsum(size) - size
        stack.kept["faces"] = (
            rows,
            FaceArrays(_array(B), units, first, size, _array(grams), G, rows.zero, column, length),
        )
    shared: FaceArrays = stack.kept["faces"][1]
    return shared


def _array(values: Tensor) -> Array:
    return np.ascontiguousarray(values.detach().numpy())
