"""Dense networks: the ReLU backbone (`ICNN`), and with quadratic and norm branches beside it (`SOCICNN`).

a_k = W_k z_{k-1} + U_k x + b_k,   z_k = relu(a_k),   W_k >= 0
f(x) = w'z_L + v'x + c + sum_m beta_m ||A_m x + e_m||^2 + sum_r gamma_r ||C_r x + d_r||_2,   w, beta, gamma >= 0
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Iterator, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from socicnn.arrays import Array, as_float64
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.nn.activations import ACTIVATIONS, activation_names, refuse_smooth
from socicnn.nn.branches import BranchMap, BranchSpec, branch_map, checked
from socicnn.nn.context import CODE, ContextNetwork, Vector
from socicnn.nn.network import Means, Network
from socicnn.positivity.base import Recipe, Weight
from socicnn.positivity.initial import Initialiser, normal


class Dense(Network, ABC):
    """What `ICNN` and `SOCICNN` share; the arguments are those of `SOCICNN`."""

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int],
        quadratic: tuple[BranchSpec, ...],
        norm: tuple[BranchSpec, ...],
        context_features: int,
        context: str,
        activation: str | Sequence[str],
        passthrough: bool,
        quadratic_offset: bool,
        context_hidden: int,
        context_activation: str,
        means: Means,
    ) -> None:
        n, p = in_features, context_features
        for name, size, least in (("in_features", n, 1), ("context_features", p, 0)):
            if not isinstance(size, int) or size < least:
                raise ModelError(f"{name} must be an integer >= {least}; received {size!r}")
        super().__init__((n,), (p,) if p else None, context, means)
        self.in_features, self.context_features = n, p
        self.hidden_features = tuple(hidden_features)
        if any(not isinstance(h, int) or h < 1 for h in self.hidden_features):
            raise ModelError(f"hidden_features must be integers >= 1; received {hidden_features!r}")
        self.activations = activation_names(activation, len(self.hidden_features))
        self.passthrough, self.quadratic_offset = passthrough, quadratic_offset
        self.quadratic, self.norm = quadratic, norm
        self.context_hidden, self.context_activation = context_hidden, context_activation
        draw = means.generator
        joint = p if self.context == "joint" else 0
        fan_in = n + joint

        def theta(rows: int, deviation: float) -> Tensor | None:
            return deviation * normal((rows, joint), draw) if joint else None

        widths = self.hidden_features
        shares = self.initialiser.input_variances(widths, self.activations)
        self.U = nn.ParameterList()
        self.W = nn.ModuleList()
        vectors: list[Vector] = []
        for k, h in enumerate(widths):
            reached = k == 0 or passthrough
            deviation = math.sqrt((1.0 if k == 0 else shares[k - 1]) / fan_in)
            if reached:
                self.U.append(nn.Parameter(deviation * normal((h, n), draw)))
            bias = 0.0
            if k:
                below, kind = widths[k - 1], self.activations[k - 1]
                self.W.append(self.weight(self.initialiser.weight((h, below), below, kind, draw)))
                bias = self.initialiser.bias(below, kind)
            moved = theta(h, deviation) if reached else None
            vectors.append(Vector(f"b{k + 1}", torch.full((h,), bias, dtype=torch.float64), theta=moved))
        deviation = math.sqrt((shares[-1] if widths else 1.0) / fan_in)
        constant = self.initialiser.bias(widths[-1], self.activations[-1]) if widths else 0.0
        vectors.append(Vector("v", deviation * normal((n,), draw)))
        vectors.append(Vector("c", torch.tensor(constant, dtype=torch.float64), theta=theta(1, deviation)))
        self.A = nn.ModuleList(branch_map(entry, n, fan_in, draw) for entry in quadratic)
        self.C = nn.ModuleList(branch_map(entry, n, fan_in, draw) for entry in norm)
        maps = [("e", self.quadratics)] * quadratic_offset + [("d", self.norms)]
        for letter, branches in maps:
            for index, branch in enumerate(branches, start=1):
                zeros, moved = torch.zeros(branch.rows, dtype=torch.float64), theta(branch.rows, fan_in**-0.5)
                vectors.append(Vector(f"{letter}{index}", zeros, theta=moved))
        if joint and not quadratic_offset and quadratic:
            raise ModelError("a joint context enters the quadratics through their offsets; leave quadratic_offset True")
        if widths:
            w = self.initialiser.weight((widths[-1],), widths[-1], self.activations[-1], draw)
            vectors.append(Vector("w", w, positive=True))
        for name, power, branches in (("beta", -1.0, self.quadratics), ("gamma", -0.5, self.norms)):
            if branches:
                starts = torch.tensor([branch.rows**power for branch in branches], dtype=torch.float64)
                vectors.append(Vector(name, starts, positive=True))
        if p and not joint:
            emitted = ContextNetwork(vectors, p, self.readout, draw, context_hidden, context_activation)
            self.finish(emitted)
        else:
            self.finish(self.source(vectors))

    @property
    def quadratics(self) -> list[BranchMap]:
        """Maps A_m of the quadratic branches."""
        return cast("list[BranchMap]", list(self.A))

    @property
    def norms(self) -> list[BranchMap]:
        """Maps C_r of the norm branches."""
        return cast("list[BranchMap]", list(self.C))

    @property
    def hidden_weights(self) -> list[Weight]:
        """Holders of W_2 .. W_L; call one to read the weight."""
        return cast("list[Weight]", list(self.W))

    def evaluate(self, x: Tensor, vectors: dict[str, Tensor]) -> Tensor:
        """Return the formula's value; everything linear in x is one matrix product."""
        quadratics, norms = self.quadratics, self.norms
        branches = quadratics + norms
        matrices = [*self.U, *(branch.full for branch in branches if branch.full is not None)]
        sizes = [len(matrix) for matrix in matrices]
        products = iter(nn.functional.linear(x, torch.cat(matrices)).split(sizes, dim=-1) if matrices else ())
        value = _dot(x, vectors["v"]) + vectors["c"]
        z = self._layers(products, vectors)
        if z:
            value = value + _dot(z[-1], vectors["w"])
        for index, branch in enumerate(quadratics, start=1):
            p = branch.image(x, next(products) if branch.full is not None else x)
            if self.quadratic_offset:
                p = p + vectors[f"e{index}"]
            value = value + vectors["beta"][..., index - 1] * p.square().sum(dim=-1)
        for index, branch in enumerate(norms, start=1):
            u = branch.image(x, next(products) if branch.full is not None else x) + vectors[f"d{index}"]
            value = value + vectors["gamma"][..., index - 1] * torch.linalg.vector_norm(u, dim=-1)
        return value

    def hidden(self, x: Tensor, vectors: dict[str, Tensor]) -> list[Tensor]:
        """Return z_1 .. z_L."""
        return self._layers((nn.functional.linear(x, U) for U in self.U), vectors)

    def _layers(self, products: Iterator[Tensor], vectors: dict[str, Tensor]) -> list[Tensor]:
        W, z = self.hidden_weights, list[Tensor]()
        for k, name in enumerate(self.activations):
            a = vectors[f"b{k + 1}"]
            if k == 0 or self.passthrough:
                a = next(products) + a
            if z:
                a = nn.functional.linear(z[-1], W[k - 1]()) + a
            z.append(ACTIVATIONS[name](a))
        return z

    def assemble(self, vectors: dict[str, Array]) -> FrozenNet:
        """Return the same as arrays."""
        refuse_smooth(self.activations)
        U = iter(self.U)
        W = iter(self.hidden_weights)
        layers = []
        for k in range(len(self.hidden_features)):
            weight = as_float64(next(W)().double()) if k else None
            passed = as_float64(next(U).double()) if k == 0 or self.passthrough else None
            layers.append(Layer(weight, passed, vectors[f"b{k + 1}"]))
        return FrozenNet(
            layers=layers,
            output=Output(vectors.get("w", torch.zeros(0).numpy()), vectors["v"], vectors["c"]),
            quadratics=[
                Quadratic(vectors["beta"][..., m], branch.frozen(), vectors.get(f"e{m + 1}"))
                for m, branch in enumerate(self.quadratics)
            ],
            norms=[
                Norm(vectors["gamma"][..., r], branch.frozen(), vectors[f"d{r + 1}"])
                for r, branch in enumerate(self.norms)
            ],
        )

    def _described(self) -> dict[str, Any]:
        return {
            "in_features": self.in_features,
            "hidden_features": list(self.hidden_features),
            "context_features": self.context_features,
            "context": self.context,
            "activation": list(self.activations),
            "passthrough": self.passthrough,
            "context_hidden": self.context_hidden,
            "context_activation": self.context_activation,
        }


