"""The linear system of one context's face, factorised; rows of one entry fix a coordinate and leave a smaller one.

    [H  A'] [dx]   [b1]
    [A  0 ] [dy] = [b2]

The Hessian is formed in the free coordinates alone; elsewhere its products do.
"""

from __future__ import annotations

import numpy as np

from decision._layer.compiled.state import ContextArrays, FaceArrays, FacePoint, FaceRoom
from decision._layer.least_norm import SINGULAR
from decision._minimise.compiled.loops import compiled
from socicnn._arrays import Array, IntArray


@compiled
def factorised(shared: FaceArrays, own: ContextArrays, at: FacePoint, room: FaceRoom) -> bool:
    """Factorise the system of a face; return whether it is regular."""
    if not chosen(shared, at, room):
        return False
    n, m = room.counts[0], room.counts[1]
    M = room.M
    hessian(shared, own, at, room)
    most = 0.0
    for i in range(n):
        for j in range(n):
            most = max(most, abs(M[i, j]))
    room.scale[0] = most if most > 0.0 else 1.0
    for i in range(n):
        for j in range(n):
            M[i, j] /= room.scale[0]
    rows = len(shared.B)
    for k in range(m):
        row = shared.B[room.rows[k]] if room.rows[k] < rows else shared.G[room.rows[k] - rows]
        square = 0.0
        for i in range(n):
            square += row[room.free[i]] ** 2
        room.scale[1 + k] = np.sqrt(square) if square > 0.0 else 1.0
        for i in range(n):
            M[n + k, i] = M[i, n + k] = row[room.free[i]] / room.scale[1 + k]
        for j in range(m):
            M[n + k, n + j] = 0.0
    return eliminated(M, n + m, room.order)


@compiled
def chosen(shared: FaceArrays, at: FacePoint, room: FaceRoom) -> bool:
    """Number the free coordinates and the rows that hold; return whether they can be independent."""
    n, rows, m = len(at.x), len(shared.B), 0
    room.fixing[:] = -1
    for j in range(len(shared.G)):
        column = shared.column[j]
        if at.tied[j] and column < n:
            if room.fixing[column] >= 0:
                return False
            room.fixing[column] = j
    free = 0
    for j in range(n):
        if room.fixing[j] < 0:
            room.free[free] = j
            free += 1
    for k in range(shared.units):
        if at.held[k]:
            room.rows[m] = k
            m += 1
    for r in range(len(shared.first)):
        if at.held[shared.units + r]:
            for k in range(shared.first[r], shared.first[r] + shared.size[r]):
                room.rows[m] = k
                m += 1
    for j in range(len(shared.G)):
        if at.tied[j] and shared.column[j] == n:
            room.rows[m] = rows + j
            m += 1
    room.counts[0], room.counts[1] = free, m
    return m <= free


@compiled
def hessian(shared: FaceArrays, own: ContextArrays, at: FacePoint, room: FaceRoom) -> None:
    """Write H in the free coordinates."""
    count, n, M = room.counts[0], len(at.x), room.M
    for i in range(count):
        for j in range(i + 1):
            total, place = 0.0, room.free[i] * n + room.free[j]
            for q in range(len(own.beta)):
                total += own.beta[q] * shared.grams[q, place]
            M[i, j] = 2.0 * total
    for r in range(len(shared.first)):
        length = length_of(shared, r, at.p)
        if at.held[shared.units + r] or length == 0.0:
            continue
        share = own.price[shared.units + r] / length
        room.right[:count] = 0.0
        for k in range(shared.first[r], shared.first[r] + shared.size[r]):
            row, unit = shared.B[k], at.p[k] / length
            for i in range(count):
                entry = row[room.free[i]]
                room.right[i] += unit * entry
                for j in range(i + 1):
                    M[i, j] += share * entry * row[room.free[j]]
        for i in range(count):
            for j in range(i + 1):
                M[i, j] -= share * room.right[i] * room.right[j]
    for i in range(count):
        for j in range(i):
            M[j, i] = M[i, j]


