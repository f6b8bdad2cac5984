"""Convex torch modules of a user's own as a surrogate.

They are no arrays, but they can be evaluated, with their kinks smoothed from below: f_delta(y) less its Frank-Wolfe
gap is a lower bound of f over X. The multipliers of such a bound are the tangent itself: y, its slope, its height and
delta.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from decision._minimise.local import REACH, WIDER, within
from decision._minimise.own_size import OwnSize
from decision._minimise.reference import ROWS
from decision._minimise.rim import polished, rim_bound
from decision._minimise.smoothing import NARROW, Smoothing
from decision._minimise.stack import Dual
from decision._minimise.surrogate import Proof, Reach, Tangent
from decision._minimise.units import Units
from decision.sets import Box
from decision.sets._base import FeasibleSet
from socicnn.errors import ModelError

ROUNDING = 2.0**-50  # of the terms of a bound
TWICE = 2.0  # as wide as the first box: a wider set begins there where the slope grows fast
LARGEST_RIM = 1000  # inputs up to which a Hessian, n products with a vector, is worth its time
HESSIANS = 2**22  # entries of Hessians at a time
TOO_MANY = (
    f"A bound over a box that is much wider than the function's own lengths takes a Hessian, which is computed for at "
    f"most {LARGEST_RIM:,} inputs; a narrower box needs none."
)


@final
@dataclass(frozen=True, eq=False)
class ModuleSurrogate:
    """A copy of a module in float64, one value per row of x and its context, divided by `unit`.

    The module may use relu and Euclidean norms where they are followed by non-decreasing functions, and twice
    differentiable functions anywhere, as convex networks do.

    Args:
        module: called as `module(x, theta)`, or as `module(x)`, convex in x; x comes in the shape that its attribute
            `input_shape` names, if it has one.
        theta: contexts, shape `(contexts, p)`.
        unit: what 1 here is in units of the module's value, shape `(contexts,)`.
        stretch: what 1 here is in units of the module's x.
        plain: whether it takes no context; theta is then left out.
        reason: why there is no program.
        own: what its size is measured by; None before that is asked for.
    """

    module: nn.Module
    theta: Tensor
    unit: Tensor
    stretch: float
    plain: bool
    reason: str
    own: OwnSize | None = None
    proves: ClassVar[bool] = False
    finer: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        model: nn.Module,
        theta: Tensor | None,
        reason: str,
        device: torch.device | str | None = None,
    ) -> ModuleSurrogate:
        """Return a module at contexts, None for a module that is called as `model(x)`.

        Raises:
            ModelError: contexts of another shape, or that are not finite.
        """
        rows = torch.zeros(1, 0, dtype=torch.float64) if theta is None else _checked(model, theta)
        module = copy.deepcopy(model).to(device or "cpu").double().eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        rows = rows.to(device or "cpu")
        return cls(module, rows, rows.new_ones(len(rows)), 1.0, theta is None, reason)

    def __len__(self) -> int:
        return len(self.theta)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.theta.device

    @property
    def wider(self) -> float:
        """How many times as wide the next part of a box is: not much, where a slope grows fast."""
        return TWICE if self.own is not None and bool(self.own.grows.any()) else WIDER

    @property
    def constant(self) -> Tensor:
        """Return zeros: a module's constant is not known."""
        return torch.zeros_like(self.unit)

    def take(self, rows: Tensor) -> ModuleSurrogate:
        """Return the functions of some contexts."""
        own = None if self.own is None else self.own.take(rows)
        return replace(self, theta=self.theta[rows], unit=self.unit[rows], own=own)

    def in_units(self, units: Units) -> tuple[ModuleSurrogate, Units]:
        """Return the functions in other units."""
        unit, stretch = units.unit(self.unit) * self.unit, 2.0**units.x * self.stretch
        return replace(self, unit=unit, stretch=stretch), units

    def _call(self, x: Tensor) -> Tensor:
        x = self.stretch * x
        x = x.reshape(len(x), *getattr(self.module, "input_shape", x.shape[1:]))
        value = self.module(x) if self.plain else self.module(x, self.theta)
        if not isinstance(value, Tensor) or value.shape != x.shape[:1] or value.dtype != torch.float64:
            received = f"{tuple(value.shape)}, {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
            raise ModelError(f"the module must give one float64 value per row, shape ({len(x)},); received {received}")
        return value / self.unit

    def value(self, x: Tensor) -> Tensor:
        """Return f(x).

        Raises:
            ModelError: the module does not give one value per row, or something else than x requires a gradient: what
                depends on x could not be told from what does not.
        """
        with torch.enable_grad():
            value = self._call(x.detach())
        if value.requires_grad:
            raise ModelError(
                "the module holds tensors that require gradients and are not its parameters; make them parameters "
                "or buffers, or detach them"
            )
        return value

    def measured(self, feasible_set: FeasibleSet, reach: Reach) -> ModuleSurrogate:
        """Return the functions with a length of their own; in the units of the module."""
        reach = reach.to(self.unit)
        value = self.value(reach.anchor.expand(len(self), -1))
        return replace(self, own=OwnSize.of(self._slopes, value, feasible_set, reach))

    def _slopes(self, p: Tensor, across: Tensor) -> Tensor:
        """Return the slopes of each context at points p in directions `across`, both `(contexts, points, n)`."""
        contexts, points, n = p.shape
        every = torch.arange(contexts, device=self.device).repeat_interleave(points)
        at = self.take(every).smooth(p.reshape(-1, n), self.unit.new_full((len(every),), NARROW))
        return (at.gradient * across.reshape(-1, n)).sum(dim=-1).reshape(contexts, points)

    def grid(self, points: Tensor) -> Tensor:
        """Return f of each context at each point, shape `(contexts, points)`."""
        contexts = len(self)
        rows = torch.arange(contexts, device=self.device).repeat_interleave(len(points))
        return self.take(rows).value(points.repeat(contexts, 1)).reshape(contexts, len(points))

    def size(self, x: Tensor, half: Tensor) -> Tensor:
        """Return how much f varies over a length of its own, which `measured` finds; infinity before that."""
        if self.own is None:
            return torch.full_like(self.unit, torch.inf)
        value = self.value(x)
        size = (self._largest(self.own.points(x)) - value).clamp(min=0.0)
        rows = self.own.steep.nonzero()[:, 0]
        if len(rows):  # where the anchor is far above the minimum, f near it says nothing of f near x
            part = self.take(rows)
            around = OwnSize.of(part._slopes, value[rows], self.own.feasible_set, self.own.reach.to(x), x[rows])
            near = (part._largest(around.points(x[rows])) - value[rows]).clamp(min=0.0)
            size = size.index_put((rows,), torch.where(around.grows, torch.minimum(size[rows], near), size[rows]))
        return size

    def most(self, reached: Tensor) -> Tensor:
        """Return the largest value within the module's own length of the anchor, if that is less."""
        if self.own is None:
            return reached
        return torch.minimum(reached, self._largest(self.own.points(self.own.anchor)))

    def _largest(self, points: Tensor) -> Tensor:
        """Return the largest value at points of shape `(contexts, points, n)`; one where f overflows does not count."""
        contexts, n = len(points), points.shape[2]
        some = points.split(max(1, ROWS // max(1, contexts)), dim=1)
        every = torch.arange(contexts, device=points.device)
        parts = [self.take(every.repeat_interleave(p.shape[1])).value(p.reshape(-1, n)) for p in some]
        values = torch.cat([part.reshape(contexts, -1) for part in parts], dim=1)
        return values.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf).amax(dim=1)

    def smooth(self, x: Tensor, delta: Tensor) -> Tangent:
        """Return the functions with their kinks smoothed from below."""
        x = x.detach().requires_grad_()
        value = self._smoothed(x, delta)
        # no sum: it would have no graph where a caller has turned gradients off
        (gradient,) = torch.autograd.grad(value, x, torch.ones_like(value))
        return self._tangent(x.detach(), delta, value.detach(), gradient)

    def smooth_value(self, x: Tensor, delta: Tensor) -> Tensor:
        """Return f_delta(x)."""
        return self._smoothed(x.detach().requires_grad_(), delta).detach()

    def hessian(self, x: Tensor, delta: Tensor) -> tuple[Tangent, Tensor]:
        """Return the smoothed functions and their Hessians."""
        point = x.detach().requires_grad_()
        value = self._smoothed(point, delta)
        gradient, hessian = _derivatives(value, point)
        return self._tangent(x.detach(), delta, value.detach(), gradient), hessian

    def _smoothed(self, x: Tensor, delta: Tensor) -> Tensor:
        """Return f_delta(x), to be differentiated; x must require its gradient."""
        with torch.enable_grad(), Smoothing(delta):
            return self._call(x)

    def _tangent(self, x: Tensor, delta: Tensor, value: Tensor, gradient: Tensor) -> Tangent:
        slope = gradient * (self.unit / self.stretch)[:, None]
        width = delta.expand_as(self.unit)
        multipliers = Dual((), (), (self.stretch * x, slope, (value * self.unit)[:, None], width[:, None]))
        return Tangent(x, value, gradient, value, self.value(x), multipliers)

    def first_box(self, box: Box) -> Box | None:
        """Return the part of a box within a few lengths of the module's own, if the box is much wider.

        Where a slope grows faster than in proportion to the distance, a length is all that Newton's steps can cross:
        the shortest of these is where all contexts begin, those that end on a side go on from there.
        """
        if self.own is None:
            return None
        length, grows, anchor = self.own.length, self.own.grows, self.own.reach.anchor
        if not bool((length.isfinite() | grows.any()).all()):
            return None
        reach = length[grows].amin() if bool(grows.any()) else REACH * length.amax()
        return within(box, anchor - reach, anchor + reach, self.wider)

    def multipliers(self, x: Tensor) -> Dual:
        """Return the tangents at x, hardly smoothed."""
        return self.smooth(x, torch.full_like(self.unit, NARROW)).multipliers

    def bound(self, feasible_set: FeasibleSet, multipliers: Dual) -> Tensor:
        """Return f_delta(y) less its Frank-Wolfe gap, less what rounding can have added to it here, outside f."""
        return self._below(feasible_set, multipliers)[0]

    def _below(self, feasible_set: FeasibleSet, multipliers: Dual) -> tuple[Tensor, Tensor]:
        """Return the bound, and the sum of the absolute values of its terms."""
        y, slope, height, _ = multipliers.p
        y, slope, height = y / self.stretch, slope * (self.stretch / self.unit)[:, None], height[:, 0] / self.unit
        vertex = feasible_set.minimise_linear(slope)
        terms = height.abs() + (slope.abs() * (y.abs() + vertex.abs())).sum(dim=-1)
        bound = height - (slope * (y - vertex)).sum(dim=-1) - ROUNDING * terms
        return torch.where(bound.isfinite(), bound, -torch.inf), terms

    def prove(self, feasible_set: FeasibleSet, x: Tensor, multipliers: Dual, size: Tensor, allowed: Tensor) -> Proof:
        """Return both ends in plain float64; over a box f may be higher all around a tangent's point (`rim`)."""
        above, (below, terms) = self.value(x), self._below(feasible_set, multipliers)
        terms = torch.where(below.isfinite() & terms.isfinite(), terms, 0.0)
        short = (above - below > allowed).nonzero()[:, 0]
        note = ""
        if isinstance(feasible_set, Box) and len(short):
            n = feasible_set.n
            if n > LARGEST_RIM:
                short = short[:0]
                note = TOO_MANY if self.first_box(feasible_set) is not None else ""
            for rows in short.split(max(1, HESSIANS // n**2)):
                around = self.take(rows)._around(feasible_set, multipliers.take(rows), allowed[rows])
                higher = around > below[rows]
                terms = terms.index_put((rows,), torch.where(higher, around.abs(), terms[rows]))
                below = below.index_put((rows,), torch.maximum(below[rows], around))
        return Proof(above, below, above.abs() + terms, note)

    def _around(self, box: Box, multipliers: Dual, allowed: Tensor) -> Tensor:
        """Return the bound of a neighbourhood of the points of tangents."""
        y, _, _, width = multipliers.p
        delta = width[:, 0]
        at, hessian = polished(lambda x: self.hessian(x, delta), y / self.stretch, box)
        return rim_bound(lambda x: self.smooth(x, delta), at, hessian, box, allowed)


def _checked(model: nn.Module, theta: Tensor) -> Tensor:
    """Return contexts that fit a module."""
    shape = getattr(model, "context_shape", None)
    wanted = "p" if shape is None else ", ".join(map(str, shape))
    if theta.ndim != 2 if shape is None else tuple(theta.shape[1:]) != tuple(shape) or not theta.ndim:
        raise ModelError(f"context must have shape (contexts, {wanted}); received {tuple(theta.shape)}")
    bad = int((~theta.isfinite()).sum())
    if bad:
        raise ModelError(f"context has {bad} non-finite entries; remove or replace them")
    return theta


def _derivatives(value: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient of each row of `value` in its row of x, and the Hessian, `(contexts, n, n)`.

    The Hessian is n products with a vector; both come off the graph of `value`.
    """
    (gradient,) = torch.autograd.grad(value, x, torch.ones_like(value), create_graph=True)
    contexts, n = x.shape
    if not gradient.requires_grad:
        return gradient, x.new_zeros(contexts, n, n)
    units = torch.eye(n, dtype=x.dtype, device=x.device)[:, None, :].expand(n, contexts, n)
    (hessian,) = torch.autograd.grad(gradient, x, units, is_grads_batched=True, materialize_grads=True)
    hessian = hessian.transpose(0, 1)
    return gradient.detach(), 0.5 * (hessian + hessian.mT)
