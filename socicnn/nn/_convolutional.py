"""Convolutional SOC-ICNN over images of one spatial axis or more: the dense formula with convolutions for matrices.

a_k = W_k * z_{k-1} + U_k * x + b_k,   z_k = relu(a_k),   W_k >= 0
f(x) = w' mean(z_L) + mean(v x) + c + sum_m beta_m mean (A_m * x + e_m)^2 + sum_r gamma_r mean_g ||(C_r * x + d_r)_g||_2

and log-sum-exp and logistic branches (`socicnn.nn._smooth_fields`). Means are over positions (and channels, for the
quadratics); g runs over groups of channels and positions.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Unpack, cast, final

import numpy as np
import torch
from torch import Tensor, nn

from socicnn._arrays import Array, as_float64
from socicnn._integers import as_integer, is_integer
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn import _operators as operators
from socicnn.nn._activations import described_slope, layer_units
from socicnn.nn._branch_weights import BranchWeights, Positions, averaged, group_lengths, with_squares
from socicnn.nn._checks import check_joint_offsets, context_shape
from socicnn.nn._context import Vector, VectorSource
from socicnn.nn._dying import warn_if_units_die
from socicnn.nn._fields import FieldNetwork, JointField
from socicnn.nn._geometry import AveragePool, Chain, Conv, Convolution, ImageMap, channels_last, described
from socicnn.nn._network import Network
from socicnn.nn._options import DENSE_ONLY, SMOOTH, Activation, ContextMode, NetOptions, NetSettings, net_options
from socicnn.nn._relu_form import relu_form
from socicnn.nn._smooth_fields import SmoothFields
from socicnn.nn._stages import branch_specs, kernel_shape, layer_spec, repeated, rows_of_norm, stages, with_channels
from socicnn.positivity._base import Weight, in_evaluation_mode
from socicnn.positivity._initial import normal


@final
class ConvSOCICNN(Network):
    """Convolutional SOC-ICNN.

    x reaches the layers after the first resized to their size (adaptive average pooling) and convolved with the layer's
    kernel size at stride 1. The read-out averages over positions, so that one weight a channel serves images of any
    size; without a context v has one entry per channel too.

    Args:
        input_shape: shape of x, (channels, *size), with one to three spatial axes.
        hidden_features: the layers: a number of channels (kernel 3), a `Conv`, or an `AveragePool` that acts before the
            next layer (or the read-out).
        quadratic: a `Conv` (or number of channels) for each quadratic branch; defaults to one of 16
            channels, kernel 5.
        norm: the same for the norm branches; `Conv.group` channels of a position make one norm (averaged over groups
            and positions), the whole tensor if omitted. Defaults to one of 16 channels in pairs, kernel 5.
        context_features: length p of a context that is a vector, 0 for none.
        context_channels: channels of a context that is an image of x's size, 0 for none.
        context: `joint` (theta as further channels of x everywhere: convex in both) or `partial` (theta sets biases,
            offsets, read-out and branch weights, as fields over the positions where it is an image).
        activation: `relu`, `softplus`, `leaky_relu` or `maxout`, one name or one per layer.
        passthrough: whether x enters the layers after the first.
        options: how it is made: recipe, law of the start, type, device.
        settings: the entries of `NetOptions` as keywords, e.g. `positivity="lift"`; they go before `options`.

    Raises:
        ModelError: an argument is invalid; the message says which.

    >>> model = ConvSOCICNN((1, 8, 8), (4, AveragePool(2), 4), quadratic=(Conv(3, 5),), norm=(Conv(4, group=2),))
    >>> model(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5])
    >>> net = model.freeze()
    >>> net.hidden_features, net.norms[0].group
    ((256, 64), 2)
    """

    renamed: ClassVar[dict[str, str]] = {"hidden": "hidden_features"}

    def __init__(
        self,
        input_shape: Sequence[int],
        hidden_features: Sequence[int | Conv | AveragePool | dict[str, Any]] = (10, 10, 10),
        quadratic: Sequence[int | Conv | dict[str, Any]] | None = None,
        norm: Sequence[int | Conv | dict[str, Any]] | None = None,
        *,
        context_features: int = 0,
        context_channels: int = 0,
        context: ContextMode = "partial",
        activation: Activation | Sequence[Activation] = "relu",
        passthrough: bool = True,
        options: NetOptions | None = None,
        **settings: Unpack[NetSettings],
    ) -> None:
        if "hidden" in settings:
            warnings.warn("hidden is now hidden_features; the old name ends with 0.3", DeprecationWarning, stacklevel=2)
            hidden_features = settings.pop("hidden")  # type: ignore[typeddict-item]  # the old name
        chosen = net_options("ConvSOCICNN", options, settings, refused=DENSE_ONLY)
        shape = tuple(input_shape)
        if not 2 <= len(shape) <= 4 or any(not is_integer(size) or size < 1 for size in shape):
            raise ModelError(f"input_shape must be (channels, *size) with one to three sizes; received {input_shape!r}")
        shape = tuple(int(size) for size in shape)
        channels, size = shape[0], shape[1:]
        context_features = as_integer("context_features", context_features, 0)
        context_channels = as_integer("context_channels", context_channels, 0)
        theta_shape = context_shape(context_features, context_channels, size)
        super().__init__(shape, theta_shape, context, chosen, shared_axes=tuple(range(1, len(shape))))
        self.context_features, self.context_channels = context_features, context_channels
        self.size, self.axes = size, len(size)
        self.specs = tuple(layer_spec(entry, "hidden_features", pools=True) for entry in hidden_features)
        self.quadratic = branch_specs(quadratic, "quadratic", Conv(16, 5))
        self.norm = branch_specs(norm, "norm", Conv(16, 5, group=2))
        self.passthrough, self.quadratic_offset = passthrough, chosen.quadratic_offset
        self.U_maps, self.W_maps, self.tail = stages(self.specs, channels, size)
        self.units = layer_units(activation, len(self.U_maps), chosen.negative_slope)
        self.activations = tuple(unit.name for unit in self.units)
        self.x_maps = [repeated(map_, unit.pieces) for map_, unit in zip(self.U_maps, self.units, strict=True)]
        self.A_maps = [Convolution(spec, channels, size) for spec in self.quadratic]
        self.C_maps = [Convolution(spec, channels, size) for spec in self.norm]
        self.beta, self.gamma = BranchWeights.of("beta", self.A_maps), BranchWeights.of("gamma", self.C_maps)
        self.logsumexp, self.logistic = (branch_specs(getattr(chosen, name), name) for name in SMOOTH)
        self.smooth = SmoothFields(self.logsumexp, self.logistic, channels, size)
        self._build(chosen.generator)
        if not passthrough:
            warn_if_units_die(self)

    def _build(self, draw: torch.Generator | None) -> None:
        channels, fields = self.input_shape[0], self.context_channels
        joint = self.context == "joint"
        beside = fields if joint else 0  # context channels next to those of x
        more = self.context_features if joint else 0
        scale = (channels + beside) / channels
        vectors: list[Vector] = []

        def add(
            name: str,
            start: float,
            map_: Chain | Convolution,
            deviation: float,
            *,
            reached: bool = True,
            first: int | None = None,
        ) -> None:
            rows = map_.out_channels
            theta, field = None, None
            if beside and reached:
                field = with_channels(map_, beside)
                theta = deviation * normal(kernel_shape(field), draw)
            elif more and reached:
                theta = deviation * normal((rows, more), draw)
            initial = torch.full((rows, *(1,) * self.axes), start, dtype=torch.float64, device="cpu")
            initial[first:] = 0.0
            vectors.append(Vector(name, initial, theta=theta, field=field, grid=map_.out_size))

        kinds, law = [unit.law for unit in self.units], self.initialiser
        W_fans = [map_.convolution.fan_in for map_ in self.W_maps]
        last = self.U_maps[-1].out_channels if self.U_maps else 0
        shares = law.input_variances([*W_fans, *([last] if last else [])], kinds)
        self.U, self.W = nn.ParameterList(), nn.ModuleList()
        for k, (map_, unit) in enumerate(zip(self.x_maps, self.units, strict=True)):
            inner = map_.convolution
            channels_out = inner.out_channels // unit.pieces
            deviation = math.sqrt((1.0 if k == 0 else shares[k - 1]) / (inner.fan_in * scale + more))
            reached = k == 0 or self.passthrough
            if reached:
                self.U.append(nn.Parameter(deviation * normal(inner.kernel_shape, draw)))
            bias = 0.0
            if k:
                below = self.W_maps[k - 1].convolution
                self.W.append(self.weight(law.weight(below.kernel_shape, below.fan_in, kinds[k - 1], draw)))
                bias = law.bias(below.fan_in, kinds[k - 1])
            add(f"b{k + 1}", bias, map_, deviation, reached=reached, first=channels_out)
        deviation = math.sqrt((shares[-1] if last else 1.0) / (channels + beside + more))
        v = deviation * normal((channels, *(1,) * self.axes), draw)
        vectors.append(Vector("v", v, grid=self.size))
        c = torch.tensor(law.bias(last, kinds[-1]) if last else 0.0, dtype=torch.float64, device="cpu")
        moved = deviation * normal((1, beside or more), draw) if beside or more else None
        vectors.append(Vector("c", c, theta=moved))
        self.A, self.C = nn.ParameterList(), nn.ParameterList()
        for letter, kernels, maps in (("e", self.A, self.A_maps), ("d", self.C, self.C_maps)):
            for index, inner in enumerate(maps, start=1):
                deviation = 1 / math.sqrt(inner.fan_in * scale + more)
                kernels.append(nn.Parameter(deviation * normal(inner.kernel_shape, draw)))
                if letter == "d" or self.quadratic_offset:
                    add(f"{letter}{index}", 0.0, inner, deviation)
        check_joint_offsets(joint, bool((beside or more) and self.A_maps), self.quadratic_offset)
        if last:
            vectors.append(Vector("w", law.weight((last,), last, kinds[-1], draw), positive=True))
        vectors += self.beta.vectors([1.0] * len(self.A_maps))
        vectors += self.gamma.vectors([1 / math.sqrt(rows_of_norm(map_)) for map_ in self.C_maps])
        vectors += self.smooth.build(add, lambda map_: map_.fan_in * scale + more, draw)
        source: VectorSource
        if not fields:
            source = self.source(vectors)
        elif joint:
            source = JointField(vectors, self.axes, self.positivity, self.shared)
        else:
            source = FieldNetwork(vectors, fields, self.size, self.readout, draw)
        self.finish(source)

    def hidden(self, x: Tensor, vectors: dict[str, Tensor]) -> list[Tensor]:
        """Return the images z_1 .. z_L."""
        z: list[Tensor] = []
        kernels = iter(self.U)
        weights = cast("list[Weight]", list(self.W))
        for k, unit in enumerate(self.units):
            a = vectors[f"b{k + 1}"]
            if k == 0 or self.passthrough:
                a = channels_last(self.x_maps[k].apply(x, next(kernels)), self.axes) + a
            below = self.W_maps[k - 1].apply(z[-1], weights[k - 1]()) if z else None
            z.append(unit(a, below, -1 - self.axes))
        return z

    def evaluate(self, x: Tensor, vectors: dict[str, Tensor]) -> Tensor:
        """Return the formula's value."""
        axes = self.axes
        value = (x * vectors["v"]).flatten(-axes).mean(dim=-1).sum(dim=-1) + vectors["c"]
        z = self.hidden(x, vectors)
        if z:
            means = self.tail.apply(z[-1]).flatten(-axes).mean(dim=-1)
            value = value + (means * vectors["w"]).sum(dim=-1)
        for index, (map_, kernel) in enumerate(zip(self.A_maps, self.A, strict=True), start=1):
            p = map_.apply(x, kernel)
            if self.quadratic_offset:
                p = p + vectors[f"e{index}"]
            squares = p.square().flatten(-axes).mean(dim=-2)
            value = value + averaged(self.beta.get(vectors, index - 1), squares, map_)
        for index, (map_, kernel) in enumerate(zip(self.C_maps, self.C, strict=True), start=1):
            u = map_.apply(x, kernel) + vectors[f"d{index}"]
            group = map_.spec.group
            gamma = self.gamma.get(vectors, index - 1)
            if group is None:
                value = value + gamma * torch.linalg.vector_norm(u.flatten(-axes - 1), dim=-1)
            else:
                value = value + averaged(gamma, group_lengths(u, axes, group).mean(dim=-2), map_)
        return value + self.smooth.value(x, vectors)

    @in_evaluation_mode
    def assemble(self, vectors: dict[str, Array]) -> FrozenNet:
        """Return the same as sparse arrays."""
        U, W = iter(self.U), iter(cast("list[Weight]", list(self.W)))
        layers = []
        for k, map_ in enumerate(self.x_maps):
            below = self.W_maps[k - 1].matrix(as_float64(next(W)().double())) if k else None
            passed = map_.matrix(as_float64(next(U).double())) if k == 0 or self.passthrough else None
            field = self._field(vectors[f"b{k + 1}"], map_)
            layers.append(Layer(below, passed, field, smoothing=self.units[k].smoothing))
        w = np.zeros(0)
        if layers:
            positions = int(np.prod(self.tail.out_size))
            w = np.repeat(vectors["w"] / positions, positions, axis=-1) @ self.tail.matrix()
        pixels = int(np.prod(self.size))
        v = self._field(vectors["v"], Chain((), self.input_shape[0], self.size)) / pixels
        layers, output = relu_form(layers, self.units, Output(w, v, vectors["c"]))
        quadratics, norms, placed = [], [], []
        for m, (inner, kernel) in enumerate(zip(self.A_maps, self.A, strict=True)):
            e = self._field(vectors[f"e{m + 1}"], inner) if self.quadratic_offset else None
            matrix, beta = inner.matrix(as_float64(kernel.double())), self.beta.get(vectors, m)
            if inner.spec.per_position:
                placed.append(Positions.of(beta, matrix, e, inner.out_channels))
            else:
                quadratics.append(Quadratic(beta / matrix.shape[0], matrix, e))
        for r, (inner, kernel) in enumerate(zip(self.C_maps, self.C, strict=True)):
            matrix, d = inner.matrix(as_float64(kernel.double())), self._field(vectors[f"d{r + 1}"], inner)
            gamma, group = self.gamma.get(vectors, r), inner.spec.group
            if group is not None and inner.spec.per_position:
                norms += Positions.of(gamma, matrix, d, inner.out_channels).norms(group)
                continue
            if group is not None:
                positions = int(np.prod(inner.out_size))
                order = operators.grouped_rows(inner.out_channels, positions, group)
                matrix, d = matrix[order], d[..., order]
                gamma = gamma / (inner.out_channels // group * positions)
            norms.append(Norm(gamma, matrix, d, group))
        smooth = self.smooth.frozen(vectors, self._field)
        layers, output = with_squares(layers, output, placed)
        return FrozenNet(layers, output, quadratics, norms, self.input_shape, **smooth)

    def _field(self, vector: Array, map_: ImageMap) -> Array:
        """Return a vector, one entry per channel or a whole field, as a flat field."""
        lead = vector.shape[: vector.ndim - 1 - self.axes]
        full = np.broadcast_to(vector, (*lead, map_.out_channels, *map_.out_size))
        return full.reshape(*lead, -1)

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture."""
        return {
            "input_shape": list(self.input_shape),
            "hidden_features": [described(spec) for spec in self.specs],
            "quadratic": [described(spec) for spec in self.quadratic],
            "norm": [described(spec) for spec in self.norm],
            **{name: [described(spec) for spec in specs] for name in SMOOTH if (specs := getattr(self, name))},
            "context_features": self.context_features,
            "context_channels": self.context_channels,
            "context": self.context,
            "activation": list(self.activations),
            **described_slope(self.units),
            "passthrough": self.passthrough,
            "quadratic_offset": self.quadratic_offset,
        }
