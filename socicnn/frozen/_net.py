"""Frozen networks: a SOC-ICNN as plain float64 arrays, whatever trained it.

a_k = W_k z_{k-1} + U_k x + b_k + (rho_ki ||F_ki x + g_ki||^2)_i,   z_k = relu(a_k),   W_k, rho_k >= 0
f(x) = w'z_L + v'x + c + sum_m beta_m ||A_m x + e_m||^2 + sum_r gamma_r ||C_r x + d_r||_2,   w, beta, gamma >= 0
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from socicnn._arrays import Array, IntArray, as_points
from socicnn.errors import ModelError
from socicnn.frozen._checks import ArrayCheck
from socicnn.frozen._fingerprint import fingerprint
from socicnn.frozen._parts import Layer as Layer
from socicnn.frozen._parts import Norm as Norm
from socicnn.frozen._parts import Output as Output
from socicnn.frozen._parts import Parts as Parts
from socicnn.frozen._parts import Quadratic as Quadratic
from socicnn.frozen._parts import Term as Term


@dataclass(frozen=True, eq=False, repr=False)
class FrozenNet:
    """A convex network as float64 arrays, checked when it is made.

    Vectors (b, w, v, c, e, d, beta, gamma) may carry one leading axis, one row per context; matrices may not. `net[i]`
    is the network of context i.

    Args:
        layers: ReLU layers, first to last; empty for no hidden layer.
        output: the read-out.
        quadratics: quadratic branches.
        norms: Euclidean-norm branches.
        input_shape: shape of x, when x is an image or a sequence; `(n,)` if omitted.

    Raises:
        ModelError: a negative W, w, beta or gamma, a non-finite entry, or shapes that do not agree; the message names
            the array, the count, the worst value and the mend.

    >>> net = FrozenNet(layers=[Layer(None, [[1.0]], [0.0])], output=Output([2.0], [1.0]))
    >>> net([[3.0], [-3.0]])
    array([ 9., -3.])
    """

    layers: Sequence[Layer]
    output: Output
    quadratics: Sequence[Quadratic] = ()
    norms: Sequence[Norm] = ()
    input_shape: tuple[int, ...] | None = None
    contexts: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        output = self.output
        check = ArrayCheck(int(output.v.shape[-1]) if output.v.ndim else 0)
        check.vector("output weight v", output.v)
        layers: list[Layer] = []
        width: int | None = None
        for k, layer in enumerate(self.layers, start=1):
            layers.append(layer.checked(check, k, width))
            width = layer.width
        output.check(check, width or 0)
        for m, quad in enumerate(self.quadratics, start=1):
            quad.check(check, m)
        for r, norm in enumerate(self.norms, start=1):
            norm.check(check, r)
        shape = (check.n,) if self.input_shape is None else tuple(int(size) for size in self.input_shape)
        if int(np.prod(shape, dtype=np.int64)) != check.n:
            raise ModelError(f"input_shape {shape} does not hold the {check.n} inputs of the network")
        for name, value in (
            ("layers", tuple(layers)),
            ("quadratics", tuple(self.quadratics)),
            ("norms", tuple(self.norms)),
            ("input_shape", shape),
            ("contexts", check.contexts),
        ):
            object.__setattr__(self, name, value)

    @property
    def in_features(self) -> int:
        """Length n of x, flattened."""
        return int(self.output.v.shape[-1])

    @property
    def hidden_features(self) -> tuple[int, ...]:
        """Widths h_1 .. h_L."""
        return tuple(layer.width for layer in self.layers)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The branches: quadratic ones, then norms."""
        return (*self.quadratics, *self.norms)

    @property
    def stacked(self) -> bool:
        """Whether vectors carry an axis of contexts."""
        return self.contexts is not None

    @property
    def batch(self) -> tuple[int, ...]:
        """Leading shape of vectors: `(contexts,)`, or `()` if none are stacked."""
        return () if self.contexts is None else (self.contexts,)

    def __repr__(self) -> str:
        parts = [f"{self.in_features} inputs", f"hidden widths {', '.join(map(str, self.hidden_features)) or 'none'}"]
        parts += [f"branches: {len(self.quadratics)} quadratic, {len(self.norms)} norm"]
        parts += [f"{self.contexts} contexts"] if self.stacked else []
        return f"<FrozenNet: {'; '.join(parts)}>"

    def weighted(self) -> tuple[list[Quadratic], list[Norm]]:
        """Return the branches that are in the program: those with a weight, and in a stack all of them.

        A branch may have no weight in some contexts of a stack; any part of the stack then has the same program.
        """
        return (
            [branch for branch in self.quadratics if self.stacked or branch.beta.any()],
            [branch for branch in self.norms if self.stacked or branch.gamma.any()],
        )

    def __getitem__(self, index: int | slice | IntArray) -> FrozenNet:
        """Return the network of context `index`, or with the contexts of a slice."""
        if not self.stacked:
            raise ModelError("this network has one context; index it only when several contexts were frozen")
        return replace(
            self,
            layers=[layer.take(index) for layer in self.layers],
            output=self.output.take(index),
            quadratics=[quad.take(index) for quad in self.quadratics],
            norms=[norm.take(index) for norm in self.norms],
        )

    def take(self, index: int | slice | IntArray) -> FrozenNet:
        """Return the network with some of the stacked contexts; itself if none are stacked."""
        return self[index] if self.stacked else self

    def absolute(self) -> FrozenNet:
        """Return the network with every number replaced by its absolute value."""
        return replace(
            self,
            layers=[layer.absolute() for layer in self.layers],
            output=self.output.absolute(),
            quadratics=[quad.absolute() for quad in self.quadratics],
            norms=[norm.absolute() for norm in self.norms],
        )

    def __call__(self, x: Any) -> Array:
        """Return f at each point: the reference forward pass, straight from the formula.

        Args:
            x: points of shape `(*batch, n)` or `(*batch, *input_shape)`; with stacked contexts, row i of the batch
                belongs to context i.

        Returns:
            Values of shape `(count,)`, one per point of the flattened batch.
        """
        assert self.input_shape is not None
        x = as_points(x, self.input_shape)
        if self.stacked and len(x) != self.contexts:
            raise ModelError(f"{self.contexts} contexts need as many points; received {len(x)}")
        value = (x * self.output.v).sum(axis=-1) + self.output.c
        z: Array | None = None
        for layer in self.layers:
            z = np.maximum(layer.preactivation(x, z), 0.0)
        if z is not None:
            value = value + (z * self.output.w).sum(axis=-1)
        for term in self.terms:
            value = value + term.weight * term.values(x).sum(axis=-1)
        return value

    @classmethod
    def from_parts(cls, parts: Parts) -> FrozenNet:
        """Return the network of these parts.

        Raises:
            ModelError: the parts do not make a convex network.
        """
        return cls(parts.layers, parts.output, parts.quadratics, parts.norms, parts.input_shape)

    @classmethod
    def from_onnx(
        cls, source: Any, fixed: Mapping[str, Any] | None = None, *, batch: Literal[0] | None = 0, output: str = ""
    ) -> FrozenNet:
        """Read a feed-forward ONNX graph that is convex in its input (extra `onnx`).

        It may use Gemm, MatMul, Einsum, Add, Sub, Mul and Div by constants, Relu, Conv, ReduceSum, ReduceMean,
        ReduceL2, squares (Pow 2, or Mul of a tensor with itself; inside a Relu too), and what moves entries about, with
        skip connections from x and between layers. Weights are lifted to float64 exactly. At the end the file is
        evaluated at a few points, and a network that differs from it by more than the rounding of the file's own
        floating type is refused.

        Args:
            source: a path, the bytes of a file, an open file, an `onnx.ModelProto`, or what `torch.onnx.export`
                returns.
            fixed: numbers for inputs of the graph other than x, for instance `{"context": theta}`.
            batch: the axis of x that is the batch, 0; None for a graph whose x has no batch, e.g. a column `(n, 1)`. An
                x of one axis never has one.
            output: name of the output to read; the only one if omitted.

        Raises:
            ModelError: the graph is not convex, not second-order-cone representable or no function of x, or its values
                are not those of the network read; the message names the node.
            FileError: the file is missing or broken.
            MissingExtra: the package onnx is not installed.
        """
        from socicnn.importers.onnx import from_onnx

        return from_onnx(cls.from_parts, source, fixed or {}, batch=batch, output=output)

    @classmethod
    def from_ott(
        cls,
        params: Mapping[str, Any],
        readout: Literal["relu", "softplus"] | None = None,
        *,
        version: str | None = None,
        check: tuple[Any, Any] | None = None,
    ) -> FrozenNet:
        """Read the parameters of ott-jax's ICNN with relu activation; JAX itself is not needed.

        The same parameters are other functions in ott-jax 0.4 than in 0.5 and 0.6, and do not tell which made them:
        `version` or `check` is needed.

        Args:
            params: its flax parameters, any nested mapping of arrays.
            readout: `rectifier_fn` of a network with `pos_weights=True`, `relu` or `softplus`; None for one whose
                hidden kernels are non-negative as they are.
            version: version of ott-jax, e.g. "0.6"; if omitted, the one that agrees with `check`.
            check: points x of shape `(count, n)` and the values of the original at them, shape `(count,)`; a network
                that has other values, by more than float32's rounding, is refused.

        Raises:
            ModelError: an entry is missing, of another shape, a hidden weight is negative, the version is unknown, or
                the values are not those of `check`.
        """
        from socicnn.importers.ott import from_ott

        return from_ott(cls.from_parts, params, readout=readout, version=version, check=check)

    @classmethod
    def from_lpcf(
        cls,
        weights: Sequence[Any],
        context: Any,
        settings: Mapping[str, Any] | None = None,
        *,
        check: tuple[Any, Any] | None = None,
    ) -> FrozenNet:
        """Read the weights of lpcf's `PCF`, at one context; lpcf itself is not needed.

        Args:
            weights: the arrays of `pcf.model.params`, in their order.
            context: theta, shape `(p,)`.
            settings: the arguments that `PCF` was made with, e.g. `{"widths": [8], "quadratic": True}`; its defaults if
                omitted.
            check: points x of shape `(count, n)` and lpcf's values there at this context, shape `(count,)`; a network
                that has other values is refused.

        Raises:
            ModelError: the weights do not fit the settings, or the values are not those of `check`.
            NoProgramError: the activation is logistic.
        """
        from socicnn.importers.lpcf import from_lpcf

        return from_lpcf(cls.from_parts, weights, context, settings or {}, check=check)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to one safetensors file; an older file of that name is replaced in one step.

        Raises:
            FileError: the place cannot be written.
        """
        from socicnn.frozen import _storage as storage

        storage.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FrozenNet:
        """Read a network that `save` wrote; loading runs no code.

        Raises:
            FileError: the file cannot be read, or is not a whole file of this kind and version.
        """
        from socicnn.frozen import _storage as storage

        arguments, mark = storage.load(path)
        try:
            net = cls(**arguments)
        except ModelError as error:
            raise storage.damaged(path, error) from None
        if mark not in (None, net.fingerprint):
            raise storage.damaged(path, ModelError("they are not those that were written"))
        return net

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the network in a canonical form, 64 hexadecimal digits: equal for equal numbers in any file.

        What the form is says `socicnn.frozen._fingerprint`.
        """
        assert self.input_shape is not None
        return fingerprint(self.layers, self.output, self.quadratics, self.norms, self.input_shape, self.batch)

    def freeze(self, context: Any = None) -> FrozenNet:
        """Return itself: a frozen network is its own frozen form, and has its context already."""
        if context is not None:
            raise ModelError("a FrozenNet already has its context; leave `context` out")
        return self
