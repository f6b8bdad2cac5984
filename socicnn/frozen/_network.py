"""A convex network as plain float64 arrays, whatever trained it, and its value at points.

a_k = W_k z_{k-1} + U_k x + b_k + (rho_ki ||F_ki x + g_ki||^2 and norms alike)_i,   W_k, rho_k >= 0
z_k = relu(a_k), or with smoothing tau_k > 0 softplus units tau_k log(1 + exp(a_k / tau_k))
f(x) = w'z_L + v'x + c + sum_m beta_m ||A_m x + e_m||^2 + sum_r gamma_r ||C_r x + d_r||_2
     + sum_j alpha_j log sum_i exp((G_j x + o_j)_i) + sum_i omega_i log(1 + exp((S x + s)_i))

with w, beta, gamma, alpha, omega >= 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from socicnn._arrays import Array, IntArray
from socicnn.errors import ModelError
from socicnn.frozen._checks import ArrayCheck
from socicnn.frozen._exponentials import ExpTerm, Logistic, LogSumExp
from socicnn.frozen._fingerprint import fingerprint
from socicnn.frozen._parts import Layer, Norm, Output, Quadratic
from socicnn.frozen._softplus import unit
from socicnn.frozen._terms import Term

BRANCHES = ("quadratics", "norms", "logsumexps", "logistics")  # fields that hold branches


@dataclass(frozen=True, eq=False, repr=False)
class ConvexNet:
    """The parts of a convex network, checked when it is made: what the verifier reads; arguments as in `FrozenNet`."""

    layers: Sequence[Layer]
    output: Output
    quadratics: Sequence[Quadratic] = ()
    norms: Sequence[Norm] = ()
    input_shape: tuple[int, ...] | None = None
    logsumexps: Sequence[LogSumExp] = ()
    logistics: Sequence[Logistic] = ()
    contexts: int | None = None  # number of stacked contexts; None if none are stacked

    def __post_init__(self) -> None:
        v = self.output.v
        check = ArrayCheck(int(v.shape[-1]) if v.ndim else 0, self.contexts)
        check.vector("output weight v", v)
        layers: list[Layer] = []
        for k, layer in enumerate(self.layers, start=1):
            layers.append(layer.checked(check, k, layers[-1].width if layers else 0))
        self.output.check(check, layers[-1].width if layers else 0)
        for name in BRANCHES:
            for number, branch in enumerate(getattr(self, name), start=1):
                branch.check(check, f"{name[:-1]} branch {number}")
        shape = (check.n,) if self.input_shape is None else tuple(int(size) for size in self.input_shape)
        if min(shape, default=0) < 0 or int(np.prod(shape, dtype=np.int64)) != check.n:
            raise ModelError(f"input_shape {shape} does not hold the {check.n} inputs of the network")
        own = {name: tuple(getattr(self, name)) for name in BRANCHES} | {"layers": tuple(layers)}
        for name, value in {**own, "input_shape": shape, "contexts": check.contexts}.items():
            object.__setattr__(self, name, value)

    @property
    def in_features(self) -> int:
        """Length n of x, flattened."""
        return int(self.output.v.shape[-1])

    @property
    def terms(self) -> tuple[Term, ...]:
        """The branches of second-order cones: quadratic ones, then norms."""
        return (*self.quadratics, *self.norms)

    @property
    def exponentials(self) -> tuple[ExpTerm, ...]:
        """The branches of exponential cones: log-sum-exps, then logistic ones."""
        return (*self.logsumexps, *self.logistics)

    @property
    def exponential(self) -> bool:
        """Whether its program has exponential cones: softplus units, or terms of exponentials."""
        return bool(self.exponentials) or any(layer.smooth for layer in self.layers)

    def named_exponentials(self) -> Iterator[tuple[str, ExpTerm]]:
        """Yield what has a weight, with the names of its program rows; all in a stack, so that they are alike."""
        for terms in (self.logsumexps, self.logistics):
            used = [part for term in terms if (part := term if self.stacked else term.used()) is not None]
            yield from ((f"{term.KIND}{number}", term) for number, term in enumerate(used, start=1))

    @property
    def stacked(self) -> bool:
        """Whether contexts are stacked, perhaps one: then x has one row per context."""
        return self.contexts is not None

    @property
    def batch(self) -> tuple[int, ...]:
        """Leading shape of the vectors of its program: `(contexts,)`, or `()` if none are stacked."""
        return (self.contexts,) if self.contexts is not None else ()

    def weighted(self) -> tuple[list[Quadratic], list[Norm]]:
        """Return the branches in the program: those with a weight; in a stack all, so that its parts are alike."""
        quadratics = [branch for branch in self.quadratics if self.stacked or branch.weight.any()]
        return quadratics, [branch for branch in self.norms if self.stacked or branch.weight.any()]

    def take(self, index: int | slice | IntArray) -> Self:
        """Return the network with some of the stacked contexts; itself if none are stacked."""
        if not self.stacked:
            return self
        places = np.arange(*self.batch)[index]
        rows = np.atleast_1d(places)
        lists = ("layers", *BRANCHES)
        chosen: dict[str, Any] = {name: [part.take(rows) for part in getattr(self, name)] for name in lists}
        return replace(self, output=self.output.take(rows), contexts=len(rows) if np.ndim(places) else None, **chosen)

    def values(self, x: Array, activations: list[Array] | None = None) -> Array:
        """Return f at points x of shape `(count, n)`: the reference forward pass, straight from the formula.

        With stacked contexts, row i belongs to context i. To `activations`, if given, z_k of each ReLU layer is
        appended, and the pre-activations of each smooth one, which its z does not tell.
        """
        if x.shape[1:] != (self.in_features,):
            raise ModelError(f"x must have shape (count, {self.in_features}); received {x.shape}")
        if self.stacked and len(x) != self.contexts:
            raise ModelError(f"{self.contexts} contexts need as many points; received {len(x)}")
        value = (x * self.output.v).sum(axis=-1) + self.output.c
        z = np.zeros((len(x), 0))
        for layer in self.layers:
            a = layer.preactivation(x, z)
            z = unit(a, layer.smoothing)
            if activations is not None:
                activations.append(a if layer.smooth else z)
        value = value + (z * self.output.w).sum(axis=-1)
        for term in self.terms:
            value = value + term.weight * term.values(x).sum(axis=-1)
        for exponential in self.exponentials:
            value = value + exponential.total(x)
        return value

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, 64 hexadecimal digits, equal for equal numbers in any file: see `socicnn.frozen._fingerprint`."""
        assert self.input_shape is not None
        return fingerprint(self.layers, self.output, (*self.terms, *self.exponentials), self.input_shape, self.batch)