@final
class ICNN(Dense):
    """Input-convex network f(x) = w'z_L + v'x + c (Amos, Xu and Kolter, 2017): a `SOCICNN` without branches.

    Args:
        in_features: length n of x.
        hidden_features: widths h_1 .. h_L; empty for an affine function.
        context_features: length p of the context theta, 0 for none.
        context: `joint` (convex in x and theta together) or `partial` (convex in x for each theta).
        activation: `relu` or `softplus`, one name or one a layer; softplus networks have no conic program.
        passthrough: whether x enters the layers after the first.
        positivity: recipe that keeps W and w non-negative, or its short name.
        initialiser: law of the weights at the start, or its short name.
        readout: recipe whose `emit` reads a context network's outputs; that of `positivity` where None.
        context_hidden: width of a partial context's network; 0 for vectors affine in theta.
        context_activation: its activation, `silu` or `relu`.
        generator: source of the initial weights; torch's own where None.
        dtype: floating type; torch's default where None.
        device: where the tensors live.

    >>> model = ICNN(3, hidden_features=(8,))
    >>> model(torch.zeros(5, 3)).shape
    torch.Size([5])
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int] = (64, 64),
        *,
        context_features: int = 0,
        context: str = "partial",
        activation: str | Sequence[str] = "relu",
        passthrough: bool = True,
        positivity: Recipe | str = "projected",
        initialiser: Initialiser | str = "principled",
        readout: Recipe | str | None = None,
        context_hidden: int = CODE,
        context_activation: str = "silu",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        means = Means(positivity, readout, initialiser, generator, dtype, device)
        super().__init__(
            in_features,
            hidden_features,
            (),
            (),
            context_features,
            context,
            activation,
            passthrough,
            True,
            context_hidden,
            context_activation,
            means,
        )
        if not passthrough:
            self.warn_if_units_die()

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture."""
        return self._described()


