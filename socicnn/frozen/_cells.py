"""The cells of a ReLU network: the parts of x in which no unit switches, so that f is affine.

cell: G x <= g, rows of G of length one;   max t s.t. G x + t <= g: its largest ball, a linear program

Layer by layer and unit by unit, a cell is split where both signs of the unit's a'x + b hold a ball. A side is reachable
by a point of it, at which the network was evaluated. That it is not rests on multipliers y >= 0 of sum one,
t <= y'g + ||G'y|| ||x||, computed anew from what the solver returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog

from socicnn._arrays import Array, transform
from socicnn.frozen._network import ConvexNet

THIN = 1e-7  # radius, relative to the region's length, up to which a side counts as empty
PROVEN = 1e-6  # radius that the multipliers exclude
FAR = 1e3  # distance from the origin, in lengths, up to which they do
TOLERANCE = 1e-10  # of the solver: the least that it takes


class HalfSpaces(NamedTuple):
    """Where to look: G x <= g, no rows for everywhere; `length` is the distance over which the units switch."""

    G: Array
    g: Array
    length: float


class LargestBall(NamedTuple):
    """A largest ball of a cell, and what the multipliers say that its radius is at most."""

    radius: float
    centre: Array
    most: float


class AffineCell(NamedTuple):
    """A cell with a point well inside, and z = A x + c of the last layer that was split."""

    G: Array
    g: Array
    point: Array
    A: Array
    c: Array


def ball(region: HalfSpaces) -> LargestBall:
    """Return the largest ball in a region, of a radius of at most its length."""
    G, g, length = region
    n = G.shape[1]
    columns = np.column_stack([G, np.ones(len(G))])
    solved = linprog(
        [0.0] * n + [-1.0],
        A_ub=columns,
        b_ub=g / length,
        bounds=[(None, None)] * n + [(None, 1.0)],
        method="highs",
        options={"primal_feasibility_tolerance": TOLERANCE, "dual_feasibility_tolerance": TOLERANCE},
    )
    if solved.status != 0:
        return LargestBall(-np.inf, np.zeros(n), np.inf)
    y = np.maximum(-solved.ineqlin.marginals, 0.0)
    y = y / y.sum() if y.sum() > 0 else y
    most = float(y @ g / length + FAR * np.linalg.norm(G.T @ y)) if y.any() else 1.0
    return LargestBall(length * float(solved.x[-1]), length * solved.x[:-1], length * most)


def cells(net: ConvexNet, region: HalfSpaces, most: int) -> tuple[list[AffineCell], bool] | None:
    """Return the cells of a region, and whether all others are proven to be thin; None if there are more than `most`.

    Args:
        net: a network of ReLU layers.
        region: where.
        most: how many cells are wanted at most, after each layer too.
    """
    n = net.in_features
    start = ball(region)
    done = [AffineCell(region.G, region.g, start.centre, np.zeros((0, n)), np.zeros(0))]
    proven = True
    for layer in net.layers:
        split: list[AffineCell] = []
        for cell in done:
            a = transform(layer.U, np.eye(n)).T + layer.W @ cell.A
            b = layer.b[0] + layer.W @ cell.c
            size = abs(layer.U).sum(axis=1) + layer.W @ np.abs(cell.A).sum(axis=1)  # what a's rounding is relative to
            sides = [(cell, np.zeros(0, dtype=bool))]
            for i in range(layer.width):
                scale = np.linalg.norm(a[i])
                if scale <= 1e-13 * size[i]:
                    sides = [(part, np.append(on, b[i] > 0)) for part, on in sides]
                    continue
                pieces = []
                for part, on in sides:
                    for new, sign, sure in _halves(part, a[i] / scale, b[i] / scale, region.length):
                        pieces.append((new, np.append(on, sign)))
                        proven &= sure
                sides = pieces
                if len(split) + len(sides) > most:
                    return None
            split += [part._replace(A=on[:, None] * a, c=on * b) for part, on in sides]
        done = split
    return done, proven


def _halves(cell: AffineCell, a: Array, b: float, length: float) -> Iterator[tuple[AffineCell, bool, bool]]:
    """Yield the sides of a'x + b = 0 that hold a ball, whether a'x + b > 0 there, and whether the other is thin."""
    margin = float(a @ cell.point + b)
    reached: list[tuple[AffineCell, bool, bool]] = []
    thin = True
    for on, row, end in ((True, -a, b), (False, a, -b)):
        half = HalfSpaces(np.vstack([cell.G, row]), np.append(cell.g, end), length)
        if (margin if on else -margin) > THIN * length:
            reached.append((cell._replace(G=half.G, g=half.g), on, True))
            continue
        inside = ball(half)
        if inside.radius > THIN * length and (half.G @ inside.centre < half.g).all():
            reached.append((AffineCell(half.G, half.g, inside.centre, cell.A, cell.c), on, True))
        else:
            thin &= inside.most <= PROVEN * length
    if len(reached) == 2:
        yield from reached
    else:  # the row that would be added holds in the whole cell
        yield cell, reached[0][1] if reached else margin > 0, thin
