"""A bracket around log Z of a convex energy on the real line: chords below, tangents above, tails included."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from socicnn._integers import is_integer, is_number
from socicnn.density._base import check_energy
from socicnn.errors import ModelError

ROUNDING = 16 * torch.finfo(torch.float64).eps  # of a few operations, relative to their largest intermediate value
CONVEX = 1e-9  # how far neighbouring tangents may lie above the energy, relative to the energies there


def log_partition_bounds(
    energy: Callable[[Tensor], Tensor], lower: float, upper: float, points: int = 4096
) -> tuple[float, float]:
    """Return lo <= log Z <= hi, both finite, Z the integral of exp(-E) over the whole line.

    Between neighbouring points a convex E lies below its chord and above its two tangents, and beyond the last point
    above its tangent, so that the tail is at most exp(-E(b)) / E'(b); all these integrals are elementary. No smoothness
    is needed, and hi - lo = O(h^2) plus the tails. Where E is infinite its law has no mass: the tangent at the last
    point of finite energy counts up to the next point, nothing beyond. Both ends are moved outward by a bound of the
    rounding of these formulas; E and its slopes are taken as they are evaluated.

    Args:
        energy: convex E, from x of shape `(count, 1)` in float64 to values of shape `(count,)`, differentiable by
            autograd; +inf outside the support.
        lower: first point; E falls there, or is infinite.
        upper: last point; E rises there, or is infinite.
        points: number of points.

    Raises:
        ModelError: fewer than two points; an empty interval, or one that float64 does not resolve; energies that are
            NaN, infinite at all points but one, or not convex along the points; a flow in place of an energy; or no
            finite bracket: E does not fall at `lower` or does not rise at `upper`.

    >>> lo, hi = log_partition_bounds(lambda x: 0.5 * x[:, 0].square(), -8.0, 8.0)
    >>> lo <= 0.5 * math.log(2 * math.pi) <= hi, hi - lo < 1e-5
    (True, True)
    """
    check_energy(energy)
    x, E, g = _evaluate(energy, _grid(lower, upper, points))
    finite = torch.isfinite(E).nonzero()[:, 0]
    first, last = int(finite[0]), int(finite[-1]) + 1
    ends = (x[first] - x[first - 1] if first else None, x[last] - x[last - 1] if last < len(x) else None)
    x, E, g = x[first:last], E[first:last], g[first:last]
    h = x.diff()
    _check_convex(x, E, g)
    _check_tails(g, ends)
    chords, below = _log_segment(E[:-1], E[1:], E.diff(), h)
    s = _crossing(E, g, h)
    parts = [_log_tangent(E[:-1], g[:-1], s), _log_tangent(E[1:], -g[1:], h - s)]
    parts += [_log_tail(E[0], -g[0], ends[0]), _log_tail(E[-1], g[-1], ends[1])]
    above = torch.cat([(value + rounding).reshape(-1) for value, rounding in parts])
    count = ROUNDING * math.log2(len(above) + 1)
    lo, hi = float(torch.logsumexp(chords - below, dim=0)), float(torch.logsumexp(above, dim=0))
    lo, hi = lo - count * (1 + abs(lo)), hi + count * (1 + abs(hi))
    if not -math.inf < lo <= hi < math.inf:
        raise ModelError(
            f"energies up to {float(E.abs().max()):.1e} leave no bracket in float64 (ends {lo} and {hi}); subtract "
            "their minimum, or take a narrower interval"
        )
    return lo, hi


def _grid(lower: float, upper: float, points: int) -> Tensor:
    finite = is_number(lower) and is_number(upper) and -math.inf < lower < upper < math.inf
    if not is_integer(points) or points < 2 or not finite:
        raise ModelError(f"a bracket needs lower < upper and points >= 2; received {lower!r}, {upper!r}, {points!r}")
    x = torch.linspace(lower, upper, points, dtype=torch.float64)
    if not bool((x.diff() > 0).all() and torch.isfinite(x.diff()).all()):
        raise ModelError(f"float64 does not resolve {points} points between {lower:g} and {upper:g}; take fewer")
    return x


def _evaluate(energy: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the points, the energies and their slopes, checked; energies may be +inf, slopes are finite elsewhere."""
    with torch.enable_grad():
        x = x.requires_grad_()
        E = energy(x[:, None]).double()
        if E.shape != x.shape or not E.requires_grad:
            raise ModelError(
                f"an energy maps x of shape ({len(x)}, 1) to values of shape ({len(x)},) by differentiable torch "
                f"operations; received values of shape {tuple(E.shape)}" + ("" if E.requires_grad else " without graph")
            )
        (g,) = torch.autograd.grad(E.sum(), x)
    x, E = x.detach(), E.detach()
    for bad, what in ((E.isnan(), "NaN"), (torch.isneginf(E), "-inf")):
        if bool(bad.any()):
            where = float(x[int(bad.nonzero()[0])])
            raise ModelError(f"the energy is {what} at x = {where:g}; return +inf where the law has no mass")
    finite = torch.isfinite(E)
    if int(finite.sum()) < 2:
        raise ModelError(f"the energy is finite at {int(finite.sum())} of {len(x)} points; narrow the interval")
    bad = finite & ~torch.isfinite(g)
    if bool(bad.any()):
        where = float(x[int(bad.nonzero()[0])])
        raise ModelError(f"the slope of the energy is not finite at x = {where:g}; move the ends off that point")
    return x, E, g


