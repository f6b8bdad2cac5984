"""What the dense networks share: the ReLU backbone with quadratic and norm branches in parallel.

a_k = W_k z_{k-1} + U_k x + b_k,   z_k = relu(a_k) (or `socicnn.nn._activations`),   W_k >= 0
f(x) = w'z_L + v'x + c + sum_m beta_m ||A_m x + e_m||^2 + sum_r gamma_r ||C_r x + d_r||_2,   w, beta, gamma >= 0

and log-sum-exp and logistic branches (`socicnn.nn._smooth_branches`).

f increases in an entry of x where v is at least what the units can fall by:

N_k = max(W_k N_{k-1} - U_k, 0),   v = v_signed + w'N_L,   v_signed >= 0

since z_k + N_k x increases. So relu(u x) + max(-u, 0) x = max(u_+ x, u_- x) is a unit; units with U >= 0 alone would
have no max(x_1, x_2). N_k is exact for the chain z_k = relu(z_{k-1} + l_{k-1} - l_k) of a maximum of planes l_k: every
one of them may be any plane that increases. A non-negative f has no v, so there U >= 0. The bound holds for every unit
with slopes in [0, 1]; of maxout units N_k is at least -V_k too, V_k the slopes of their second piece.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from socicnn._arrays import Array, as_float64
from socicnn._integers import as_integer, is_integer
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.frozen._checks import ArrayCheck
from socicnn.nn._activations import described_slope, layer_units, refuse_negative
from socicnn.nn._branches import BranchMap, BranchSpec, branch_map, checked
from socicnn.nn._checks import check_joint_offsets
from socicnn.nn._context import ContextNetwork, Vector
from socicnn.nn._network import Network
from socicnn.nn._options import SMOOTH, Activation, ContextMode, NetOptions
from socicnn.nn._relu_form import relu_form
from socicnn.nn._signs import Signs
from socicnn.nn._smooth_branches import SmoothBranches
from socicnn.positivity._base import Weight, in_evaluation_mode
from socicnn.positivity._initial import normal

SPARE = 1e-12  # of the fall, added to v: rounding, also in a change of units, does not turn the sign of a slope


class Dense(Network, ABC):
    """What `ICNN` and `SOCICNN` share; the arguments are those of `SOCICNN`."""

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int],
        quadratic: tuple[BranchSpec, ...],
        norm: tuple[BranchSpec, ...],
        *,
        context_features: int,
        context: ContextMode,
        activation: Activation | Sequence[Activation],
        passthrough: bool,
        options: NetOptions,
    ) -> None:
        n = as_integer("in_features", in_features)
        p = as_integer("context_features", context_features, 0)
        super().__init__((n,), (p,) if p else None, context, options)
        self.in_features, self.context_features = n, p
        if is_integer(hidden_features):
            raise ModelError(f"hidden_features lists the widths, as in ({hidden_features},); received one number")
        if any(not is_integer(h) or h < 1 for h in hidden_features):
            raise ModelError(f"hidden_features must be integers >= 1; received {hidden_features!r}")
        self.hidden_features = tuple(int(h) for h in hidden_features)
        self.units = layer_units(activation, len(self.hidden_features), options.negative_slope)
        self.activations = tuple(unit.name for unit in self.units)
        self.passthrough, self.quadratic_offset = passthrough, options.quadratic_offset
        self.quadratic, self.norm = quadratic, norm
        self.logsumexp, self.logistic = (checked(getattr(options, name), n, name) for name in SMOOTH)
        self.context_hidden = as_integer("context_hidden", options.context_hidden, 0)
        self.context_activation = options.context_activation
        draw = options.generator
        self.signs = Signs.of(options.monotone, n)
        self.nonnegative = options.nonnegative
        if self.nonnegative:
            refuse_negative(self.units)
        signs = self.signs
        joint = p if self.context == "joint" else 0
        fan_in = n + joint

        def theta(rows: int, deviation: float) -> Tensor | None:
            return deviation * normal((rows, joint), draw) if joint else None

        widths = self.hidden_features
        laws = [unit.law for unit in self.units]
        shares = self.initialiser.input_variances(widths, laws)
        self.U = nn.ParameterList()
        self.signed = nn.ModuleList()  # of a non-negative f: |weights| of the monotone entries, one matrix per U
        self.W = nn.ModuleList()
        vectors: list[Vector] = []
        for k, (h, unit) in enumerate(zip(widths, self.units, strict=True)):
            reached, pieces = k == 0 or passthrough, unit.pieces
            deviation = math.sqrt((1.0 if k == 0 else shares[k - 1]) / fan_in)
            if reached:
                start = deviation * normal((h, n), draw)
                if pieces > 1:
                    start = torch.cat([start, fan_in**-0.5 * normal((h, n), draw)])
                self.U.append(nn.Parameter(start[:, signs.free] if signs and self.nonnegative else start))
                if signs and self.nonnegative:
                    self.signed.append(self.weight(start[:, signs.bound].abs()))
            bias = 0.0
            if k:
                below, kind = widths[k - 1], laws[k - 1]
                self.W.append(self.weight(self.initialiser.weight((h, below), below, kind, draw)))
                bias = self.initialiser.bias(below, kind)
            moved = theta(h, deviation) if reached else None
            if moved is not None and pieces > 1:
                moved = torch.cat([moved, fan_in**-0.5 * normal(moved.shape, draw)])
            level = torch.full((pieces * h,), bias, dtype=torch.float64, device="cpu")
            level[h:] = 0.0
            vectors.append(Vector(f"b{k + 1}", level, theta=moved))
        deviation = math.sqrt((shares[-1] if widths else 1.0) / fan_in)
        constant = self.initialiser.bias(widths[-1], laws[-1]) if widths else 0.0
        slope = deviation * normal((n,), draw)
        if not self.nonnegative:
            vectors.append(Vector("v", slope[signs.free] if signs else slope))
            if signs:
                vectors.append(Vector("v_signed", slope[signs.bound].abs(), positive=True))
        level = torch.tensor(max(constant, 0.5) if self.nonnegative else constant, dtype=torch.float64, device="cpu")
        moved = None if self.nonnegative else theta(1, deviation)
        vectors.append(Vector("c", level, positive=self.nonnegative, theta=moved))
        reach = len(signs.free) if signs else n  # entries of x that branches act on
        if not reach and (quadratic or norm or self.logsumexp or self.logistic):
            raise ModelError("quadratic and norm branches need an entry of x that is not monotone; give () for both")
        if self.nonnegative and self.logsumexp:
            raise ModelError("a log-sum-exp may be negative: a non-negative network has none; leave logsumexp out")
        self.A = nn.ModuleList(branch_map(entry, reach, fan_in, draw) for entry in quadratic)
        self.C = nn.ModuleList(branch_map(entry, reach, fan_in, draw) for entry in norm)
        kinds = self.logsumexp, self.logistic
        self.smooth = SmoothBranches(*([branch_map(entry, reach, fan_in, draw) for entry in kind] for kind in kinds))
        maps = [("e", self.quadratics)] * self.quadratic_offset + [("d", self.norms)]
        for letter, branches in maps:
            for index, branch in enumerate(branches, start=1):
                zeros, moved = (
                    torch.zeros(branch.rows, dtype=torch.float64, device="cpu"),
                    theta(branch.rows, fan_in**-0.5),
                )
                vectors.append(Vector(f"{letter}{index}", zeros, theta=moved))
        check_joint_offsets(bool(joint), bool(quadratic), self.quadratic_offset)
        if widths:
            w = self.initialiser.weight((widths[-1],), widths[-1], laws[-1], draw)
            vectors.append(Vector("w", w, positive=True))
        for name, power, branches in (("beta", -1.0, self.quadratics), ("gamma", -0.5, self.norms)):
            if branches:
                starts = torch.tensor([branch.rows**power for branch in branches], dtype=torch.float64, device="cpu")
                vectors.append(Vector(name, starts, positive=True))
        vectors += self.smooth.vectors(lambda rows: theta(rows, fan_in**-0.5))
        if p and not joint:
            emitted = ContextNetwork(
                vectors, p, self.readout, draw, hidden=self.context_hidden, activation=self.context_activation
            )
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
        branches = quadratics + norms + self.smooth.maps
        full = [branch.full for branch in branches if branch.full is not None]
        value = vectors["c"] if self.nonnegative else dot(x, self._slope(vectors)) + vectors["c"]
        if self.signs:
            inputs = [nn.functional.linear(x, matrix) for matrix in self.input_weights()]
            x = x[..., self.signs.free]  # all that the branches see
            products = iter([*inputs, *(nn.functional.linear(x, matrix) for matrix in full)])
        else:
            products = iter(_products(x, [*self.U, *full]))
        z = self._layers(products, vectors)
        if z:
            value = value + dot(z[-1], vectors["w"])
        for index, branch in enumerate(quadratics, start=1):
            p = branch.image(x, next(products) if branch.full is not None else x)
            if self.quadratic_offset:
                p = p + vectors[f"e{index}"]
            value = value + vectors["beta"][..., index - 1] * p.square().sum(dim=-1)
        first = 0
        for run in _runs(norms):
            # norms of equal length as one tensor: many narrow ones cost no more than a wide one
            d = torch.cat([vectors[f"d{index + 1}"] for index in range(first, first + run)], dim=-1)
            some = norms[first : first + run]
            images = [branch.image(x, next(products) if branch.full is not None else x) for branch in some]
            u = (torch.cat(images, dim=-1) + d).unflatten(-1, (run, -1))
            value = value + dot(torch.linalg.vector_norm(u, dim=-1), vectors["gamma"][..., first : first + run])
            first += run
        return value + self.smooth.value(x, products, vectors)

    def hidden(self, x: Tensor, vectors: dict[str, Tensor]) -> list[Tensor]:
        """Return z_1 .. z_L."""
        return self._layers((nn.functional.linear(x, U) for U in self.input_weights()), vectors)

    def input_weights(self) -> list[Tensor]:
        """Return the matrices U_k, each of shape `(h_k, n)`."""
        if not self.signed:
            return list(self.U)
        return [self.signs.joined(free, held()) for free, held in zip(self.U, self.signed, strict=True)]

    def _slope(self, vectors: dict[str, Tensor]) -> Tensor:
        """Return v: in the monotone entries what the units can fall by, and more."""
        if not self.signs:
            return vectors["v"]
        rise = vectors["v_signed"]
        if self.hidden_features:
            rise = rise + (1 + SPARE) * (vectors["w"] @ self.fall(rise.dtype))
        return self.signs.joined(vectors["v"], rise)

    def fall(self, dtype: torch.dtype) -> Tensor:
        """Return N_L: how fast the last units can fall as a monotone entry moves its way, shape `(h_L, entries)`."""
        rises = iter([self.signs.turned(matrix.to(dtype)) for matrix in self.input_weights()])
        below = iter(self.hidden_weights)
        fall: Tensor | None = None
        for h in self.hidden_features:
            fall = None if fall is None else next(below)().to(dtype) @ fall
            if fall is None or self.passthrough:
                first, *others = next(rises).split(h)
                fall = torch.relu(-first if fall is None else fall - first)
                for rise in others:
                    fall = torch.maximum(fall, -rise)
        assert fall is not None, "there are layers"
        return fall

    def _layers(self, products: Iterator[Tensor], vectors: dict[str, Tensor]) -> list[Tensor]:
        W, z = self.hidden_weights, list[Tensor]()
        for k, unit in enumerate(self.units):
            a = vectors[f"b{k + 1}"]
            if k == 0 or self.passthrough:
                a = next(products) + a
            z.append(unit(a, nn.functional.linear(z[-1], W[k - 1]()) if z else None))
        return z

    @in_evaluation_mode
    def assemble(self, vectors: dict[str, Array]) -> FrozenNet:
        """Return the same as arrays."""
        self._refuse_wrong_signs(vectors)
        signs = self.signs
        U = iter(self.input_weights())
        W = iter(self.hidden_weights)
        layers = []
        for k in range(len(self.hidden_features)):
            weight = as_float64(next(W)().double()) if k else None
            passed = as_float64(next(U).double()) if k == 0 or self.passthrough else None
            layers.append(Layer(weight, passed, vectors[f"b{k + 1}"], smoothing=self.units[k].smoothing))
        output = Output(vectors.get("w", torch.zeros(0).numpy()), self._frozen_slope(vectors), vectors["c"])
        layers, output = relu_form(layers, self.units, output)
        return FrozenNet(
            layers=layers,
            output=output,
            quadratics=[
                Quadratic(vectors["beta"][..., m], signs.spread(branch.frozen()), vectors.get(f"e{m + 1}"))
                for m, branch in enumerate(self.quadratics)
            ],
            norms=[
                Norm(vectors["gamma"][..., r], signs.spread(branch.frozen()), vectors[f"d{r + 1}"])
                for r, branch in enumerate(self.norms)
            ],
            **self.smooth.frozen(vectors, signs.spread),
        )

    def _refuse_wrong_signs(self, vectors: dict[str, Array]) -> None:
        """Check what a FrozenNet cannot know: the weights that make f monotone, and the constant that f stays above."""
        check = ArrayCheck(self.in_features)
        for k, weight in enumerate(self.signed):
            sizes = as_float64(weight().double())
            check.matrix(f"U{k + 1} in monotone entries, times their signs,", sizes, None, sizes.shape[1], sign=True)
        if "v_signed" in vectors:
            check.vector("v in monotone entries, times their signs,", np.atleast_2d(vectors["v_signed"]), sign=True)
        if self.nonnegative:
            check.number("c of a non-negative network", np.atleast_1d(vectors["c"]), sign=True)

    def _frozen_slope(self, vectors: dict[str, Array]) -> Array:
        if self.nonnegative:
            return np.zeros((*vectors["c"].shape, self.in_features))
        named = [name for name in ("v", "v_signed", "w") if name in vectors]
        return self._slope({name: torch.from_numpy(vectors[name]) for name in named}).detach().numpy()

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
            **described_slope(self.units),
            **({"monotone": list(self.signs.signs)} if self.signs else {}),
            **({"nonnegative": True} if self.nonnegative else {}),
        }


def _products(x: Tensor, matrices: list[Tensor]) -> Sequence[Tensor]:
    """Return the product of x with each matrix, by one matrix product."""
    sizes = [len(matrix) for matrix in matrices]
    return nn.functional.linear(x, torch.cat(matrices)).split(sizes, dim=-1) if matrices else ()


def _runs(branches: Sequence[BranchMap]) -> list[int]:
    """Return the lengths of the runs of consecutive branches with equal numbers of rows."""
    return [len(list(run)) for _, run in groupby(branch.rows for branch in branches)]


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return a'b along the last axis, for b a vector or vectors whose leading axes broadcast with those of a."""
    return a @ b if b.ndim == 1 else (a * b).sum(dim=-1)