@compiled
def times_hessian(shared: FaceArrays, own: ContextArrays, at: FacePoint, x: Array, room: FaceRoom) -> None:
    """Write H x to `room.product`."""
    n, out, image = len(x), room.product, room.image
    for i in range(n):
        total = 0.0
        for q in range(len(own.beta)):
            inner = 0.0
            for j in range(n):
                inner += shared.grams[q, i * n + j] * x[j]
            total += own.beta[q] * inner
        out[i] = 2.0 * total
    for r in range(len(shared.first)):
        length = length_of(shared, r, at.p)
        if at.held[shared.units + r] or length == 0.0:
            continue
        share, inner = own.price[shared.units + r] / length, 0.0
        some = range(shared.first[r], shared.first[r] + shared.size[r])
        for k in some:
            total = 0.0
            for j in range(n):
                total += shared.B[k, j] * x[j]
            image[k] = total
            inner += total * at.p[k] / length
        for k in some:
            weight = share * (image[k] - inner * at.p[k] / length)
            for j in range(n):
                out[j] += weight * shared.B[k, j]


@compiled
def length_of(shared: FaceArrays, r: int, p: Array) -> float:
    """Return ||p|| of a group."""
    square = 0.0
    for k in range(shared.first[r], shared.first[r] + shared.size[r]):
        square += p[k] * p[k]
    return float(np.sqrt(square))


@compiled
def eliminated(M: Array, size: int, order: IntArray) -> bool:
    """Overwrite M by its factors with exchanged rows; return whether no pivot is near zero."""
    least, most = np.inf, 0.0
    for k in range(size):
        pivot = k
        for i in range(k + 1, size):
            if abs(M[i, k]) > abs(M[pivot, k]):
                pivot = i
        order[k] = pivot
        if pivot != k:
            for j in range(size):
                M[k, j], M[pivot, j] = M[pivot, j], M[k, j]
        value = abs(M[k, k])
        least, most = min(least, value), max(most, value)
        if not value > 0.0:
            return False
        for i in range(k + 1, size):
            if M[i, k] != 0.0:
                M[i, k] /= M[k, k]
                factor = M[i, k]
                for j in range(k + 1, size):
                    M[i, j] -= factor * M[k, j]
    return size == 0 or least > SINGULAR * most


@compiled
def substituted(M: Array, size: int, order: IntArray, right: Array) -> None:
    """Overwrite the right-hand side by the solution."""
    for k in range(size):
        pivot = order[k]
        right[k], right[pivot] = right[pivot], right[k]
    for i in range(size):
        for j in range(i):
            right[i] -= M[i, j] * right[j]
    for i in range(size - 1, -1, -1):
        for j in range(i + 1, size):
            right[i] -= M[i, j] * right[j]
        right[i] /= M[i, i]


@compiled
def solve(shared: FaceArrays, own: ContextArrays, at: FacePoint, b: Array, moves: float, room: FaceRoom) -> None:
    """Write dx, dmu and dy for b1 = b, and b2 = -moves times what is held.

    Args:
        shared: what contexts share.
        own: the context.
        at: its place.
        b: shape `(n,)`.
        moves: 1 to go onto the face, 0 to stay parallel to it.
        room: holds the factors.
    """
    free, m, n, rows = room.counts[0], room.counts[1], len(at.x), len(shared.B)
    dx, right = room.dx, room.right
    dx[:], room.dmu[:], room.dy[:] = 0.0, 0.0, 0.0
    for j in range(n):
        c = room.fixing[j]
        if c >= 0:
            dx[j] = -moves * at.c[c] / shared.G[c, j]
    times_hessian(shared, own, at, dx, room)
    for i in range(free):
        right[i] = (b[room.free[i]] - room.product[room.free[i]]) / room.scale[0]
    for k in range(m):
        place = room.rows[k]
        row = shared.B[place] if place < rows else shared.G[place - rows]
        total = -moves * (at.p[place] if place < rows else at.c[place - rows])
        for j in range(n):
            total -= row[j] * dx[j]
        right[free + k] = total / room.scale[1 + k]
    substituted(room.M, free + m, room.order, right)
    for i in range(free):
        dx[room.free[i]] = right[i]
    times_hessian(shared, own, at, dx, room)
    for j in range(n):
        room.product[j] = b[j] - room.product[j]
    for k in range(m):
        place, dual = room.rows[k], room.scale[0] * right[free + k] / room.scale[1 + k]
        row = shared.B[place] if place < rows else shared.G[place - rows]
        if place < rows:
            room.dmu[place] = dual
        else:
            room.dy[place - rows] = dual
        for j in range(n):
            room.product[j] -= dual * row[j]
    for j in range(n):
        c = room.fixing[j]
        if c >= 0:
            room.dy[c] = room.product[j] / shared.G[c, j]