def _check_convex(x: Tensor, E: Tensor, g: Tensor) -> None:
    """Refuse values and slopes that belong to no convex function: E_j >= E_i + g_i (x_j - x_i) for neighbours."""
    h = x.diff()
    tolerance = CONVEX * (1 + E[:-1].abs() + E[1:].abs())
    bad = (g[:-1] * h - E.diff() > tolerance) | (E.diff() - g[1:] * h > tolerance)
    if not bool(torch.isfinite(E).all() and not bad.any()):
        raise ModelError("the energies are not convex along the interval; finalise the network before bounding log Z")


def _check_tails(g: Tensor, ends: tuple[Tensor | None, Tensor | None]) -> None:
    """Refuse an energy that does not grow towards an end beyond which it is finite: its integral has no bound."""
    for slope, end, what in ((-g[0], ends[0], "fall at the lower end"), (g[-1], ends[1], "rise at the upper end")):
        if end is None and not bool(slope > 0):
            raise ModelError(
                f"log Z has no finite upper bound: the energy does not {what} of the interval; widen it until the "
                "energy does, or add strong convexity"
            )


def _crossing(E: Tensor, g: Tensor, h: Tensor) -> Tensor:
    """Return where in [0, h] the tangents at both ends cross; any other point would give a valid bound, too."""
    rise = g[1:] - g[:-1]
    s = (E[:-1] - E[1:] + g[1:] * h) / rise
    s = torch.where((rise > 0) & torch.isfinite(s), s, h / 2).clamp(min=0.0)
    return torch.minimum(s, h)


def _log_tangent(E: Tensor, slope: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return log of the integral of exp(-E - slope t) for t in [0, length], and a bound of its rounding."""
    rise = slope * length
    return _log_segment(E, E + rise, rise, length)


def _log_segment(E: Tensor, end: Tensor, rise: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Return log of the integral over a length of exp(-t), t from E to `end` = E + rise on a straight line.

    It is log length - min(E, end) + log((1 - e^-a) / a), a = |rise|: the larger end is taken out, so that nothing
    overflows, however steep the line is. The second result bounds the rounding.
    """
    a = rise.abs()
    small = a < 1e-6
    safe = torch.where(small, 1.0, a)
    ratio = torch.where(small, -a / 2, (-torch.expm1(-safe)).log() - safe.log())
    log_length = length.log()
    value = log_length - torch.minimum(E, end) + ratio
    # where the low end is E + rise, it carries the rounding of both
    scale = 1 + torch.where(end < E, E.abs() + end.abs(), E.abs()) + torch.where(length > 0, log_length.abs(), 0.0)
    return value, ROUNDING * (scale + torch.where(small, 0.0, ratio.abs()))


def _log_tail(E: Tensor, slope: Tensor, length: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return log of exp(-E) / slope, infinite where E does not rise; over a length where E is infinite beyond it."""
    if length is not None:
        return _log_tangent(E, slope, length)
    value = torch.where(slope > 0, -E - slope.clamp(min=5e-324).log(), torch.inf)
    return value, ROUNDING * (1 + E.abs() + value.abs().nan_to_num(posinf=0.0))
