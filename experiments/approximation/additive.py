"""The mean squared error of an additive P1-ICKAN and its gradient, written out: a twentieth of the time of autograd.

f(x) = sum_i g_i(x_i) + v'x + c, where g_i collects the functions of coordinate i: pieces between all their knots. With
the points of a coordinate in order, the sums over the points beyond a knot, which value and slopes consist of, are
differences of cumulative sums. Everything is in float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from socicnn.nn import ICKAN

Named = dict[str, Tensor]


def is_additive(network: Any) -> bool:
    """Return whether `AdditiveMeanSquare` knows this network: a P1-ICKAN of one layer, weights as squares."""
    return isinstance(network, ICKAN) and len(network.hidden_features) == 1


class AdditiveMeanSquare:
    """The mean of (f(x) - y)^2 over points, and its gradient.

    Args:
        network: gives the architecture; its weights are not read.
        x: points in standardised units, shape `(points, d)`.
        y: values there.
    """

    def __init__(self, network: Any, x: Tensor, y: Tensor) -> None:
        self.sizes = {name: parameter.shape for name, parameter in network.named_parameters()}
        (self.lower, self.upper), self.x, self.y = network.domain, x.double(), y.double()
        self.sorted, self.order = self.x.T.contiguous().sort(dim=1)  # (d, points)
        self.rank = self.order.argsort(dim=1)

    @torch.no_grad()
    def __call__(self, flat: Tensor) -> tuple[float, Tensor]:
        """Return the mean and its gradient at a vector of all numbers."""
        slopes = torch.zeros_like(flat, dtype=torch.float64)
        at, into = self.views(flat.double()), self.views(slopes)
        w, rise = at["vectors.positive.w.raw"].square(), at["rise.0.raw"].square()
        share = torch.softmax(at["width.0"], dim=-1)
        knot = self.lower + (self.upper - self.lower) * share.cumsum(dim=-1)[..., :-1]
        flat_knot = self.by_coordinate(knot)
        beyond = torch.searchsorted(self.sorted, flat_knot, right=True)  # the first point beyond each knot
        bends = self.value(w, rise, flat_knot, beyond)
        straight = w @ at["first_slope"]
        offset = w @ at["base.0"].sum(dim=1) + at["vectors.free.c"].sum()
        error = bends + (self.x - self.lower) @ straight + self.x @ at["vectors.free.v"] + offset - self.y
        slope = error * (2 / len(error))
        total, moment = slope.sum(), slope @ self.x
        into["vectors.free.c"] += total
        into["vectors.free.v"] += moment
        into["base.0"] += (w * total)[:, None]
        lifted = moment - self.lower * total
        into["first_slope"] += w[:, None] * lifted
        sums, reached = self.beyond_knots(slope, flat_knot, beyond, knot.shape)
        of_w = at["base.0"].sum(dim=1) * total + at["first_slope"] @ lifted + (rise * reached).sum(dim=(1, 2))
        into["vectors.positive.w.raw"] += 2 * at["vectors.positive.w.raw"] * of_w
        into["rise.0.raw"] += 2 * at["rise.0.raw"] * w[:, None, None] * reached
        self.spread(-w[:, None, None] * rise * sums, share, into["width.0"])
        return float(error.square().mean()), slopes.to(flat.dtype)

    def views(self, flat: Tensor) -> Named:
        """Return the parts of a vector of all numbers, by the names of the network's parameters."""
        parts = flat.split([shape.numel() for shape in self.sizes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.sizes.items(), parts, strict=True)}

    def by_coordinate(self, part: Tensor) -> Tensor:
        """Return values of shape `(functions, d, knots)` as `(d, functions * knots)`."""
        return part.transpose(0, 1).flatten(1)

    def value(self, w: Tensor, rise: Tensor, knot: Tensor, beyond: Tensor) -> Tensor:
        """Return the sum of all rises times max(x_i - knot, 0) at every point."""
        scaled = self.by_coordinate(w[:, None, None] * rise)
        grow = self.sorted.new_zeros(2, len(self.sorted), len(self.x) + 1)
        grow[0].scatter_add_(1, beyond, scaled)
        grow[1].scatter_add_(1, beyond, scaled * knot)
        slope, constant = grow[..., :-1].cumsum(dim=-1)
        return (slope * self.sorted - constant).gather(1, self.rank).sum(dim=0)

    def beyond_knots(self, slope: Tensor, knot: Tensor, beyond: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Return the sums of the slopes, and of slopes times (x_i - knot), over the points beyond each knot."""
        h, d, knots = shape
        ordered = slope[self.order]
        cumulative = self.sorted.new_zeros(2, d, len(slope) + 1)
        torch.cumsum(torch.stack([ordered, ordered * self.sorted]), dim=-1, out=cumulative[..., 1:])
        sums, moments = (part[:, -1:] - part.gather(1, beyond) for part in cumulative)
        return tuple(part.view(d, h, knots).transpose(0, 1) for part in (sums, moments - knot * sums))

    def spread(self, of_knot: Tensor, share: Tensor, into: Tensor) -> None:
        """Add to the slopes in the widths' logits what comes from the knots."""
        # knot_k has the shares of the pieces up to k
        of_share = (self.upper - self.lower) * of_knot.flip(-1).cumsum(dim=-1).flip(-1)
        of_share = torch.nn.functional.pad(of_share, (0, 1))
        into += share * (of_share - (share * of_share).sum(dim=-1, keepdim=True))
