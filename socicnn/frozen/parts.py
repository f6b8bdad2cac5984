"""The parts of a frozen network: layers, read-out and branches, each with its own piece of the forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from socicnn.arrays import Array, IntArray, Matrix, transform


@dataclass(frozen=True, eq=False)
class Squares:
    """Quadratics inside a layer: unit i adds rho_i ||F_i x + g_i||^2 to its pre-activation.

    A network whose units hold x'P_i x with P_i positive semidefinite gives the factor F_i, P_i = F_i'F_i.

    Args:
        rho: >= 0, one a unit, shape `(h,)`; the same in every context.
        F: shape `(h * k, n)`, dense or sparse: the k rows of unit 1, then those of unit 2, ...
        g: shape `(h * k,)` or `(contexts, h * k)`; zero where None.
    """

    rho: Array
    F: Matrix
    g: Array | None = None

    @property
    def rows(self) -> int:
        """Number k of rows of each unit."""
        return int(self.F.shape[0]) // len(self.rho)

    def image(self, x: Array) -> Array:
        """Return F x + g at points x of shape `(count, n)`, unit by unit: `(count, h, k)`."""
        p = transform(self.F, x) + (0.0 if self.g is None else self.g)
        return p.reshape(len(p), len(self.rho), -1)


@dataclass(frozen=True, eq=False)
class Layer:
    """One ReLU layer z = relu(W z_previous + U x + b), perhaps with quadratics inside.

    Args:
        W: hidden weight, entrywise >= 0, shape `(h, h_previous)`, dense or SciPy sparse; None in the first layer.
        U: input weight, shape `(h, n)`, dense or sparse; None where there is no passthrough.
        b: bias, shape `(h,)`, or `(contexts, h)`.
        squares: quadratics inside the layer, or None.
    """

    W: Matrix | None
    U: Matrix | None
    b: Array
    squares: Squares | None = None

    def preactivation(self, x: Array, z: Array | None) -> Array:
        """Return a at points x of shape `(count, n)`, z being the layer before (None for the first)."""
        a = np.broadcast_to(self.b, (len(x), self.b.shape[-1]))
        if self.U is not None:
            a = a + transform(self.U, x)
        if self.W is not None and z is not None:
            a = a + transform(self.W, z)
        if self.squares is not None:
            a = a + self.squares.rho * (self.squares.image(x) ** 2).sum(axis=-1)
        return a


@dataclass(frozen=True, eq=False)
class Output:
    """The affine read-out w'z_L + v'x + c.

    Args:
        w: entrywise >= 0, shape `(h_L,)`, empty where there is no hidden layer, or `(contexts, h_L)`.
        v: shape `(n,)` or `(contexts, n)`.
        c: a number, or shape `(contexts,)`.
    """

    w: Array
    v: Array
    c: Array | float = 0.0


@dataclass(frozen=True, eq=False)
class Quadratic:
    """The branch beta ||A x + e||^2.

    Args:
        beta: >= 0, a number or shape `(contexts,)`.
        A: shape `(rows, n)`, dense or sparse.
        e: shape `(rows,)` or `(contexts, rows)`; zero where None.
    """

    beta: Array | float
    A: Matrix
    e: Array | None = None

    def image(self, x: Array) -> Array:
        """Return p = A x + e at points x of shape `(count, n)`."""
        return transform(self.A, x) + (0.0 if self.e is None else self.e)


@dataclass(frozen=True, eq=False)
class Norm:
    """The branch gamma ||C x + d||_2, or gamma times the sum of the norms of consecutive groups of rows.

    Args:
        gamma: >= 0, a number or shape `(contexts,)`.
        C: shape `(rows, n)`, dense or sparse.
        d: shape `(rows,)` or `(contexts, rows)`; zero where None.
        group: rows of each group (one second-order cone a group); all rows together where None.
    """

    gamma: Array | float
    C: Matrix
    d: Array | None = None
    group: int | None = None

    def image(self, x: Array) -> Array:
        """Return C x + d at points x of shape `(count, n)`, split into its groups: `(count, groups, group)`."""
        u = transform(self.C, x) + (0.0 if self.d is None else self.d)
        return u.reshape(len(u), -1, self.group or u.shape[-1])


@dataclass(frozen=True, eq=False)
class Parts:
    """What a network is made of, before `FrozenNet` checks it: what importers and readers of files return.

    Args:
        layers: ReLU layers, first to last.
        output: the read-out.
        quadratics: quadratic branches.
        norms: Euclidean-norm branches.
        input_shape: shape of x; `(n,)` if omitted.
    """

    layers: Sequence[Layer]
    output: Output
    quadratics: Sequence[Quadratic] = ()
    norms: Sequence[Norm] = ()
    input_shape: tuple[int, ...] | None = None


_VECTORS = {"b": 1, "w": 1, "v": 1, "e": 1, "d": 1, "g": 1, "c": 0, "beta": 0, "gamma": 0}


def picked(part: Any, index: int | slice | IntArray) -> Any:
    """Return the part with context `index` of each stacked vector."""
    values = {f.name: getattr(part, f.name) for f in fields(part) if f.name in _VECTORS}
    chosen = {k: value[index] for k, value in values.items() if np.ndim(value) > _VECTORS[k]}
    if isinstance(part, Layer) and part.squares is not None:
        chosen["squares"] = picked(part.squares, index)
    return replace(part, **chosen)
