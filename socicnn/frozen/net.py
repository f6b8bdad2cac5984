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

from socicnn.arrays import Array, IntArray, Matrix, as_float64, as_matrix, as_points, entries, lengths, read_only
from socicnn.errors import ModelError
from socicnn.frozen.fingerprint import fingerprint
from socicnn.frozen.parts import Layer as Layer
from socicnn.frozen.parts import Norm as Norm
from socicnn.frozen.parts import Output as Output
from socicnn.frozen.parts import Parts as Parts
from socicnn.frozen.parts import Quadratic as Quadratic
from socicnn.frozen.parts import Squares as Squares
from socicnn.frozen.parts import picked as picked


@dataclass(frozen=True, eq=False, repr=False)
class FrozenNet:
    """A convex network as float64 arrays, checked when it is made.

    Vectors (b, w, v, c, e, d, beta, gamma) may carry one leading axis, one row a context; matrices may not. `net[i]`
    is the network of context i.

    Args:
        layers: ReLU layers, first to last; empty for no hidden layer.
        output: the read-out.
        quadratics: quadratic branches.
        norms: Euclidean-norm branches.
        input_shape: shape of x, when x is an image or a sequence; `(n,)` where None.

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
        clean = _Checker()
        v = clean.vector("output weight v", self.output.v, None)
        n = clean.n = v.shape[-1]
        layers: list[Layer] = []
        width: int | None = None
        for k, layer in enumerate(self.layers, start=1):
            b = clean.vector(f"bias b of layer {k}", layer.b, None)
            h = b.shape[-1]
            if h == 0:
                raise ModelError(f"layer {k} has no units; leave the layer out instead")
            if (layer.W is None) != (width is None):
                what = "must be None in the first layer" if width is None else "is missing"
                raise ModelError(f"hidden weight W of layer {k} {what}; received {type(layer.W).__name__}")
            W = U = None
            if layer.W is not None:
                W = clean.matrix(f"hidden weight W of layer {k}", layer.W, (h, width), sign=True)
            if layer.U is not None:
                U = clean.matrix(f"input weight U of layer {k}", layer.U, (h, n))
            squares = None
            if layer.squares is not None:
                rho = clean.vector(
                    f"weight rho of the quadratics in layer {k}", np.array(layer.squares.rho), h, sign=True
                )
                F = clean.matrix(f"matrix F of the quadratics in layer {k}", layer.squares.F, (None, n))
                if rho.ndim != 1 or F.shape[0] % h:
                    raise ModelError(
                        f"the quadratics in layer {k} need one rho a unit, the same in every context, and equally many "
                        f"rows of F for each of {h} units; received rho of shape {rho.shape}, F of {F.shape[0]} rows"
                    )
                g = np.zeros(F.shape[0]) if layer.squares.g is None else layer.squares.g
                g = clean.vector(f"offset g of the quadratics in layer {k}", g, F.shape[0])
                squares = Squares(rho, F, g) if rho.any() else None  # without weight they are left out
            layers.append(Layer(W, U, b, squares))
            width = h
        w = clean.vector("output weight w", self.output.w, width or 0, sign=True)
        c = clean.vector("output offset c", self.output.c, ())
        quadratics = []
        for m, quad in enumerate(self.quadratics, start=1):
            A = clean.matrix(f"matrix A of quadratic branch {m}", quad.A, (None, n))
            e = np.zeros(A.shape[0]) if quad.e is None else quad.e
            quadratics.append(
                Quadratic(
                    clean.vector(f"weight beta of quadratic branch {m}", quad.beta, (), sign=True),
                    A,
                    clean.vector(f"offset e of quadratic branch {m}", e, A.shape[0]),
                )
            )
        norms = []
        for r, norm in enumerate(self.norms, start=1):
            C = clean.matrix(f"matrix C of norm branch {r}", norm.C, (None, n))
            d = np.zeros(C.shape[0]) if norm.d is None else norm.d
            if norm.group is not None and (norm.group < 1 or C.shape[0] % norm.group):
                raise ModelError(f"norm branch {r} has {C.shape[0]} rows, which groups of {norm.group} do not divide")
            norms.append(
                Norm(
                    clean.vector(f"weight gamma of norm branch {r}", norm.gamma, (), sign=True),
                    C,
                    clean.vector(f"offset d of norm branch {r}", d, C.shape[0]),
                    norm.group,
                )
            )
        shape = (n,) if self.input_shape is None else tuple(int(size) for size in self.input_shape)
        if int(np.prod(shape, dtype=np.int64)) != n:
            raise ModelError(f"input_shape {shape} does not hold the {n} inputs of the network")
        for name, value in (
            ("layers", tuple(layers)),
            ("output", Output(w, v, c)),
            ("quadratics", tuple(quadratics)),
            ("norms", tuple(norms)),
            ("input_shape", shape),
            ("contexts", clean.contexts),
        ):
            object.__setattr__(self, name, value)

    @property
    def in_features(self) -> int:
        """Length n of x, flattened."""
        return int(self.output.v.shape[-1])

    @property
    def hidden_features(self) -> tuple[int, ...]:
        """Widths h_1 .. h_L."""
        return tuple(layer.b.shape[-1] for layer in self.layers)

    def __repr__(self) -> str:
        parts = [f"{self.in_features} inputs", f"hidden widths {', '.join(map(str, self.hidden_features)) or 'none'}"]
        parts += [f"branches: {len(self.quadratics)} quadratic, {len(self.norms)} norm"]
        parts += [] if self.contexts is None else [f"{self.contexts} contexts"]
        return f"<FrozenNet: {'; '.join(parts)}>"

    def weighted(self) -> tuple[list[Quadratic], list[Norm]]:
        """Return the branches that are in the program: those with a weight, and in a stack all of them.

        A branch may have no weight in some contexts of a stack; any part of the stack then has the same program.
        """
        stacked = self.contexts is not None
        return (
            [branch for branch in self.quadratics if stacked or np.any(branch.beta)],
            [branch for branch in self.norms if stacked or np.any(branch.gamma)],
        )

    def __getitem__(self, index: int | slice | IntArray) -> FrozenNet:
        """Return the network of context `index`, or with the contexts of a slice."""
        if self.contexts is None:
            raise ModelError("this network has one context; index it only when several contexts were frozen")
        pick = lambda part: picked(part, index)  # noqa: E731 (local shorthand)
        return replace(
            self,
            layers=[pick(layer) for layer in self.layers],
            output=pick(self.output),
            quadratics=[pick(branch) for branch in self.quadratics],
            norms=[pick(branch) for branch in self.norms],
        )

    def __call__(self, x: Any) -> Array:
        """Return f at each point: the reference forward pass, straight from the formula.

        Args:
            x: points of shape `(*batch, n)` or `(*batch, *input_shape)`; with stacked contexts, row i of the batch
                belongs to context i.

        Returns:
            Values of shape `(count,)`, one a point of the flattened batch.
        """
        assert self.input_shape is not None
        x = as_points(x, self.input_shape)
        if self.contexts is not None and len(x) != self.contexts:
            raise ModelError(f"{self.contexts} contexts need as many points; received {len(x)}")
        value = (x * self.output.v).sum(axis=-1) + self.output.c
        z: Array | None = None
        for layer in self.layers:
            z = np.maximum(layer.preactivation(x, z), 0.0)
        if z is not None:
            value = value + (z * self.output.w).sum(axis=-1)
        for quad in self.quadratics:
            value = value + quad.beta * (quad.image(x) ** 2).sum(axis=-1)
        for norm in self.norms:
            value = value + norm.gamma * lengths(norm.image(x), -1).sum(axis=-1)
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
        from socicnn.frozen import storage

        storage.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FrozenNet:
        """Read a network that `save` wrote; loading runs no code.

        Raises:
            FileError: the file cannot be read, or is not a whole file of this kind and version.
        """
        from socicnn.frozen import storage

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

        What the form is says `socicnn.frozen.fingerprint`.
        """
        assert self.input_shape is not None
        return fingerprint(self.layers, self.output, self.quadratics, self.norms, self.input_shape, self.contexts)

    def freeze(self, context: Any = None) -> FrozenNet:
        """Return itself: a frozen network is its own frozen form, and has its context already."""
        if context is not None:
            raise ModelError("a FrozenNet already has its context; leave `context` out")
        return self


