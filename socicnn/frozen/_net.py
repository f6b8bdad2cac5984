"""Frozen networks: a SOC-ICNN as plain float64 arrays, with its readers and its file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from socicnn._arrays import Array, IntArray
from socicnn._integers import as_integer, is_integer
from socicnn._moved import accepts_renamed
from socicnn._points import as_points
from socicnn.errors import ModelError
from socicnn.frozen._bundle import Parts
from socicnn.frozen._composition import absolute_layer, absolute_output, absolute_term
from socicnn.frozen._network import BRANCHES, ConvexNet

if TYPE_CHECKING:
    from socicnn.frozen._max_affine import AffinePieces


@dataclass(frozen=True, eq=False, repr=False)
class FrozenNet(ConvexNet):
    """A convex network as float64 arrays, checked when it is made.

    a_k = W_k z_{k-1} + U_k x + b_k + (rho_ki ||F_ki x + g_ki||^2)_i,   W_k, rho_k >= 0
    z_k = relu(a_k), or with smoothing tau_k > 0 softplus units tau_k log(1 + exp(a_k / tau_k))
    f(x) = w'z_L + v'x + c + sum_m beta_m ||A_m x + e_m||^2 + sum_r gamma_r ||C_r x + d_r||_2 + smooth(x)
    smooth(x) = sum_j alpha_j log sum_i exp((G_j x + o_j)_i) + sum_i omega_i log(1 + exp((S x + s)_i))

    with w, beta, gamma, alpha, omega >= 0. Vectors (b, w, v, c, the offsets and the weights of branches) have a leading
    axis of contexts, of length 1 where they are shared, e.g. b the shape `(1, h)`; parts that are given without it gain
    it. Matrices have none. `net[i]` is the network of context i.

    Args:
        layers: ReLU or softplus layers, first to last; empty for no hidden layer.
        output: the read-out.
        quadratics: quadratic branches.
        norms: Euclidean-norm branches.
        input_shape: shape of x, when x is an image or a sequence; `(n,)`, or n, is the same as leaving it out.
        logsumexps: log-sum-exp branches.
        logistics: logistic branches.
        contexts: number of stacked contexts; if omitted, the leading length of the vectors that is not 1, or None if
            all are 1. Give 1 for a stack of one.

    Raises:
        ModelError: a negative W or weight, a non-finite entry, or shapes that do not agree; the message names
            the array, the count, the worst value and what to do.

    >>> from socicnn.frozen import Layer, Output
    >>> net = FrozenNet(layers=[Layer(None, [[1.0]], [0.0])], output=Output([2.0], [1.0]))
    >>> net([[3.0], [-3.0]])
    array([ 9., -3.])
    """

    def __post_init__(self) -> None:
        if self.input_shape is not None:
            object.__setattr__(self, "input_shape", _shape(self.input_shape))
        super().__post_init__()

    def __repr__(self) -> str:
        parts = [f"{self.in_features} inputs", f"hidden widths {', '.join(map(str, self.hidden_features)) or 'none'}"]
        counts = [(len(getattr(self, name)), name[:-1]) for name in BRANCHES]
        told = [f"{count} {name}" for count, name in counts if count or name in ("quadratic", "norm")]
        parts += [f"branches: {', '.join(told)}"]
        parts += [f"{self.contexts} contexts"] if self.stacked else []
        return f"<FrozenNet: {'; '.join(parts)}>"

    def __call__(self, x: Any) -> Array:
        """Return f at each point.

        Args:
            x: points of shape `(*batch, n)` or `(*batch, *input_shape)`; with stacked contexts, row i of the batch
                belongs to context i.

        Returns:
            Values of shape `(count,)`, one per point of the flattened batch.
        """
        assert self.input_shape is not None
        return self.values(as_points(x, self.input_shape))

    @property
    def hidden_features(self) -> tuple[int, ...]:
        """Widths h_1 .. h_L."""
        return tuple(layer.width for layer in self.layers)

    def __getitem__(self, index: int | slice | IntArray) -> Self:
        """Return the network of context `index`, or with the contexts of a slice."""
        if not self.stacked:
            raise ModelError("this network has one context; index it only when several contexts were frozen")
        return self.take(index)

    def absolute(self) -> FrozenNet:
        """Return the network with every number replaced by its absolute value."""
        branches: dict[str, Any] = {name: [absolute_term(term) for term in getattr(self, name)] for name in BRANCHES}
        layers = [absolute_layer(layer) for layer in self.layers]
        return replace(self, layers=layers, output=absolute_output(self.output), **branches)

    def max_affine(
        self, *, box: tuple[Any, Any] | None = None, most: int = 256, points: Any = None, seed: int = 0
    ) -> AffinePieces:
        """Return a ReLU network as the maximum of its affine pieces.

        Its cells, in which no unit switches, are enumerated by linear programs, about one per cell and unit. If there
        are more than `most`, the pieces are those at 10,000 random points. `complete` of the result says which.

        Args:
            box: lower and upper ends of x, numbers or shape `(n,)`, where the pieces are wanted; everywhere if omitted.
            most: number of cells up to which they are enumerated.
            points: take the pieces at these points in place of all, shape `(*batch, n)`.
            seed: of the random points.

        Raises:
            ModelError: the network has curved terms or stacked contexts, or an argument is invalid.

        >>> net = FrozenNet.from_structure(maxima=[([[1.0], [-1.0], [0.0]], [0.0, 0.0, -1.0])])
        >>> sorted(net.max_affine().slopes[:, 0].tolist())  # max(x, -x, -1) has two pieces
        [-1.0, 1.0]
        """
        from socicnn.frozen._max_affine import max_affine

        return max_affine(self, box, most, points, seed)

    @classmethod
    def from_structure(
        cls,
        quadratic: Any = None,
        slope: Any = None,
        constant: float = 0.0,
        *,
        norms: Sequence[tuple[Any, Any, Any]] = (),
        maxima: Sequence[tuple[Any, Any]] = (),
    ) -> FrozenNet:
        """Write x'P x + q'x + c + sum_r gamma_r ||C_r x + d_r|| + sum_j max_k (a_jk'x + b_jk) as a network, exactly.

        Args:
            quadratic: P, symmetric and positive semidefinite, shape `(n, n)`; none if omitted.
            slope: q, shape `(n,)`; zero if omitted.
            constant: c.
            norms: (gamma_r, C_r, d_r) of each norm, C_r of shape `(rows, n)`; d_r may be None.
            maxima: (a_j, b_j) of each maximum, shapes `(pieces, n)` and `(pieces,)`.

        Raises:
            ModelError: P is not positive semidefinite, a gamma is negative, or shapes do not agree.

        >>> P, q, norm = [[1.0, 0.0], [0.0, 4.0]], [1.0, 0.0], (2.0, [[3.0, 0.0], [0.0, 4.0]], None)
        >>> net = FrozenNet.from_structure(P, q, norms=[norm])
        >>> net([[1.0, 1.0]])  # 1 + 4 + 1 + 2 * 5
        array([16.])
        """
        from socicnn.frozen._structure import structured

        return cls.from_parts(structured(quadratic, slope, constant, norms, maxima))

    @classmethod
    def from_parts(cls, parts: Parts) -> FrozenNet:
        """Return the network of these parts.

        Raises:
            ModelError: the parts do not make a convex network.
        """
        return cls(**vars(parts))

    @classmethod
    @accepts_renamed(path="source")
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
            ModelError: the graph is not convex, of a kind that is not read or no function of x, or its values
                are not those of the network read; the message names the node.
            FileError: the file is missing or broken.
            MissingExtra: the package onnx is not installed.
        """
        from socicnn.importers.onnx import from_onnx

        return from_onnx(cls.from_parts, source, fixed or {}, batch=batch, output=output)

    @classmethod
    def from_torch(cls, module: Any, example: Any) -> FrozenNet:
        """Read a torch module that is convex in its input, whatever keeps its weights non-negative.

        It may use Linear and convolutions, ReLU, leaky ReLU, maxima, absolute values, squares and norms of affine
        functions, sums, skips, what moves entries about, and more (docs/programs.md). What depends on parameters alone
        (parametrisations, softplus, exp, clamp) is computed as it stands, in float64. At the end the module is
        evaluated at a few points, and a network with other values is refused. What `HyperNetwork.finalise` returns is
        such a module.

        Args:
            module: a function of x alone, in evaluation mode.
            example: a batch of points, e.g. `torch.zeros(1, n)`; the first is used.

        Raises:
            ModelError: the module cannot be traced, or a layer is not convex; the message names the layer.
        """
        from socicnn.importers._torch_module import from_torch

        return from_torch(cls.from_parts, module, example)

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

    def freeze(self, context: Any = None) -> FrozenNet:
        """Return itself: a frozen network is its own frozen form, and has its context already."""
        if context is not None:
            raise ModelError("a FrozenNet already has its context; leave `context` out")
        return self


def _shape(sizes: Any) -> tuple[int, ...]:
    """Return a shape of x; one integer is a shape of one axis."""
    try:
        listed = [sizes] if is_integer(sizes) else list(sizes)
    except TypeError:
        raise ModelError(f"input_shape must be a tuple of integers, such as (3, 8, 8); received {sizes!r}") from None
    return tuple(as_integer("each entry of input_shape", size, 0) for size in listed)
