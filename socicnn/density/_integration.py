"""Integrals over a box by Gauss-Kronrod panels: log Z of an energy, with an error estimate, differentiable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np
import torch
from numpy.polynomial.legendre import legvander
from torch import Tensor

from socicnn.density._estimate import Estimate
from socicnn.density._points import box_ends, per_axis
from socicnn.density._rule import Rule, check_values
from socicnn.errors import ModelError
from socicnn.nn._checks import as_dtype

# the 15-point Kronrod rule on [-1, 1] and the 7-point Gauss rule inside it (Piessens et al., QUADPACK, 1983)
_HALF = [
    0.991455371120812639206854697526329,
    0.949107912342758524526189684047851,
    0.864864423359769072789712788640926,
    0.741531185599394439863864773280788,
    0.586087235467691130294144691258378,
    0.405845151377397166906606412076961,
    0.207784955007898467600689403773245,
]
_KRONROD = [
    0.022935322010529224963732008058970,
    0.063092092629978553290700663189204,
    0.104790010322250183839876322541518,
    0.140653259715525918745189590510238,
    0.169004726639267902826583426598550,
    0.190350578064785409913256402421014,
    0.204432940075298892414161999234649,
]
_KRONROD_MIDDLE = 0.209482141084727828012999174891714
_GAUSS = [
    0.129484966168869693270611432679082,
    0.279705391489276667901467771423780,
    0.381830050505118944950369775488975,
]
_GAUSS_MIDDLE = 0.417959183673469387755102040816327
NODES = np.array([*(-x for x in _HALF), 0.0, *reversed(_HALF)])
FINE = np.array([*_KRONROD, _KRONROD_MIDDLE, *reversed(_KRONROD)])
COARSE = np.zeros(15)
COARSE[1::2] = [*_GAUSS, _GAUSS_MIDDLE, *reversed(_GAUSS)]
# null rules: orthogonal, zero on polynomials of degree 10, with the norm of FINE - COARSE (Berntsen and Espelid, 1991)
NULLS = np.linalg.norm(FINE - COARSE) * np.linalg.qr(legvander(NODES, 14))[0][:, 11:].T
PANELS = {1: (12,), 2: (3, 2)}  # default panels per axis: 180 and 1,350 nodes


@final
@dataclass(frozen=True, eq=False)
class Quadrature(Rule):
    """Nodes and weights on a box: integral of f ~ sum_i exp(log_weight_i) f(node_i).

    Each axis is cut into panels of 15 Kronrod nodes, exact for polynomials of degree 22 on each panel; every second
    node belongs to a Gauss rule of 7. The error is estimated from the difference of the two, and from null rules.

    Args:
        nodes: shape `(count, n)`, the last axis of the box running fastest.
        log_weights: logarithms of the weights, shape `(count,)`.
        coarse: the same for the Gauss rules, -inf at the nodes that they leave out.
        lower: least coordinates of the box.
        upper: largest coordinates of the box.
    """

    nodes: Tensor
    log_weights: Tensor
    coarse: Tensor
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def error(self, energies: Tensor) -> Tensor:
        """Return |log Z - log Z_Gauss|, or what the null rules find in single panels if larger: usually too large.

        The two rules may agree by chance where E has a kink, and panels with errors of different signs hide each other.
        The null rules, four for each axis, vanish on polynomials of degree 10 in that coordinate. What they find in a
        panel is the root of the sum of their squares; the error is the sum over the panels.
        """
        log_z = self.log_partition(energies)
        apart = (log_z - torch.logsumexp(self.coarse - energies, dim=-1)).abs()
        shares = self._panels(torch.exp(self.log_weights - energies - log_z[..., None]))
        rules, n = torch.as_tensor(NULLS / FINE).to(shares), self.nodes.shape[1]
        nulls = [_summed(shares, [k - n for k in range(n) if k != axis]) @ rules.T for axis in range(n)]
        return torch.maximum(torch.linalg.vector_norm(torch.cat(nulls, dim=-1), dim=-1).sum(dim=-1), apart)

    def _panels(self, values: Tensor) -> Tensor:
        """Return values at the nodes, shape `(*batch, count)`, as `(*batch, panels, 15)`, of two axes with 15 twice."""
        lead, n = values.ndim - 1, self.nodes.shape[1]
        counts = [len(column.unique()) // len(NODES) for column in self.nodes.T]
        split = values.reshape(*values.shape[:-1], *(size for count in counts for size in (count, len(NODES))))
        places = [*range(lead), *range(lead, lead + 2 * n, 2), *range(lead + 1, lead + 2 * n, 2)]
        return split.permute(places).reshape(*values.shape[:-1], math.prod(counts), *[len(NODES)] * n)

    @torch.no_grad()
    def outside(self, energies: Tensor) -> Tensor:
        """Return about the share of the mass of exp(-E) that lies outside the box, for a convex E.

        The marginal law of each coordinate is log-concave (Prekopa, 1973): beyond the last node its density falls at
        least as fast as between the last two, so that a tail is at most exp(-e - s d) / s, e the marginal energy at
        the last node, s the slope before it and d the distance to the end. In one dimension this is a bound, up to the
        error of the quadrature; in two the marginals are those of the law cut to the box.

        Args:
            energies: E at the nodes, shape `(count,)`.
        """
        log_z = torch.logsumexp(self.log_weights - energies, dim=-1)
        if not bool(torch.isfinite(log_z)):
            return torch.ones_like(log_z)
        tails = []
        for axis, (a, b) in enumerate(zip(self.lower, self.upper, strict=True)):
            x, e = self._marginal(energies, axis)
            tails += [_log_tail(x[1] - x[0], e[0] - e[1], e[0], x[0] - a)]
            tails += [_log_tail(x[-1] - x[-2], e[-1] - e[-2], e[-1], b - x[-1])]
        return 1 - torch.exp(log_z - torch.logsumexp(torch.stack([log_z, *tails]), dim=0))

    def _marginal(self, energies: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Return the nodes of an axis and minus the log of the mass per length there."""
        axes = [column.unique() for column in self.nodes.T]
        sizes, others = [len(x) for x in axes], [other for other in range(len(axes)) if other != axis]
        mass = _total((self.log_weights - energies).reshape(sizes), others)
        weight = _total(self.log_weights.reshape(sizes), others)
        across = sum(math.log(self.upper[other] - self.lower[other]) for other in others)
        return axes[axis], weight - across - mass

    def estimate(self, energies: Tensor) -> Estimate:
        """Return log Z, with the error of the quadrature and the share of the mass outside the box."""
        values = check_values(energies, len(self.log_weights)).detach().double()
        error, outside = self.error(values), self.outside(values)
        return Estimate(float(self.log_partition(values)), error=float(error), outside=float(outside))

    def check(self, points: Tensor) -> None:
        """Refuse points outside the box: log Z counts no mass there.

        Raises:
            ModelError: a point outside.
        """
        lower, upper = points.new_tensor(self.lower), points.new_tensor(self.upper)
        out = ((points < lower) | (points > upper)).any(dim=1)
        if bool(out.any()):
            row = int(out.nonzero()[0])
            raise ModelError(
                f"{int(out.sum())} of {len(points)} points lie outside the quadrature's box from {list(self.lower)} to "
                f"{list(self.upper)}, the first in row {row}: log Z counts no mass there; take a larger box"
            )

    def draw(self, generator: torch.Generator | None = None) -> Self:
        """Return the rule itself: nothing is random."""
        return self