class _Checker:
    """Turns what a user gave into checked float64 arrays; errors name the array."""

    def __init__(self) -> None:
        self.contexts: int | None = None
        self.n = 0

    def vector(self, name: str, value: Any, shape: int | tuple[()] | None, sign: bool = False) -> Array:
        array = np.array(as_float64(value))  # its own copy: what was checked stays what it was
        tail = 0 if shape == () else 1
        if array.ndim == tail + 1:
            if self.contexts not in (None, len(array)):
                raise ModelError(f"{name} has {len(array)} contexts, other arrays {self.contexts}")
            self.contexts = len(array)
        elif array.ndim != tail:
            wanted = "a vector" if tail else "a number"
            raise ModelError(f"{name} must be {wanted} (one axis more with contexts); received shape {array.shape}")
        if isinstance(shape, int) and array.shape[-1] != shape:
            raise ModelError(f"{name} must have length {shape}; received shape {array.shape}")
        self.values(name, array, sign)
        return read_only(array)

    def matrix(self, name: str, value: Any, shape: tuple[int | None, int | None], sign: bool = False) -> Matrix:
        matrix = as_matrix(value)
        if isinstance(matrix, np.ndarray):
            matrix = matrix.copy()
        wanted = tuple(matrix.shape[i] if size is None and matrix.ndim == 2 else size for i, size in enumerate(shape))
        if matrix.shape != wanted:
            rows = "rows" if shape[0] is None else shape[0]
            raise ModelError(f"{name} must have shape ({rows}, {shape[1]}); received {matrix.shape}")
        if matrix.shape[0] == 0:
            raise ModelError(f"{name} has no rows; leave the branch out instead")
        self.values(name, entries(matrix), sign)
        return read_only(matrix)

    @staticmethod
    def values(name: str, array: Array, sign: bool) -> None:
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise ModelError(f"{name} has {bad} non-finite entries; train again from the last finite weights")
        negative = int(np.count_nonzero(array < 0)) if sign else 0
        if negative:
            raise ModelError(
                f"{name} has {negative} negative entries (least {array.min():.1e}); "
                "call `model.finalise()` before exporting, or give weights that are non-negative"
            )
