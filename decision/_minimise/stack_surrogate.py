"""Frozen networks as a surrogate: values, tangents and bounds from their arrays, proven with rounding counted in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from decision._minimise.bounds import flat_bounds, lower_bound, proven_below, upper_bound
from decision._minimise.flat import Flat
from decision._minimise.growth import growth_bound
from decision._minimise.live import LiveUnits
from decision._minimise.local import WIDER, first_box
from decision._minimise.origin import net_around
from decision._minimise.reference import own_length, terms
from decision._minimise.rim import polished
from decision._minimise.smoothed_stack import hessian, smoothed, tangent
from decision._minimise.smoothing import NARROW
from decision._minimise.stack import Dual, Stack
from decision._minimise.surrogate import Proof, Reach, Tangent
from decision._minimise.units import Units
from decision.sets import Box
from decision.sets._base import FeasibleSet
from socicnn._arrays import Array
from socicnn._compile import Freezable
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet

LARGEST_HESSIAN = 200  # inputs up to which points are polished
SHORT = 2**13  # rows of all contexts: below, the overhead of tensors is most of the time of a proof


class Networks:
    """Frozen networks, perhaps stacked, or a model and its contexts, which are frozen if they are asked for.

    Args:
        net: the networks.
        model: what to freeze if they are left out.
        theta: its contexts.
        live: the units to keep; all if omitted.
    """

    def __init__(
        self,
        net: FrozenNet | None = None,
        model: Freezable | None = None,
        theta: Tensor | None = None,
        live: LiveUnits | None = None,
    ) -> None:
        self._net, self._model, self._theta, self._live = net, model, theta, live

    @property
    def net(self) -> FrozenNet:
        """The networks as arrays."""
        if self._net is None:
            assert self._model is not None, "networks or a model"
            self._net = self._model.freeze(self._theta)
        if self._live is not None:
            self._net, self._live = self._live.net(self._net), None
        return self._net

    def of(self, live: LiveUnits) -> Networks:
        """Return these networks with some of their units alone."""
        return Networks(self._net, self._model, self._theta, live)


@final
@dataclass(frozen=True, eq=False)
class StackSurrogate:
    """The networks of a batch of contexts.

    Args:
        whole: the networks of which these are some; few methods need them as arrays.
        source: these as tensors, without the constant, or what makes them.
        constant: shape `(contexts,)`.
        known: the same as plain arrays, if they are known.
        rows: which contexts of `whole` these are; all if omitted.
        units: the units that the tensors are in; those of `whole` if omitted.
        moved: whether the offsets are sums that were rounded once (`origin`).
    """

    whole: Networks
    source: Stack | Callable[[], Stack]
    constant: Tensor
    known: Flat | None = None
    rows: Tensor | None = None
    units: Units | None = None
    moved: bool = False
    proves: ClassVar[bool] = True

    @classmethod
    def of(cls, net: FrozenNet, device: torch.device | str | None = None) -> StackSurrogate:
        """Return frozen networks as a surrogate."""
        stack = Stack.of(net, device)
        return cls(Networks(net), replace(stack, c=torch.zeros_like(stack.c)), stack.c)

    @property
    def net(self) -> FrozenNet:
        """These networks as arrays, without the constant if they have units of their own."""
        return self._some if self.units is None else self.units.net(self._some)

    @property
    def _some(self) -> FrozenNet:
        net = self.whole.net
        return net if self.rows is None else net.take(self.rows.cpu().numpy())

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the other contexts behind on the way to another process."""
        return type(self), (Networks(self._some), self.stack, self.constant, None, None, self.units, self.moved)

    def __len__(self) -> int:
        return len(self.constant)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.constant.device

    @property
    def wider(self) -> float:
        """How many times as wide the next part of a box is."""
        return WIDER

    @property
    def finer(self) -> bool:
        """Whether a part of a box is searched to a finer accuracy."""
        return self.stack.smooth

    @cached_property
    def stack(self) -> Stack:
        """These networks as tensors, without the constant."""
        return self.source if isinstance(self.source, Stack) else self.source()

    @cached_property
    def flat(self) -> Flat | None:
        """These networks as plain arrays; None if they do not suit."""
        return Flat.of(self.stack) if self.known is None else self.known

    def live(self) -> StackSurrogate:
        """Return the networks without the units that f does not depend on."""
        if self.known is not None and self.known.uses_all:
            return self
        live = LiveUnits.of(self.stack)
        if live is None:
            return self
        return replace(self, whole=self.whole.of(live), source=live.stack(self.stack), known=None)

    def take(self, rows: Tensor) -> StackSurrogate:
        """Return the networks of some contexts."""
        units = None if self.units is None else self.units.take(rows.cpu().numpy())
        places = rows if self.rows is None else self.rows[rows]
        return StackSurrogate(self.whole, self.stack.take(rows), self.constant[rows], None, places, units, self.moved)

    def in_units(self, units: Units) -> tuple[StackSurrogate, Units]:
        """Return the networks in other units: x stays as it is if a weight would overflow."""
        assert self.units is None, "the networks have units already"
        unit = units.unit(self.constant)
        stack = self.stack.in_units(unit, 2.0**units.x)
        if stack is None:
            units = replace(units, x=0)
            stack = self.stack.in_units(unit, 1.0)
        if stack is None:
            raise ModelError("the network's numbers overflow in units in which its values are near 1; rescale them")
        return replace(self, source=stack, constant=torch.zeros_like(self.constant), known=None, units=units), units

    def around(self, origin: Array) -> StackSurrogate | None:
        """Return the networks as functions of x - origin; None where a number is too large for that."""
        net = net_around(self.net, origin)
        return None if net is None else replace(StackSurrogate.of(net, self.device), moved=True)

    def short(self) -> StackSurrogate:
        """Return the same in float32."""
        return replace(self, source=self.stack.to(torch.float32), known=None)

    def value(self, x: Tensor) -> Tensor:
        """Return f(x)."""
        return self.stack.value(x)

    def measured(self, feasible_set: FeasibleSet, reach: Reach) -> StackSurrogate:
        """Return the networks as they are: their terms are known."""
        return self

    def most(self, reached: Tensor) -> Tensor:
        """Return what is found: a search knows the terms as well."""
        return reached

    def grid(self, points: Tensor) -> Tensor:
        """Return f of each context at each point."""
        return self.stack.grid(points)

    def size(self, x: Tensor, half: Tensor) -> Tensor:
        """Return S(x) of `reference`."""
        return terms(self.stack, x, torch.minimum(half.to(self.device), own_length(self.stack)[:, None]))

    def smooth(self, x: Tensor, delta: Tensor) -> Tangent:
        """Return the networks with their kinks smoothed from above."""
        return tangent(self.stack, smoothed(self.stack, x, delta))

    def smooth_value(self, x: Tensor, delta: Tensor) -> Tensor:
        """Return f_delta(x)."""
        return smoothed(self.stack, x, delta).value

    def hessian(self, x: Tensor, delta: Tensor) -> tuple[Tangent, Tensor]:
        """Return the smoothed networks and their Hessians."""
        at = smoothed(self.stack, x, delta)
        line = tangent(self.stack, at)
        return replace(line, above=self.value(x)), hessian(self.stack, at, line.multipliers.lam, delta)

    def first_box(self, box: Box) -> Box | None:
        """Return the part of a box near the zeros of the networks' rows, if the box is much wider."""
        return first_box(self.stack, box)

    def multipliers(self, x: Tensor) -> Dual:
        """Return lambda = 0, u = 0, with the quadratics' tangents at x."""
        return self.stack.zero_dual(x)

    def bound(self, feasible_set: FeasibleSet, multipliers: Dual) -> Tensor:
        """Return the proven lower bound of repaired multipliers."""
        return lower_bound(self.stack, feasible_set, multipliers)

    def prove(self, feasible_set: FeasibleSet, x: Tensor, multipliers: Dual, size: Tensor, allowed: Tensor) -> Proof:
        """Return proven ends; over a box what grows in f may hold x back (`growth`)."""
        flat = self.flat
        if flat is not None and len(flat) * len(flat.rows.arrays.M) <= SHORT:
            above, below, bound_size = flat_bounds(flat, feasible_set, x, multipliers)
        else:
            above = upper_bound(self.stack, x)
            below, bound_size = proven_below(self.stack, feasible_set, multipliers)
        left = (above - below > allowed).nonzero()[:, 0]
        if isinstance(feasible_set, Box) and not self.moved and len(left):
            some = self.take(left)
            grown = some.growth(feasible_set, x[left], multipliers.take(left), above[left], allowed[left])
            sizes = torch.where(grown > below[left], size[left], bound_size[left])  # its terms are those of f at x
            below = below.index_copy(0, left, torch.maximum(below[left], grown))
            bound_size = bound_size.index_copy(0, left, sizes)
        return Proof(above, below, size + bound_size)

    def growth(self, box: Box, x: Tensor, multipliers: Dual, above: Tensor, allowed: Tensor) -> Tensor:
        """Return what `growth_bound` proves, at a polished point, too, where that is not enough."""
        grown = growth_bound(self.stack, box, x, multipliers, 0.1 * allowed)
        if self.finer and bool((above - grown > allowed).any()):
            y = self._anchor(box, x)
            grown = torch.maximum(grown, growth_bound(self.stack, box, y, multipliers, 0.1 * allowed))
        return grown

    def _anchor(self, box: Box, x: Tensor) -> Tensor:
        """Return where tangents are taken: networks that are smooth have a point of smaller slopes next to x."""
        if self.stack.in_features > LARGEST_HESSIAN:
            return x
        width = torch.full_like(self.constant, NARROW)
        return polished(lambda point: self.hessian(point, width), x, box)[0].x
