"""What flat networks are measured by, in compiled loops: values, sizes of terms, lengths; none of it is a proof."""

from __future__ import annotations

import numpy as np

from decision._minimise.compiled.loops import compiled, sigmoid, softplus
from decision._minimise.flat import FlatArrays
from socicnn._arrays import Array


@compiled
def largest(rows: FlatArrays, images: Array, linear: Array, offset: Array, price: Array, most: Array) -> None:
    """Write max f over points for each context, of ReLU units alone; +inf where f overflows.

    Args:
        rows: what contexts share.
        images: M p for each point, shape `(points, rows)`.
        linear: v'p, shape `(contexts, points)`.
        offset: shape `(contexts, rows)`.
        price: shape `(contexts, units + groups)`.
        most: overwritten, shape `(contexts,)`.
    """
    for i in range(len(linear)):
        most[i] = -np.inf
        for k in range(len(images)):
            value = linear[i, k]
            for j in range(rows.units):
                value += price[i, j] * max(images[k, j] + offset[i, j], 0.0)
            for r in range(len(rows.first)):
                square = 0.0
                for j in range(rows.first[r], rows.first[r] + rows.size[r]):
                    p = images[k, j] + offset[i, j]
                    square += p * p
                value += price[i, rows.units + r] * (np.sqrt(square) if r < rows.norms else square)
            most[i] = max(most[i], value if value < np.inf else np.inf)


@compiled
def measure(
    rows: FlatArrays,
    offset: Array,
    price: Array,
    v: Array,
    x: Array,
    half: Array,
    length: Array,
    value: Array,
    terms: Array,
) -> None:
    """Write f(x) and S(x) of `reference.terms`, an entry of x counting with the own length, half the width at most.

    Args:
        rows: what contexts share.
        offset: shape `(contexts, rows)`.
        price: shape `(contexts, units + groups)`.
        v: shape `(contexts, n)`.
        x: one point, or one of each context, shape `(1 or contexts, n)`.
        half: shape `(n,)`.
        length: of each context.
        value: overwritten, shape `(contexts,)`.
        terms: overwritten, shape `(contexts,)`.
    """
    n = len(half)
    reach = np.zeros(n)
    for i in range(len(v)):
        at = x[min(i, len(x) - 1)]
        total, size = 0.0, 0.0
        for j in range(n):
            reach[j] = max(abs(at[j]), min(half[j], length[i]))
            total += v[i, j] * at[j]
            size += abs(v[i, j]) * reach[j]
        image, width = np.dot(rows.M, at), np.dot(rows.absolute, reach)
        for k in range(rows.units):
            a = image[k] + offset[i, k]
            z = softplus(a, rows.tau[k])
            total += price[i, k] * z
            size += price[i, k] * (max(width[k] + abs(offset[i, k]) + min(a, 0.0), 0.0) + (z - max(a, 0.0)))
        for r in range(len(rows.first)):
            square, wide = 0.0, 0.0
            for k in range(rows.first[r], rows.first[r] + rows.size[r]):
                p, q = image[k] + offset[i, k], width[k] + abs(offset[i, k])
                square, wide = square + p * p, wide + q * q
            gamma = price[i, rows.units + r]
            total += gamma * (np.sqrt(square) if r < rows.norms else square)
            size += gamma * (np.sqrt(wide) if r < rows.norms else wide)
        value[i], terms[i] = total, size


@compiled
def gradients(
    rows: FlatArrays,
    offset: Array,
    price: Array,
    v: Array,
    x: Array,
    slope: Array,
    gradient: Array,
    constant: Array,
) -> None:
    """Write slope and value at 0 of v'x and the quadratics, and a subgradient of f at x, shape `(1 or contexts, n)`."""
    image, at, zero = np.dot(rows.M, x[0]), np.zeros(len(rows.M)), np.zeros(len(rows.M))
    for i in range(len(v)):
        if 0 < i < len(x):
            image = np.dot(rows.M, x[i])
        constant[i] = 0.0
        for k in range(rows.units):
            a = image[k] + offset[i, k]
            share = sigmoid(a / rows.tau[k]) if rows.tau[k] > 0.0 else (1.0 if a > 0.0 else 0.0)
            at[k] = price[i, k] * share
        for r in range(len(rows.first)):
            start, stop = rows.first[r], rows.first[r] + rows.size[r]
            weight = 2.0 * price[i, rows.units + r]
            if r < rows.norms:
                square = 0.0
                for k in range(start, stop):
                    square += (image[k] + offset[i, k]) ** 2
                weight *= 0.5 / max(np.sqrt(square), 1e-300)
            for k in range(start, stop):
                at[k] = weight * (image[k] + offset[i, k])
                if r >= rows.norms:
                    zero[k] = weight * offset[i, k]
                    constant[i] += 0.5 * zero[k] * offset[i, k]
        slope[i] = v[i] + np.dot(zero, rows.M)
        gradient[i] = v[i] + np.dot(at, rows.M)


@compiled
def own_lengths(rows: FlatArrays, offset: Array, price: Array, v: Array, length: Array) -> None:
    """Write the length of `reference.own_length` of each context; +inf if it has none."""
    distance, zero = np.zeros(len(rows.M)), np.zeros(len(rows.M))
    for i in range(len(v)):
        count = 0
        for k in range(len(rows.M)):
            away = (abs(offset[i, k]) + (rows.tau[k] if k < rows.units else 0.0)) / rows.lengths[k]
            if 0.0 < away < np.inf:
                distance[count] = away
                count += 1
        best = np.sort(distance[:count])[(count - 1) // 2] if count else 0.0
        curvature = 0.0
        for r in range(rows.norms, len(rows.first)):
            beta = 2.0 * price[i, rows.units + r]
            for k in range(rows.first[r], rows.first[r] + rows.size[r]):
                zero[k] = beta * offset[i, k]
                curvature += beta * rows.lengths[k] ** 2 / len(v[i])
        if curvature > 0.0:
            slope = v[i] + np.dot(zero, rows.M)
            step = np.sqrt(np.dot(slope, slope)) / curvature
            if step < np.inf:
                best = max(best, step)
        length[i] = best if best > 0.0 else np.inf
