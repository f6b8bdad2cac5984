"""Products of tensors, of which one or two depend on x, as one sparse matrix of their entries or pairs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
from scipy import sparse

from socicnn.importers._forms import product
from socicnn.importers._place import Place
from socicnn.importers._value import Value

Labels = tuple[str, ...]


def einsum(place: Place, equation: str, tensors: Sequence[Any]) -> Value:
    """Return the sum of products that an equation in Einstein's notation writes."""
    equation = equation.replace(" ", "")
    left, _, right = equation.partition("->")
    named = [term.replace("...", "") for term in left.split(",")]
    rank = max((len(t.shape) - len(n) for t, n in zip(tensors, named, strict=True)), default=0)
    spread = tuple(f"{axis}" for axis in range(rank))  # the axes of an ellipsis, numbered; the last ones are shared
    labels = [
        _labels(term, spread[rank - (len(tensor.shape) - len(name)) :])
        for term, name, tensor in zip(left.split(","), named, tensors, strict=True)
    ]
    if "->" not in equation:  # the letters that occur once, in alphabetical order
        letters = "".join(named)
        right = "..." + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    return contraction(place, tensors, labels, _labels(right, spread))


def stacked_product(place: Place, first: Any, second: Any) -> Value:
    """Return a product of stacks of matrices, broadcast as NumPy does; a vector stands for a matrix of one row."""
    ranks = max(len(first.shape), 2), max(len(second.shape), 2)
    rank = max(ranks)
    spread = tuple(f"{axis}" for axis in range(rank - 2))
    leads = [spread[rank - own :] for own in ranks]
    rows = ("i",) if len(first.shape) > 1 else ()
    columns = ("j",) if len(second.shape) > 1 else ()
    labels = [(*leads[0], *rows, "k"), (*leads[1], "k", *columns)]
    return contraction(place, [first, second], labels, (*spread, *rows, *columns))


def contraction(place: Place, tensors: Sequence[Any], labels: Sequence[Labels], out: Labels) -> Value:
    """Return sum over the labels that are not in `out` of the product of the tensors, of which one or two depend on x.

    Args:
        place: where, for messages.
        tensors: the factors.
        labels: the label of each axis of each factor; axes of size one are broadcast.
        out: the labels of the result.
    """
    values = [at for at, tensor in enumerate(tensors) if isinstance(tensor, Value)]
    if len(values) > 2:
        raise place.refused("multiplies more than two expressions of x, which is not convex in general")
    order = (*out, *sorted({label for own in labels for label in own} - set(out)))
    factors = [
        _along(t.index if isinstance(t, Value) else t, own, order) for t, own in zip(tensors, labels, strict=True)
    ]
    grid = np.broadcast_shapes(*(factor.shape for factor in factors))
    shape = grid[: len(out)]
    size = int(np.prod(shape, dtype=np.int64))
    constants = [factor.astype(np.float64) for at, factor in enumerate(factors) if at not in values]
    weights = np.broadcast_to(reduce(np.multiply, constants, np.ones(())), grid).reshape(size, -1)
    row, column = np.nonzero(weights)
    reads = [
        tensor.picked(np.broadcast_to(factor, grid).reshape(size, -1)[row, column])
        for tensor, factor in zip(tensors, factors, strict=True)
        if isinstance(tensor, Value)
    ]
    value = reads[0] if len(reads) == 1 else product(place, *reads)
    matrix = sparse.csr_array((weights[row, column], (row, np.arange(len(row)))), shape=(size, len(row)))
    return value.mapped(matrix, shape, place.words)


def _labels(term: str, spread: Labels) -> Labels:
    before, dots, after = term.partition("...")
    return (*before, *(spread if dots else ()), *after)


def _along(array: np.ndarray, labels: Labels, order: Labels) -> np.ndarray:
    """Return an array with one axis for each label of `order`, of size one where it has none; repeated ones agree."""
    numbers = [order.index(label) for label in labels]
    own = sorted(set(numbers))
    diagonal = np.einsum(array, numbers, own)
    return diagonal.reshape([diagonal.shape[own.index(i)] if i in own else 1 for i in range(len(order))])