def quadrature(
    lower: float | Sequence[float],
    upper: float | Sequence[float],
    panels: int | Sequence[int] | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Quadrature:
    """Return the product rule on a box of one or two dimensions.

    Args:
        lower: least coordinates; a number in one dimension.
        upper: largest coordinates; the same.
        panels: number of panels of each axis, 15 nodes each, a number in one dimension; defaults to 12 in one
            dimension and 3 x 2 in two.
        dtype: floating type; defaults to torch's.
        device: where the tensors live.

    Raises:
        ModelError: more dimensions than two, an empty box, panels that do not fit, or nodes that the type does not tell
            apart.

    >>> rule = quadrature([-8.0], [8.0], dtype=torch.float64)
    >>> energies = 0.5 * rule.nodes.square().sum(dim=1)
    >>> round(float(rule.log_partition(energies)), 12) == round(0.5 * math.log(2 * math.pi), 12)
    True
    """
    low, high = box_ends(lower, upper)
    n = len(low)
    if n not in PANELS:
        raise ModelError(
            f"quadrature covers one or two dimensions; received {n}: estimate log Z with `importance` instead"
        )
    counts = PANELS[n] if panels is None else per_axis(panels, n)
    if counts is None:
        raise ModelError(f"panels must be {n} integers >= 1; received {panels!r}")
    axes = [_axis(a, b, count) for a, b, count in zip(low, high, counts, strict=True)]
    grid = np.stack(np.meshgrid(*(axis[0] for axis in axes), indexing="ij"), axis=-1).reshape(-1, n)
    fine, coarse = axes[0][1], axes[0][2]
    for _, more, fewer in axes[1:]:
        fine, coarse = np.multiply.outer(fine, more).ravel(), np.multiply.outer(coarse, fewer).ravel()
    with np.errstate(divide="ignore"):
        made = [torch.as_tensor(array) for array in (grid, np.log(fine), np.log(coarse))]
    made = [tensor.to(device=device, dtype=as_dtype(dtype)) for tensor in made]
    for axis, (x, _, _) in enumerate(axes):
        if len(made[0][:, axis].unique()) < len(x):
            kind = str(made[0].dtype).removeprefix("torch.")
            raise ModelError(
                f"{kind} does not tell all nodes between {low[axis]:g} and {high[axis]:g} apart; take points nearer to "
                "zero (subtract their mean), fewer panels, or dtype=torch.float64"
            )
    return Quadrature(made[0], made[1], made[2], low, high)


def _summed(values: Tensor, axes: Sequence[int]) -> Tensor:
    return values.sum(dim=tuple(axes)) if axes else values


def _total(logs: Tensor, axes: Sequence[int]) -> Tensor:
    return torch.logsumexp(logs, dim=tuple(axes)) if axes else logs


def _log_tail(step: Tensor, rise: Tensor, energy: Tensor, distance: Tensor) -> Tensor:
    """Return log of exp(-e - s d) / s, s = rise / step; infinite where the energy does not rise."""
    slope = rise / step
    log_tail = -energy - slope * distance.clamp(min=0.0) - slope.clamp(min=1e-300).log()
    grown = torch.where(slope > 0, log_tail, torch.inf)
    return torch.where(torch.isposinf(energy), -torch.inf, grown)


def _axis(a: float, b: float, panels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    half = (b - a) / (2 * panels)
    centres = a + half * (2 * np.arange(panels) + 1)
    return (centres[:, None] + half * NODES).ravel(), np.tile(half * FINE, panels), np.tile(half * COARSE, panels)
