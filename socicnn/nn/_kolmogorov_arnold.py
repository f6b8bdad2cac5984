"""Input-convex Kolmogorov-Arnold network of piecewise linear functions (Deschatre and Warin, 2025: P1-ICKAN).

z_kj = sum_i phi_kji(z_{k-1,i}),   z_0 = x,   f(x) = w'z_L + v'x + c,   w >= 0

Each phi is convex and piecewise linear in one variable, with knots that are learnt; beyond the first layer it is
non-decreasing, so that f is convex. With one layer f is a sum of functions of one entry of x each. A context theta
moves the knots of later layers by -b_k(theta), one shift per sum of the layer before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack, cast, final

import numpy as np
import torch
from torch import Tensor, nn

from socicnn._arrays import Array, as_float64
from socicnn._integers import as_integer, is_integer
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.frozen._checks import ArrayCheck
from socicnn.nn._context import Vector
from socicnn.nn._dense import dot
from socicnn.nn._hinges import Hinges, as_units
from socicnn.nn._network import Network
from socicnn.nn._options import DENSE_ONLY, SMOOTH, ContextMode, NetOptions, NetSettings, net_options
from socicnn.positivity._base import Weight, in_evaluation_mode
from socicnn.positivity._initial import normal

JITTER = 0.3  # standard deviation of the logits of the widths at the start, so that functions differ in their knots


@final
class ICKAN(Network):
    """Input-convex Kolmogorov-Arnold network of piecewise linear functions: P1-ICKAN (Deschatre and Warin, 2025).

    z_kj = sum_i phi_kji(z_{k-1,i}), z_0 = x, f(x) = w'z_L + v'x + c with w >= 0. Each phi has `segments` pieces, convex
    by slopes that grow from knot to knot, and goes on straight outside its knots. The widths of the pieces are a
    softmax, over `domain` in the first layer and over the range of the sums before in later ones; there phi is
    non-decreasing. One layer gives the additive network: h n (2 segments + 1) + h + n + 1 parameters.

    Its program is linear.

    Args:
        in_features: length n of x.
        hidden_features: sums h_1 .. h_L of each layer, at least one.
        segments: pieces of each phi, at least 2.
        domain: where the knots of the first layer lie, for standardised x (`fit` standardises).
        context_features: length p of the context theta, 0 for none.
        context: `joint` (knots of later layers and the constant are affine in theta: convex in x and theta together) or
            `partial` (theta sets these and w, v too: convex in x for each theta).
        options: how it is made: recipe, type, device; the law of the start is its own.
        settings: the entries of `NetOptions` as keywords, e.g. `positivity="softplus"`; they go before `options`.

    Raises:
        ModelError: an argument is invalid; the message says which.

    >>> model = ICKAN(5, (8,), positivity="softplus")
    >>> sum(parameter.numel() for parameter in model.parameters()) == 137 * 5 + 9
    True
    >>> model.freeze().hidden_features  # a unit per knot
    (280,)
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: Sequence[int] = (8,),
        *,
        segments: int = 8,
        domain: tuple[float, float] = (-2.0, 2.0),
        context_features: int = 0,
        context: ContextMode = "partial",
        options: NetOptions | None = None,
        **settings: Unpack[NetSettings],
    ) -> None:
        chosen = net_options("ICKAN", options, settings, refused=(*DENSE_ONLY, *SMOOTH, "quadratic_offset"))
        n = as_integer("in_features", in_features)
        if is_integer(hidden_features):
            raise ModelError(f"hidden_features lists the widths, as in ({hidden_features},); received one number")
        widths = tuple(hidden_features)
        if not widths or any(not is_integer(h) or h < 1 for h in widths):
            raise ModelError(f"hidden_features must list integers >= 1, at least one; received {hidden_features!r}")
        ends = as_float64(domain, "domain")
        if ends.shape != (2,) or not np.isfinite(ends).all() or ends[0] >= ends[1]:
            raise ModelError(f"domain must be two finite numbers, the lower one first; received {domain!r}")
        p = as_integer("context_features", context_features, 0)
        super().__init__((n,), (p,) if p else None, context, chosen)
        self.in_features, self.context_features, self.hidden_features = n, p, tuple(int(h) for h in widths)
        self.segments, self.domain = as_integer("segments", segments, 2), (float(ends[0]), float(ends[1]))
        self._build(chosen.generator)

    def _build(self, draw: torch.Generator | None) -> None:
        n, knots = self.in_features, self.segments - 1
        before = (n, *self.hidden_features)
        self.width, self.base = nn.ParameterList(), nn.ParameterList()
        self.slope, self.rise = nn.ModuleList(), nn.ModuleList()
        for k, (m, h) in enumerate(zip(before[:-1], self.hidden_features, strict=True)):
            size = m**-0.5 if k == 0 else 1.0 / m  # slopes of both signs, or an average of the sums before
            rise = 2.0 * size / knots * normal((h, m, knots), draw).abs()
            self.width.append(nn.Parameter(JITTER * normal((h, m, self.segments), draw)))
            self.base.append(nn.Parameter(torch.zeros(h, m, dtype=torch.float64, device="cpu")))
            self.rise.append(self.weight(rise))
            if k == 0:
                first = size * normal((h, m), draw) - rise.sum(dim=-1) / 2
                self.first_slope = nn.Parameter(first)
                with torch.no_grad():  # phi starts at about zero in the middle of the domain
                    self.base[0].sub_(first * (self.domain[1] - self.domain[0]) / 2)
            else:
                self.slope.append(self.weight(size * normal((h, m), draw).abs()))
        slope = n**-0.5 * normal((n,), draw)
        w = torch.full((before[-1],), before[-1] ** -0.5, dtype=torch.float64, device="cpu")
        c = torch.zeros((), dtype=torch.float64, device="cpu")
        p = self.context_features
        theta = lambda rows: (n + p) ** -0.5 * normal((rows, p), draw) if p and self.context == "joint" else None  # noqa: E731 (local shorthand)
        vectors = [Vector("v", slope), Vector("c", c, theta=theta(1)), Vector("w", w, positive=True)]
        for k, h in enumerate(self.hidden_features[:-1] if p else (), start=1):
            vectors.append(Vector(f"b{k}", torch.zeros(h, dtype=torch.float64, device="cpu"), theta=theta(h)))
        self.finish(self.source(vectors))

    def layers(self) -> list[Hinges]:
        """Return the functions of each layer; in later ones the knots spread over the range of the sums before."""
        lower, upper = (torch.full_like(self.first_slope[0], end) for end in self.domain)
        slopes = [self.first_slope, *(weight() for weight in cast("list[Weight]", list(self.slope)))]
        rises = cast("list[Weight]", list(self.rise))
        layers = list[Hinges]()
        for slope, rise, width, base in zip(slopes, rises, self.width, self.base, strict=True):
            if layers:
                lower, upper = layers[-1].image()
            share = torch.softmax(width, dim=-1).cumsum(dim=-1)[..., :-1]
            knot = lower[:, None] + (upper - lower)[:, None] * share
            layers.append(Hinges(base, slope, rise(), knot, lower, upper))
        return layers

    def hidden(self, x: Tensor, vectors: dict[str, Tensor]) -> list[Tensor]:
        """Return z_1 .. z_L."""
        z = [x]
        for k, layer in enumerate(self.layers()):
            z.append(layer.sums(z[-1], vectors.get(f"b{k}")))
        return z[1:]

    def evaluate(self, x: Tensor, vectors: dict[str, Tensor]) -> Tensor:
        """Return the formula's value."""
        return dot(self.hidden(x, vectors)[-1], vectors["w"]) + dot(x, vectors["v"]) + vectors["c"]

    @torch.no_grad()
    @in_evaluation_mode
    def assemble(self, vectors: dict[str, Array]) -> FrozenNet:
        """Return the same as ReLU units, one per knot (`socicnn.nn._hinges`)."""
        layers, check = self.layers(), ArrayCheck(self.in_features)
        for name, weight in self.constrained():  # the sum of slopes in the read-out would hide a negative one
            check.vector(name, as_float64(weight().double()).reshape(1, -1), sign=True)
        shifts = [vectors.get(f"b{k}") for k in range(len(layers))]
        return as_units(layers, shifts, vectors["w"], vectors["v"], vectors["c"])

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture."""
        return {
            "in_features": self.in_features,
            "hidden_features": list(self.hidden_features),
            "segments": self.segments,
            "domain": list(self.domain),
            "context_features": self.context_features,
            "context": self.context,
        }
