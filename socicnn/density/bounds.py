"""A bracket around log Z of a convex energy on the real line: chords below, tangents above, tails included."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from socicnn.errors import ModelError
from socicnn.integers import is_integer


def bracket(energy: Callable[[Tensor], Tensor], lower: float, upper: float, points: int = 4096) -> tuple[float, float]:
    """Return lo <= log Z <= hi, Z the integral of exp(-E) over the whole line, up to rounding.

    Between neighbouring points a convex E lies below its chord and above its two tangents, and beyond the last point
    above its tangent, so that the tail is at most exp(-E(b)) / E'(b); all these integrals are elementary. No smoothness
    is needed, and hi - lo = O(h^2) plus the tails.

    Args:
        energy: convex E, from x of shape `(count, 1)` to values of shape `(count,)`, differentiable by autograd.
        lower: first point.
        upper: last point; E must rise there and fall at `lower`, else hi is infinite.
        points: number of points.

    Raises:
        ModelError: fewer than two points, an empty interval, or energies that are not convex along the points.

    >>> lo, hi = bracket(lambda x: 0.5 * x[:, 0].square(), -8.0, 8.0)
    >>> lo <= 0.5 * math.log(2 * math.pi) <= hi, hi - lo < 1e-5
    (True, True)
    """
    if not is_integer(points) or points < 2 or not -math.inf < lower < upper < math.inf:
        raise ModelError(f"a bracket needs lower < upper and points >= 2; received {lower}, {upper}, {points!r}")
    x = torch.linspace(lower, upper, points, dtype=torch.float64).requires_grad_()
    E = energy(x[:, None]).double()
    (g,) = torch.autograd.grad(E.sum(), x)
    x, E = x.detach(), E.detach()
    h = x.diff()
    rounding = 1e-9 * (1 + E.abs().max())
    if bool((g.diff() < -rounding / h.min()).any()):
        raise ModelError("the energies are not convex along the interval; finalise the network before bounding log Z")
    inside = torch.logsumexp(_log_segment(E[:-1], E.diff() / h, h), dim=0)
    # the tangents at both ends of an interval cross at x_i + s
    rise = g[1:] - g[:-1]
    s = torch.where(rise > 0, (E[:-1] - E[1:] + g[1:] * h) / torch.where(rise > 0, rise, 1.0), h / 2).clamp(0.0, None)
    s = torch.minimum(s, h)
    parts = [_log_segment(E[:-1], g[:-1], s), _log_segment(E[1:], -g[1:], h - s)]
    tails = torch.stack([_log_tail(E[0], -g[0]), _log_tail(E[-1], g[-1])])
    return float(inside), float(torch.logsumexp(torch.cat([*parts, tails]), dim=0))


def _log_segment(E: Tensor, slope: Tensor, length: Tensor) -> Tensor:
    """Return log of the integral of exp(-E - slope t) for t in [0, length]."""
    z = slope * length
    small = z.abs() < 1e-6
    safe = torch.where(small, 1.0, z)
    ratio = torch.where(small, 1 - z / 2, -torch.expm1(-safe) / safe)  # (1 - e^-z) / z
    return length.log() - E + ratio.log()


def _log_tail(E: Tensor, slope: Tensor) -> Tensor:
    """Return log of exp(-E) / slope, infinite where the energy does not rise."""
    return torch.where(slope > 0, -E - slope.clamp(min=1e-300).log(), torch.inf)
