"""Networks of at most one hidden layer as plain arrays: one matrix holds the rows of all their parts.

    f(x) = v'x + sum_i w_i relu(a_i) + sum_r gamma_r ||p_r|| + sum_m beta_m ||q_m||^2,    [a | p | q] = M x + offset

or softplus of smoothing tau_i in place of relu.

A single decision is a few hundred operations on short vectors. With tensors their overhead is most of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

import numpy as np
import torch

from decision._minimise.branch import Branch
from decision._minimise.stack import Stack
from socicnn._arrays import Array, IntArray, lengths

LARGEST = 2**20  # entries of M: above, the time is in the products
QUIET = np.errstate(over="ignore", invalid="ignore", divide="ignore")  # a decorator: what overflows is not certified


class FlatArrays(NamedTuple):
    """What all contexts share.

    Args:
        M: rows of the units, of the norms and of the quadratics, shape `(rows, n)`.
        absolute: |M|.
        lengths: Euclidean length of each row.
        units: number of units h.
        first: first row of each group after the units; those of norms come first, then a group for each quadratic.
        size: its number of rows.
        norms: number of groups of norms.
        tau: smoothing of each unit, 0 of ReLU units, shape `(h,)`.
    """

    M: Array
    absolute: Array
    lengths: Array
    units: int
    first: IntArray
    size: IntArray
    norms: int
    tau: Array

    @property
    def bent(self) -> int:
        """Number of rows of units and norms."""
        return self.units + int(self.size[: self.norms].sum())


@final
@dataclass(frozen=True, eq=False)
class FlatRows:
    """The rows of a stack, and what is computed once for them.

    Args:
        arrays: the rows.
        branches: rows, groups and rows per group of each branch: norms, then quadratics.
        layers: number of layers, 0 or 1.
        kept: the same rows in other units of x, and what compiled loops and proofs share.
    """

    arrays: FlatArrays
    branches: tuple[tuple[slice, slice, int], ...]
    layers: int
    kept: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, stack: Stack) -> FlatRows:
        """Return the rows of a stack that is flat; they are kept with its matrices."""
        if "flat" not in stack.kept:
            stack.kept["flat"] = cls._of(stack)
        known: FlatRows = stack.kept["flat"]
        return known

    @classmethod
    def _of(cls, stack: Stack) -> FlatRows:
        units = sum(layer.b.shape[1] for layer in stack.layers)
        sizes, branches, row, price = [], [], units, units
        for branch in (*stack.norms, *stack.quadratics):
            groups, rows = (branch.groups if branch.root else 1), branch.offset.shape[1]
            branches.append((slice(row, row + rows), slice(price, price + groups), branch.group))
            sizes += [rows // groups] * groups
            row, price = row + rows, price + groups
        size = np.array(sizes, dtype=np.int64)
        maps = [layer.U for layer in stack.layers if layer.U is not None]
        maps += [branch.matrix for branch in (*stack.norms, *stack.quadratics)]
        M = np.concatenate([np.zeros((0, stack.in_features)), *(matrix.array for matrix in maps)])
        norms = sum(branch.groups for branch in stack.norms)
        first = units + np.cumsum(size) - size
        taus = [np.broadcast_to(np.asarray(layer.smoothing), layer.b.shape[1:]) for layer in stack.layers]
        tau = np.concatenate([np.zeros(0), *taus])
        arrays = FlatArrays(M, np.abs(M), lengths(M, 1), units, first, size, norms, tau)
        return cls(arrays, tuple(branches), len(stack.layers))

    def scaled(self, factor: float) -> FlatRows:
        """Return the rows times a factor."""
        if factor == 1.0:
            return self
        if factor not in self.kept:
            M = self.arrays.M * factor
            arrays = self.arrays._replace(M=M, absolute=np.abs(M), lengths=lengths(M, 1))
            self.kept[factor] = FlatRows(arrays, self.branches, self.layers)
        known: FlatRows = self.kept[factor]
        return known


@final
@dataclass(frozen=True, eq=False)
class Flat:
    """The networks of a batch of contexts, without their constants.

    Args:
        rows: what they share.
        offset: shape `(contexts, rows)`.
        price: [w | gamma | beta], shape `(contexts, h + groups)`.
        v: shape `(contexts, n)`.
    """

    rows: FlatRows
    offset: Array
    price: Array
    v: Array

    @classmethod
    def of(cls, stack: Stack) -> Flat | None:
        """Return a stack as plain arrays; None if it has more layers, terms inside a layer or another device."""
        if not is_flat(stack):
            return None
        branches = (*stack.norms, *stack.quadratics)
        offsets = (*(layer.b for layer in stack.layers), *(branch.offset for branch in branches))
        none = np.empty((len(stack), 0))
        offset = np.concatenate([none, *(values.numpy() for values in offsets)], axis=1)
        price = np.concatenate([none, stack.w.numpy(), *(_weight(branch) for branch in branches)], axis=1)
        return cls(FlatRows.of(stack), offset, price, np.ascontiguousarray(stack.v.numpy()))

    def __len__(self) -> int:
        return len(self.v)

    @property
    def uses_all(self) -> bool:
        """Whether every unit is read out in some context."""
        return bool(self.price[:, : self.rows.arrays.units].any(axis=0).all())

    @QUIET
    def in_units(self, unit: Array, stretch: float) -> Flat | None:
        """Return f(stretch x) / unit, both powers of two; None if a number would overflow."""
        by = unit[:, None]
        scaled = Flat(self.rows.scaled(stretch), self.offset, self.price / by, self.v * (stretch / by))
        finite = np.isfinite(scaled.price).all() and np.isfinite(scaled.v).all()
        return scaled if finite and (stretch == 1.0 or np.isfinite(scaled.rows.arrays.M).all()) else None


def is_flat(stack: Stack) -> bool:
    """Return whether the loops over one matrix know networks of this kind and size."""
    layers, v = stack.layers, stack.v
    if len(layers) > 1 or stack.exponentials or v.device.type != "cpu" or v.dtype != torch.float64:
        return False
    rows = sum(layer.b.shape[1] for layer in layers)
    rows += sum(branch.offset.shape[1] for branch in (*stack.norms, *stack.quadratics))
    return rows * stack.in_features <= LARGEST and all(layer.U is not None and not layer.inner for layer in layers)


def _weight(branch: Branch) -> Array:
    """Return the weight of each group; all rows of a quadratic count as one group."""
    weight: Array = branch.weight.numpy()
    return np.repeat(weight, branch.groups, axis=1) if branch.root and weight.shape[1] == 1 else weight