@final
class SOCICNN(Dense):
    """SOC-ICNN: the ReLU backbone with quadratic and Euclidean-norm branches.

    f(x) = w'z_L + v'x + c + sum_m beta_m ||A_m x + e_m||^2 + sum_r gamma_r ||C_r x + d_r||_2

    Start: U_1, A, C ~ N(0, 1/n), later U_k, v and all W, w, b_k, c by the initialiser, e = d = 0, beta = 1/rows,
    gamma = 1/sqrt(rows); in `joint` mode n + p takes the place of n. What a partial context emits starts at the same
    values (`socicnn.nn.context`).

    Args:
        in_features: length n of x.
        hidden_features: widths h_1 .. h_L; empty for no hidden layer.
        quadratic: rows of each quadratic branch; instead of a number "diagonal" (n rows, one a coordinate) or
            ("diagonal", k) (k full rows more), which export sparse. One of n rows where None, () for none.
        norm: the same for the norm branches.
        context_features: length p of the context theta, 0 for none.
        context: `joint` (theta beside x everywhere, branches included: convex in x and theta together) or `partial`
            (theta sets biases, offsets, read-out and branch weights: convex in x for each theta).
        activation: `relu` or `softplus`, one name or one a layer; softplus networks have no conic program.
        passthrough: whether x enters the layers after the first.
        quadratic_offset: whether the quadratic branches have offsets e_m.
        positivity: recipe that keeps W, w, beta, gamma non-negative, or its short name.
        initialiser: law of the weights at the start, or its short name.
        readout: recipe whose `emit` reads a context network's outputs; that of `positivity` where None.
        context_hidden: width of a partial context's network; 0 for vectors affine in theta.
        context_activation: its activation, `silu` or `relu`.
        generator: source of the initial weights; torch's own where None.
        dtype: floating type; torch's default where None.
        device: where the tensors live.

    Raises:
        ModelError: an argument that cannot be; the message names it.

    >>> model = SOCICNN(3, hidden_features=(8,), quadratic=("diagonal",), norm=(2, 2), context_features=4)
    >>> model(torch.zeros(5, 7, 3), torch.zeros(5, 1, 4)).shape
    torch.Size([5, 7])
    >>> len(model.freeze(torch.zeros(4)).norms)
    2
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int] = (64, 64),
        quadratic: Sequence[BranchSpec] | None = None,
        norm: Sequence[BranchSpec] | None = None,
        *,
        context_features: int = 0,
        context: str = "partial",
        activation: str | Sequence[str] = "relu",
        passthrough: bool = True,
        quadratic_offset: bool = True,
        positivity: Recipe | str = "projected",
        initialiser: Initialiser | str = "principled",
        readout: Recipe | str | None = None,
        context_hidden: int = CODE,
        context_activation: str = "silu",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        means = Means(positivity, readout, initialiser, generator, dtype, device)
        super().__init__(
            in_features,
            hidden_features,
            checked(quadratic, in_features, "quadratic"),
            checked(norm, in_features, "norm"),
            context_features,
            context,
            activation,
            passthrough,
            quadratic_offset,
            context_hidden,
            context_activation,
            means,
        )
        if not passthrough:
            self.warn_if_units_die()

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture."""
        branches = {
            name: [list(entry) if isinstance(entry, tuple) else entry for entry in entries]
            for name, entries in (("quadratic", self.quadratic), ("norm", self.norm))
        }
        return {**self._described(), **branches, "quadratic_offset": self.quadratic_offset}


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return a @ b if b.ndim == 1 else (a * b).sum(dim=-1)
