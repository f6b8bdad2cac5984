"""Recurrent SOC-ICNN over a finite horizon T: convex in the whole sequence x = (x_1, ..., x_T).

z_t = relu(W_t z_{t-1} + U_t x_t + b_t),   W_t >= 0,   z_0 = 0
f(x) = w'z_T + sum_t v_t'x_t + c + quadratic and norm branches, affine in the whole sequence inside
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias, Unpack, cast, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from socicnn._arrays import Array, as_float64
from socicnn._integers import as_integer, is_integer
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Logistic, LogSumExp, Norm, Output, Quadratic
from socicnn.nn._activations import described_slope, layer_units
from socicnn.nn._branch_weights import BranchWeights, with_squares
from socicnn.nn._branches import BranchSpec
from socicnn.nn._checks import check_joint_offsets, context_shape
from socicnn.nn._context import Vector, VectorSource
from socicnn.nn._fields import FieldNetwork, JointField
from socicnn.nn._geometry import Conv, Convolution, described
from socicnn.nn._network import Network
from socicnn.nn._options import DENSE_ONLY, SMOOTH, Activation, ContextMode, NetOptions, NetSettings, net_options
from socicnn.nn._relu_form import relu_form
from socicnn.nn._sequence_branches import SequenceBranch, TimeBranch, checked, sequence_branch
from socicnn.nn._smooth_branches import weights
from socicnn.positivity._base import in_evaluation_mode
from socicnn.positivity._initial import normal

SequenceSpec: TypeAlias = "BranchSpec | Conv | dict[str, Any]"
RADIUS = 0.9  # largest spectral radius of W at the start: a unit's influence fades over about ten steps


@final
class RecurrentSOCICNN(Network):
    """Recurrent SOC-ICNN.

    Start: W by the initialiser, then scaled down by s so that its spectral radius is at most 0.9 (every weight is
    non-negative, so that a larger one would make z_t grow without bound); the bias is s times the law's, and U has the
    variance that keeps the mean square of pre-activations at one.

    Args:
        input_shape: (T, p): horizon and features of a step.
        hidden_features: width h.
        quadratic: what each quadratic branch does with the sequence: rows of a full matrix on the flattened sequence,
            "diagonal" or ("diagonal", rows), summed as in `SOCICNN`; or a `Conv` over time, averaged as in
            `ConvSOCICNN`. Defaults to one `Conv(24, 5)`.
        norm: the same for the norm branches; defaults to one `Conv(24, 5, group=2)`.
        shared: whether all steps share W, U and b; otherwise each has its own.
        context_features: length of a context that is a vector, 0 for none.
        context_channels: features q of a context that is a sequence `(T, q)`, 0 for none.
        context: `joint` (theta next to x, convex in both; a sequence enters each step through one matrix) or `partial`
            (theta sets biases, offsets, read-out and branch weights, step by step where it is a sequence).
        activation: `relu`, `softplus`, `leaky_relu` or `maxout`.
        options: how it is made: recipe, law of the start, type, device.
        settings: the entries of `NetOptions` as keywords, e.g. `positivity="lift"`; they go before `options`.

    Raises:
        ModelError: an argument is invalid; the message says which.

    >>> model = RecurrentSOCICNN((6, 2), hidden_features=4, quadratic=("diagonal",), norm=(Conv(4, 3, group=2), 3))
    >>> model(torch.zeros(5, 6, 2)).shape
    torch.Size([5])
    >>> model.freeze().hidden_features
    (4, 4, 4, 4, 4, 4)
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        hidden_features: int = 20,
        quadratic: Sequence[SequenceSpec] | None = None,
        norm: Sequence[SequenceSpec] | None = None,
        *,
        shared: bool = True,
        context_features: int = 0,
        context_channels: int = 0,
        context: ContextMode = "partial",
        activation: Activation = "relu",
        options: NetOptions | None = None,
        **settings: Unpack[NetSettings],
    ) -> None:
        chosen = net_options("RecurrentSOCICNN", options, settings, refused=DENSE_ONLY)
        shape = tuple(input_shape)
        if len(shape) != 2 or any(not is_integer(size) or size < 1 for size in shape):
            raise ModelError(f"input_shape must be (T, features), both >= 1; received {input_shape!r}")
        hidden_features = as_integer("hidden_features", hidden_features)
        T, p = shape = tuple(int(size) for size in shape)
        context_features = as_integer("context_features", context_features, 0)
        context_channels = as_integer("context_channels", context_channels, 0)
        channels_first = context_shape(context_features, context_channels, (T,), "a sequence")
        theta_shape = channels_first and channels_first[::-1]  # (T, channels): steps come first in a sequence
        super().__init__(shape, theta_shape, context, chosen, shared_axes=(0,))
        self.steps, self.features, self.hidden_features = T, p, hidden_features
        self.context_features, self.context_channels = context_features, context_channels
        self.shared_weights, self.quadratic_offset = shared, chosen.quadratic_offset
        (self.unit,) = layer_units(activation, 1, chosen.negative_slope)
        self.activation = self.unit.name
        self.quadratic = checked(quadratic, "quadratic", Conv(24, 5))
        self.norm = checked(norm, "norm", Conv(24, 5, group=2))
        self.logsumexp, self.logistic = (checked(getattr(chosen, name), name) for name in SMOOTH)
        self._build(chosen.generator)

    def _build(self, draw: torch.Generator | None) -> None:
        T, p, h, law, kind = self.steps, self.features, self.hidden_features, self.initialiser, self.unit.law
        joint = self.context == "joint"
        q, more = (self.context_channels, self.context_features) if joint else (0, 0)
        repeats = 1 if self.shared_weights else T
        W, scale = _contracting(law.weight((max(1, repeats - 1), h, h), h, kind, draw))
        (share,) = law.input_variances([h], [kind])
        fan_in = p + q + more
        deviations = torch.sqrt(1 - scale**2 * (1 - share))
        deviations = deviations if repeats == 1 else torch.cat([torch.ones(1, device="cpu"), deviations])[:T]
        U = deviations[:, None, None] * normal((repeats, h, p), draw) / math.sqrt(fan_in)
        if self.unit.pieces > 1:
            U = torch.cat([U, normal((repeats, h, p), draw) / math.sqrt(fan_in)], dim=1)
        self.U = nn.Parameter(U)
        self.W = self.weight(W) if T > 1 else None
        biases = scale * law.bias(h, kind)
        biases = biases if repeats == 1 else torch.cat([torch.zeros(1, device="cpu"), biases])[:T]
        field = self.context_channels > 0
        vectors: list[Vector] = []

        def theta(rows: int, deviation: float) -> Tensor | None:
            return deviation * normal((rows, more), draw) if more else None

        width = 1 if self.shared_weights or (field and not joint) else T
        start = biases.mean() if width == 1 else biases
        rows = h * self.unit.pieces
        b = start * torch.ones(rows, width, dtype=torch.float64, device="cpu")
        b[h:] = 0.0
        inner = Convolution(Conv(rows, 1), q, (T,)) if q else None
        kernel = float(deviations.mean()) * normal(inner.kernel_shape, draw) / math.sqrt(fan_in) if inner else None
        moved = theta(rows * width, float(deviations.mean()) / math.sqrt(fan_in)) if more else kernel
        vectors.append(Vector("b", b, theta=moved, field=inner, grid=(T,)))
        last = math.sqrt(share / (T * p + q + more))
        columns = 1 if field and not joint else T
        vectors.append(Vector("v", last * normal((p, columns), draw), grid=(T,)))
        c = torch.tensor(law.bias(h, kind), dtype=torch.float64, device="cpu")
        vectors.append(Vector("c", c, theta=last * normal((1, q or more), draw) if q or more else None))
        self.A, self.C, self.G, self.S = (nn.ModuleList() for _ in range(4))
        kinds = [("e", self.A, self.quadratic), ("d", self.C, self.norm)]
        kinds += [("o", self.G, self.logsumexp), ("s", self.S, self.logistic)]
        for letter, branches, specs in kinds:
            for index, spec in enumerate(specs, start=1):
                branch = sequence_branch(spec, T, p, q, more, draw)
                branches.append(branch)
                if letter != "e" or self.quadratic_offset:
                    vectors.append(branch.offset(f"{letter}{index}", q, more, draw))
        check_joint_offsets(joint, bool((q or more) and self.quadratic), self.quadratic_offset)
        vectors.append(Vector("w", law.weight((h,), h, kind, draw), positive=True))
        self.beta, self.gamma = (
            BranchWeights.of(name, [branch.map for branch in maps])
            for name, maps in (("beta", self.quadratics), ("gamma", self.norms))
        )
        vectors += self.beta.vectors([branch.start for branch in self.quadratics])
        vectors += self.gamma.vectors([math.sqrt(branch.start) for branch in self.norms])
        vectors += weights(len(self.G), [branch.weights for branch in self.logistics])
        source: VectorSource
        if not field:
            source = self.source(vectors)
        elif joint:
            source = JointField(vectors, 1, self.positivity, self.shared, channels_last=True)
        else:
            source = FieldNetwork(vectors, self.context_channels, (T,), self.readout, draw, channels_last=True)
        self.finish(source)

    @property
    def quadratics(self) -> list[SequenceBranch]:
        """The quadratic branches' maps."""
        return cast("list[SequenceBranch]", list(self.A))

    @property
    def norms(self) -> list[SequenceBranch]:
        """The norm branches' maps."""
        return cast("list[SequenceBranch]", list(self.C))

    @property
    def logsumexps(self) -> list[SequenceBranch]:
        """The log-sum-exp branches' maps."""
        return cast("list[SequenceBranch]", list(self.G))

    @property
    def logistics(self) -> list[SequenceBranch]:
        """The logistic branches' maps."""
        return cast("list[SequenceBranch]", list(self.S))

    def hidden(self, x: Tensor, vectors: dict[str, Tensor]) -> list[Tensor]:
        """Return z_1 .. z_T."""
        product = (
            nn.functional.linear(x, self.U[0]) if len(self.U) == 1 else torch.einsum("...tp,thp->...th", x, self.U)
        )
        a = (product + vectors["b"].transpose(-1, -2)).unbind(dim=-2)
        z = [self.unit(a[0])]
        if self.W is not None:
            W = self.W()
            for t in range(1, self.steps):
                z.append(self.unit(a[t], nn.functional.linear(z[-1], W[min(t, len(W)) - 1])))
        return z

    def evaluate(self, x: Tensor, vectors: dict[str, Tensor]) -> Tensor:
        """Return the formula's value."""
        value = (x * vectors["v"].transpose(-1, -2)).sum(dim=(-1, -2)) + vectors["c"]
        value = value + (self.hidden(x, vectors)[-1] * vectors["w"]).sum(dim=-1)
        for m, branch in enumerate(self.quadratics):
            p = branch.image(x)
            p = p + vectors[f"e{m + 1}"] if self.quadratic_offset else p
            value = value + branch.square(p, self.beta.get(vectors, m))
        for r, branch in enumerate(self.norms):
            value = value + branch.length(branch.image(x) + vectors[f"d{r + 1}"], self.gamma.get(vectors, r))
        for j, branch in enumerate(self.logsumexps):
            value = value + vectors["alpha"][..., j] * branch.log_sum_exp(branch.image(x) + vectors[f"o{j + 1}"])
        for j, branch in enumerate(self.logistics, start=1):
            value = value + branch.logistic(branch.image(x) + vectors[f"s{j}"], vectors[f"omega{j}"])
        return value

    @in_evaluation_mode
    def assemble(self, vectors: dict[str, Array]) -> FrozenNet:
        """Return the unrolled network as arrays, one layer per step."""
        T, p, h = self.steps, self.features, self.hidden_features * self.unit.pieces
        U = as_float64(self.U.double())
        W = None if self.W is None else as_float64(self.W().double())
        b = np.broadcast_to(vectors["b"], (*vectors["b"].shape[:-1], T))
        layers = []
        for t in range(T):
            step = sparse.csr_array(U[min(t, len(U) - 1)])
            columns = (step.indices + t * p, step.indptr)
            passed = sparse.csr_array((step.data, *columns), shape=(h, T * p))
            below = None if t == 0 or W is None else W[min(t, len(W)) - 1]
            layers.append(Layer(below, passed, b[..., t], smoothing=self.unit.smoothing))
        v = np.broadcast_to(vectors["v"], (*vectors["v"].shape[:-1], T)).swapaxes(-1, -2)
        quadratics, norms, placed = [], [], []
        for m, branch in enumerate(self.quadratics):
            beta, e = self.beta.get(vectors, m), vectors[f"e{m + 1}"] if self.quadratic_offset else None
            if self.beta.grids[m] is not None:
                placed.append(cast(TimeBranch, branch).placed(beta, e))
                continue
            matrix, e, share = branch.frozen(e, squared=True)
            quadratics.append(Quadratic(beta * share, matrix, e))
        for r, branch in enumerate(self.norms):
            gamma, start = self.gamma.get(vectors, r), vectors[f"d{r + 1}"]
            if self.gamma.grids[r] is not None:
                norms += cast(TimeBranch, branch).placed(gamma, start).norms(cast(int, branch.group))
                continue
            matrix, d, share = branch.frozen(start, squared=False)
            norms.append(Norm(gamma * share, matrix, d, branch.group))
        smooth: dict[str, Any] = {"logsumexps": [], "logistics": []}
        for j, branch in enumerate(self.logsumexps):
            matrix, o, share = branch.frozen(vectors[f"o{j + 1}"], squared=False)
            smooth["logsumexps"].append(LogSumExp(vectors["alpha"][..., j] * share, matrix, o, branch.group))
        for j, branch in enumerate(self.logistics, start=1):
            matrix, s, _ = branch.frozen(vectors[f"s{j}"], squared=True)
            smooth["logistics"].append(Logistic(branch.row_weights(vectors[f"omega{j}"]), matrix, s))
        output = Output(vectors["w"], v.reshape(*v.shape[:-2], -1), vectors["c"])
        made, output = with_squares(*relu_form(layers, [self.unit] * T, output), placed)
        return FrozenNet(made, output, quadratics, norms, self.input_shape, **smooth)

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture."""
        return {
            "input_shape": list(self.input_shape),
            "hidden_features": self.hidden_features,
            "quadratic": [_described(spec) for spec in self.quadratic],
            "norm": [_described(spec) for spec in self.norm],
            **{name: [_described(spec) for spec in specs] for name in SMOOTH if (specs := getattr(self, name))},
            "shared": self.shared_weights,
            "context_features": self.context_features,
            "context_channels": self.context_channels,
            "context": self.context,
            "activation": self.activation,
            **described_slope([self.unit]),
            "quadratic_offset": self.quadratic_offset,
        }


def _contracting(W: Tensor) -> tuple[Tensor, Tensor]:
    """Return non-negative matrices `(count, h, h)` scaled to a spectral radius of at most 0.9, and the scales."""
    try:
        radius = torch.linalg.eigvals(W).abs().amax(dim=-1)
    except RuntimeError:  # no convergence, e.g. for 20 x 20 equal entries; no radius is above the largest sum
        radius = torch.minimum(W.sum(dim=-1).amax(dim=-1), W.sum(dim=-2).amax(dim=-1))
    scale = (RADIUS / radius).clamp(max=1.0)
    return scale[:, None, None] * W, scale


def _described(spec: BranchSpec | Conv) -> Any:
    if isinstance(spec, Conv):
        return described(spec)
    return list(spec) if isinstance(spec, tuple) else spec
