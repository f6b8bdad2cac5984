"""Steps that are linked by equalities: a storage over 24 hours, a plan over weeks, the inputs of a plant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, final

import numpy as np
from scipy import sparse

from decision.sets._base import FeasibleSet
from decision.sets._combined import detached_of, rows_of
from decision.sets._conic_set import ConicSet, ConicSystem
from decision.sets._moving import Affine, Moving, as_tensor, refuse_infinite, with_gradients
from decision.sets._polytope import Polytope
from socicnn._arrays import Array, IntArray, as_float64, owned
from socicnn._integers import as_integer, is_integer
from socicnn.errors import ProgramError


@final
class Horizon(ConicSet):
    """Variables y_t in Y_t of steps t = 1 .. T with P y_t + Q y_{t+1} = r_t, E_1 y_1 = f_1 and E_T y_T = f_T.

    x holds the `inputs` of y_1, then those of y_2, and so on; the other entries of y_t are helper variables, such as
    the level of a storage.

    Args:
        step: the set Y of each step, or a sequence of one set per step.
        steps: number T of steps; needed where `step` is one set.
        link: (P, Q, r); r of shape `(rows,)`, `(T - 1, rows)`, `(contexts, T - 1, rows)`, or an `Affine` map of theta
            with (T - 1) rows outputs. None for steps that are not linked.
        first: (E_1, f_1); f_1 may move with the context. None without.
        last: (E_T, f_T); None without.
        inputs: indices of the entries of y_t that x holds; all by default.

    Raises:
        ProgramError: shapes that disagree.

    >>> day = Horizon.storage(24, capacity=10.0, power=3.0, initial=5.0, final=5.0)
    >>> day.n, day.system.G.shape
    (72, (169, 72))
    """

    name = "horizon"

    def __init__(
        self,
        step: FeasibleSet | ConicSet | Sequence[FeasibleSet | ConicSet],
        steps: int | None = None,
        *,
        link: tuple[Any, Any, Any] | None = None,
        first: tuple[Any, Any] | None = None,
        last: tuple[Any, Any] | None = None,
        inputs: Sequence[int] | None = None,
    ) -> None:
        self._steps = _steps(step, steps)
        self._width = self._steps[0].n
        if any(member.n != self._width for member in self._steps):
            raise ProgramError(
                f"the sets of all steps must have one length; received {[member.n for member in self._steps]}"
            )
        self._inputs = _indices(inputs, self._width)
        super().__init__(len(self._steps) * len(self._inputs))
        self.detached = detached_of(self._steps)
        self._link = None if link is None else self._linked(*_parts(link, "link", "(P, Q, r)", 3))
        self._first = None if first is None else self._end(first, "first")
        self._last = None if last is None else self._end(last, "last")

    @classmethod
    def storage(
        cls,
        steps: int,
        *,
        capacity: Any,
        power: Any,
        initial: Any,
        final: Any = None,
        efficiency: float = 1.0,
        inputs: Sequence[int] | None = None,
    ) -> Horizon:
        """Return a storage: y_t = (charge, discharge, level), level_t = level_{t-1} + eta charge_t - discharge_t / eta.

        Args:
            steps: number of steps.
            capacity: largest level, in units of power times step; may move with the context.
            power: largest charge and discharge.
            initial: level before the first step; may move with the context.
            final: level after the last step; None if it is free.
            efficiency: eta, in (0, 1].
            inputs: as above; (0, 1) leaves the level to the set.

        Raises:
            ProgramError: the efficiency is not in (0, 1], or a size is invalid.
        """
        eta = as_float64(efficiency, "efficiency")
        if eta.shape != () or not 0.0 < eta <= 1.0:
            raise ProgramError(f"efficiency must be one number in (0, 1]; received {efficiency}")
        balance = np.array([[eta, -1.0 / eta, -1.0]])  # + level_{t-1} = 0
        limits = [
            Moving.of(size, 1, name) for size, name in ((power, "power"), (power, "power"), (capacity, "capacity"))
        ]
        step = Polytope(lower=np.zeros(3), upper=Moving.joined(limits))
        level = np.array([[0.0, 0.0, 1.0]])
        start = Moving.of(initial, 1, "initial").times(-1.0)
        made = cls(
            step,
            steps,
            link=(level, balance, [0.0]),
            first=(balance, start),
            last=None if final is None else (level, final),
            inputs=inputs,
        )
        made.detached += with_gradients(made, efficiency=efficiency)
        return made

    def _linked(self, P: Any, Q: Any, r: Any) -> tuple[Any, Any, Moving]:
        """Return the matrices of a link and all its right-hand sides, step after step."""
        self.detached += with_gradients(self, P=P, Q=Q)
        P, Q = _finite(P, "P of link"), _finite(Q, "Q of link")
        if P.ndim != 2 or P.shape != Q.shape or P.shape[1] != self._width:
            raise ProgramError(f"P and Q must have shape (rows, {self._width}); received {P.shape} and {Q.shape}")
        links, rows = len(self._steps) - 1, len(P)
        if isinstance(r, Affine):
            return P, Q, Moving.of(r, links * rows, "r of link")
        sides = as_tensor(r, "r of link")
        if sides.ndim not in (1, 2, 3) or sides.shape[-1] != rows or (sides.ndim > 1 and sides.shape[-2] != links):
            raise ProgramError(
                f"r of link must have shape ({rows},), ({links}, {rows}) or (contexts, {links}, {rows}); received "
                f"{tuple(sides.shape)}"
            )
        sides = sides.expand(links, rows) if sides.ndim == 1 else sides
        moving = Moving.of(sides.reshape(*sides.shape[:-2], links * rows), links * rows, "r of link").made_from(r)
        refuse_infinite(moving, "r of link")
        return P, Q, moving

    def _end(self, rows: Any, name: str) -> tuple[Any, Moving]:
        E, f = _parts(rows, name, "(E, f)", 2)
        self.detached += with_gradients(self, E=E)
        matrix = _finite(E, f"E of {name}")
        if matrix.ndim != 2 or matrix.shape[1] != self._width:
            raise ProgramError(f"E of {name} must have shape (rows, {self._width}); received {matrix.shape}")
        sides = Moving.of(f, len(matrix), f"f of {name}")
        refuse_infinite(sides, f"f of {name}")
        return matrix, sides

    def _columns(self, t: int) -> Any:
        """Return the places of y_t among the columns [x | further entries of y | helpers of the sets]."""
        others = np.setdiff1d(np.arange(self._width), self._inputs)
        places = np.empty(self._width, dtype=np.int64)
        places[self._inputs] = t * len(self._inputs) + np.arange(len(self._inputs))
        places[others] = self.n + t * len(others) + np.arange(len(others))
        return places

    def build(self) -> ConicSystem:
        """Return the links, the ends, and the rows of all steps."""
        count = len(self._steps)
        parts = rows_of(self._steps, [self._columns(t) for t in range(count)], count * self._width)
        width = parts[0].G.shape[1]
        if self._link is not None and count > 1:
            P, Q, r = self._link
            both = sparse.csr_array(np.hstack([P, Q]))
            for t in range(count - 1):
                rows = ConicSystem.equalities(both, r.take(np.arange(t * len(P), (t + 1) * len(P))))
                parts.append(rows.spread(np.concatenate([self._columns(t), self._columns(t + 1)]), width))
        for end, t in ((self._first, 0), (self._last, count - 1)):
            if end is not None:
                parts.append(ConicSystem.equalities(*end).spread(self._columns(t), width))
        return ConicSystem.stacked(parts)


def _finite(values: Any, name: str) -> Array:
    matrix = owned(as_float64(values, name))
    bad = int((~np.isfinite(matrix)).sum())
    if bad:
        raise ProgramError(f"{name} of a Horizon has {bad} non-finite entries; remove or replace them")
    return matrix


def _parts(values: Any, name: str, form: str, count: int) -> tuple[Any, ...]:
    if not isinstance(values, tuple | list) or len(values) != count:
        received = f"{len(values)} parts" if isinstance(values, tuple | list) else type(values).__name__
        raise ProgramError(f"{name} must be {form}; received {received}")
    return tuple(values)


def _indices(inputs: Any, width: int) -> IntArray:
    if inputs is None:
        return np.arange(width)
    indices = list(inputs) if isinstance(inputs, Iterable) else []
    places = {int(i) for i in indices if is_integer(i)}
    if not indices or len(places & set(range(width))) != len(indices):
        raise ProgramError(f"inputs must be distinct indices from 0 to {width - 1}; received {inputs}")
    return np.array([int(i) for i in indices], dtype=np.int64)


def _steps(step: Any, steps: int | None) -> tuple[FeasibleSet | ConicSet, ...]:
    if isinstance(step, FeasibleSet | ConicSet):
        if steps is None:
            raise ProgramError("give the number of steps, or a sequence of one set per step")
        return (step,) * as_integer("steps", steps, error=ProgramError)
    sets = tuple(step) if isinstance(step, Iterable) else (step,)
    if not sets or not all(isinstance(member, FeasibleSet | ConicSet) for member in sets):
        raise ProgramError("a Horizon needs a set of `decision.sets`, or a sequence of one per step")
    if steps is not None and steps != len(sets):
        raise ProgramError(f"steps says {steps}, but there are {len(sets)} sets")
    return sets
