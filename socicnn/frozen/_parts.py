"""The parts of a frozen network: layers, read-out and branches, each with its own checks and piece of the forward pass.

A part holds float64 arrays of its own once it is made, and none is missing: what was left out is an offset of zeros, or
a matrix without columns, W of the first layer as there are no units before it; F without rows stands for no such terms.
In a network U has n columns, as every U has: one that was left out then is sparse, without entries.

What may vary with the context, b, w, v, c, offsets and the weights of branches, has a leading axis of contexts, of
length 1 if it is shared: b has the shape `(1 or contexts, h)`, c `(1 or contexts,)`. Matrices, rho and tau have none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray, Matrix, transform
from socicnn.errors import ModelError
from socicnn.frozen._checks import ArrayCheck
from socicnn.frozen._terms import Part, Term


@dataclass(frozen=True, eq=False, init=False)
class Squares(Term):
    """Quadratics inside a layer: unit i adds rho_i ||F_i x + g_i||^2 to its pre-activation; x'P_i x has F_i'F_i = P_i.

    Args:
        rho: >= 0, one per unit, shape `(h,)`; the same in every context.
        F: shape `(h * k, n)`, dense or sparse: the k rows of unit 1, then those of unit 2, ...
        g: shape `(h * k,)`, held as `(1, h * k)`, or `(contexts, h * k)`; zero if omitted.
    """

    rho: Array
    F: Matrix
    g: Array

    VECTORS: ClassVar = {"g": 1}
    LETTERS = ("rho", "F", "g")
    KIND = "quadratics"
    NAMES: ClassVar = ("t_layer", "layer")  # of the variables and the cones in programs

    def __init__(self, rho: Any, F: Any, g: Any = None) -> None:
        self._fill(rho, F, g)

    @property
    def rows(self) -> int:
        """Number k of rows of each unit."""
        return int(self.F.shape[0]) // len(self.rho)

    def check_units(self, check: ArrayCheck, layer: int, h: int) -> None:
        """Check the terms of a layer with h units; errors are those of `Term.check`."""
        what = f"the {self.KIND} in layer {layer}"
        check.vector(f"weight rho of {what}", np.atleast_2d(self.rho), h, sign=True)
        check.matrix(f"matrix F of {what}", self.F, None, check.n)
        if self.rho.ndim != 1 or self.F.shape[0] % h:
            raise ModelError(
                f"{what} need one rho per unit, the same in every context, and equally many rows of F for each of {h} "
                f"units; received rho of shape {self.rho.shape}, F of {self.F.shape[0]} rows"
            )
        check.vector(f"offset g of {what}", self.g, self.F.shape[0])


class Norms(Squares):
    """Norms inside a layer: unit i adds rho_i ||F_i x + g_i||_2 to its pre-activation; arguments as in `Squares`."""

    KIND = "norms"
    NAMES = ("s_layer", "norms")
    ROOT = True


@dataclass(frozen=True, eq=False, init=False)
class Layer(Part):
    """One layer z = relu(W z_previous + U x + b), perhaps with quadratics and norms inside, or with softplus units.

    Args:
        W: hidden weight, entrywise >= 0, shape `(h, h_previous)`, dense or SciPy sparse; None in the first layer, where
            its shape is `(h, 0)`.
        U: input weight, shape `(h, n)`, dense or sparse; None if there is no passthrough: zero.
        b: bias, shape `(h,)`, held as `(1, h)`, or `(contexts, h)`.
        squares: quadratics inside the layer; None for none: rho is zero, and F has no rows.
        smoothing: tau >= 0 of the units tau log(1 + exp(a / tau)), which are relu(a) at tau = 0; softplus of sharpness
            s has tau = 1 / s. A number for all units, or one per unit, shape `(h,)`.
        norms: norms inside the layer; None for none, alike.
    """

    W: Matrix
    U: Matrix
    b: Array
    squares: Squares
    smoothing: Array
    norms: Norms

    VECTORS: ClassVar = {"b": 1}
    INNER: ClassVar[dict[str, type[Squares]]] = {"squares": Squares, "norms": Norms}  # fields of terms inside the layer

    def __init__(self, W: Any, U: Any, b: Any, squares: Any = None, smoothing: Any = 0.0, norms: Any = None) -> None:
        self._set(b=b, smoothing=smoothing)
        h = sum(self.b.shape[-1:])
        W, U = (np.zeros((h, 0)) if matrix is None else matrix for matrix in (W, U))
        nothing = np.zeros(h), np.zeros((0, 0))
        self._set(W=W, U=U, squares=squares or Squares(*nothing), norms=norms or Norms(*nothing))

    @property
    def width(self) -> int:
        """Number h of units."""
        return int(self.b.shape[-1])

    @property
    def smooth(self) -> bool:
        """Whether there are softplus units."""
        return bool(self.smoothing.any())

    @property
    def taus(self) -> Array:
        """Smoothing of each unit, shape `(h,)`."""
        return np.broadcast_to(self.smoothing, (self.width,))

    @property
    def inner(self) -> tuple[Squares, ...]:
        """Terms inside the layer, one group for each unit."""
        return tuple(term for _, term in self.named_inner())

    def named_inner(self) -> Iterator[tuple[str, Any]]:
        """Yield the terms inside the layer with the names of their fields."""
        return ((name, term) for name in self.INNER if (term := getattr(self, name)).matrix.shape[:1] != (0,))

    def preactivation(self, x: Array, z: Array) -> Array:
        """Return W z + U x + b and the terms inside at points x of shape `(count, n)`, z of `(count, h_previous)`."""
        a = self.b + transform(self.U, x) + transform(self.W, z)
        for term in self.inner:
            a = a + term.weight * term.values(x)
        return a

    def take(self, rows: slice | IntArray) -> Layer:
        """Return the layer with some contexts of what varies with them."""
        return super().take(rows).changed(**{name: term.take(rows) for name, term in self.named_inner()})

    def checked(self, check: ArrayCheck, k: int, before: int) -> Layer:
        """Check layer k and return it, U with its n columns; terms without weight are left out.

        Args:
            check: what the network is asked for.
            k: its number, from 1.
            before: width of the layer before; 0 for the first.

        Raises:
            ModelError: a negative W, a non-finite entry, or shapes that do not agree.
        """
        check.vector(f"bias b of layer {k}", self.b)
        h = self.width
        if h == 0:
            raise ModelError(f"layer {k} has no units; leave the layer out instead")
        if (self.W.shape == (h, 0)) != (before == 0):
            what = "is missing" if before else "must be None in the first layer"
            raise ModelError(f"hidden weight W of layer {k} {what}; received shape {self.W.shape}")
        check.matrix(f"hidden weight W of layer {k}", self.W, h, before, sign=True)
        full: dict[str, Any] = {}
        if self.U.shape == (h, 0):
            full["U"] = sparse.csr_array((h, check.n))
        else:
            check.matrix(f"input weight U of layer {k}", self.U, h, check.n)
        if self.smoothing.shape not in ((), (h,)) or not ((self.smoothing >= 0) & (self.smoothing < np.inf)).all():
            raise ModelError(
                f"smoothing of layer {k} must be a finite number >= 0, or one for each of {h} units; received "
                f"{self.smoothing}"
            )
        if self.smoothing.ndim and (self.smoothing == self.smoothing[0]).all():
            full["smoothing"] = self.smoothing[0]
        for name, kind in self.INNER.items():
            term: Squares = getattr(self, name)
            if term.weight.any() or term.matrix.shape[:1] != (0,):
                term.check_units(check, k, h)
            if not term.weight.any() and term.matrix.shape != (0, check.n):
                full[name] = kind(np.zeros(h), np.zeros((0, check.n)))
        return self.changed(**full) if full else self


@dataclass(frozen=True, eq=False, init=False)
class Output(Part):
    """The affine read-out w'z_L + v'x + c.

    Args:
        w: entrywise >= 0, shape `(h_L,)`, held as `(1, h_L)`, or `(contexts, h_L)`; empty if there is no hidden layer.
        v: shape `(n,)`, held as `(1, n)`, or `(contexts, n)`.
        c: a number, held as shape `(1,)`, or shape `(contexts,)`.
    """

    w: Array
    v: Array
    c: Array

    VECTORS: ClassVar = {"w": 1, "v": 1, "c": 0}

    def __init__(self, w: Any, v: Any, c: Any = 0.0) -> None:
        if v is None:
            raise ModelError("output weight v tells the length n of x: without one, give zeros of shape (n,)")
        self._set(w=w, v=v, c=c)

    def check(self, check: ArrayCheck, width: int) -> None:
        """Check w and c; v comes first of all, as it tells the length of x. Errors are those of `Term.check`."""
        check.vector("output weight w", self.w, width, sign=True)
        check.number("output offset c", self.c)


@dataclass(frozen=True, eq=False, init=False)
class Quadratic(Term):
    """The branch beta ||A x + e||^2.

    Args:
        beta: >= 0, a number, held as shape `(1,)`, or shape `(contexts,)`.
        A: shape `(rows, n)`, dense or sparse.
        e: shape `(rows,)`, held as `(1, rows)`, or `(contexts, rows)`; zero if omitted.
    """

    beta: Array
    A: Matrix
    e: Array

    VECTORS: ClassVar = {"beta": 0, "e": 1}
    LETTERS = ("beta", "A", "e")
    KIND = "quadratic"

    def __init__(self, beta: Any, A: Any, e: Any = None) -> None:
        self._fill(beta, A, e)


@dataclass(frozen=True, eq=False, init=False)
class Norm(Term):
    """The branch gamma ||C x + d||_2, or gamma times the sum of the norms of consecutive groups of rows.

    Args:
        gamma: >= 0, a number, held as shape `(1,)`, or shape `(contexts,)`.
        C: shape `(rows, n)`, dense or sparse.
        d: shape `(rows,)`, held as `(1, rows)`, or `(contexts, rows)`; zero if omitted.
        group: rows of each group (one second-order cone per group); defaults to all rows together.
    """

    gamma: Array
    C: Matrix
    d: Array
    group: int

    VECTORS: ClassVar = {"gamma": 0, "d": 1}
    LETTERS = ("gamma", "C", "d")
    KIND = "norm"
    ROOT = True

    def __init__(self, gamma: Any, C: Any, d: Any = None, group: int | None = None) -> None:
        self._fill(gamma, C, d)
        self._set(group=sum(self.C.shape[:1]) if group is None else group)
