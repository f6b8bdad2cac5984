"""A question to a minimiser: which function over which set how accurately; its answers are decisions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module

from decision._integers import judged_with_integers
from decision._minimise.answers import Decision, Goal
from decision._minimise.judging import Judged
from decision._minimise.methods import Method, make
from decision._minimise.module_surrogate import ModuleSurrogate
from decision._minimise.reference import Reference
from decision._minimise.stack_surrogate import StackSurrogate
from decision._minimise.surrogate import Surrogate
from decision._options import RTOL, DecideOptions, MethodName
from decision._over_rows import AnySet, repeated, resolved, through_solver
from decision._region import Region
from decision._work import ContextBlock, Work, blocks_of, judged_in_jobs
from decision.sets import ConicSet, OracleSet
from decision.sets._base import FeasibleSet
from socicnn._arrays import as_float64
from socicnn._compile import Freezable, frozen, takes_context
from socicnn._frames import refuse_other_columns
from socicnn._ranges import Ranges
from socicnn._registry import of_kind
from socicnn.errors import ModelError, NoProgramError, SolverError
from socicnn.nn._checks import as_device

NOTE = "Gaps are in plain float64: the function has no conic program to prove more by."
ORACLES = "That the set's minimise_linear is exact is taken on trust."
TRUST = "That the function is convex in x is taken on trust."


class Question:
    """A model and a set, and how accurately to decide; the arguments are those of `decide`.

    Raises:
        ModelError: an accuracy, a method or a region that is unknown or invalid.
    """

    def __init__(
        self,
        model_or_net: Freezable | Module,
        feasible_set: AnySet,
        method: MethodName | Method = "auto",
        *,
        rtol: float = RTOL,
        atol: float = 0.0,
        region: Region | Literal["stored"] | None = "stored",
        options: DecideOptions = DecideOptions(),  # noqa: B008 (frozen)
    ) -> None:
        if isinstance(region, str) and region != "stored":
            raise ModelError(f"region must be a Region, 'stored' or None; received {region!r}")
        of_kind("options", options, DecideOptions)
        Goal.of(rtol, atol, options.max_iterations, None)  # refuses what is invalid
        self.model, self.feasible_set = model_or_net, feasible_set
        self.method = make(method, options.solver, options.settings)
        self.rtol, self.atol, self.region, self.options = float(rtol), float(atol), region, options
        self.ranges: Ranges | None = getattr(model_or_net, "ranges", None)
        self._reference: tuple[FeasibleSet, Reference] | None = None

    def surrogates(self, theta: Tensor | None) -> Sequence[Surrogate]:
        """Return the functions to minimise."""
        return surrogates_of(self.model, theta, self.options.device)

    def usual_start(self, count: int) -> Tensor | None:
        """Return points to start `count` contexts from if the user gives none; None for where it suits f."""
        return None

    def found(self, judged: Judged) -> None:
        """Take note of what was found, for those who need more than a `Decision` holds."""

    def answer(self, context: Any, start: Any = None, time_limit: float | None = None) -> Decision:
        """Return the decisions for some contexts.

        Args:
            context: as in `decide`.
            start: the same.
            time_limit: the same.
        """
        began = time.perf_counter()
        goal = Goal.of(self.rtol, self.atol, self.options.max_iterations, time_limit)
        refuse_other_columns(self.ranges, "context", context)
        refuse_other_columns(self.ranges, "x", start, "start")
        theta = _contexts(self.model, context)
        own = own_context(self.model, self.feasible_set, theta)
        surrogates = [_live(surrogate) for surrogate in self.surrogates(own)]
        count = sum(map(len, surrogates))
        if own is None and theta is not None and count not in (1, len(theta)):
            raise ModelError(f"{count} stacked networks need {count} contexts of the set; received {len(theta)}")
        proves = all(surrogate.proves for surrogate in surrogates)
        where = resolved(self.feasible_set, self.method, proves=proves)
        points: list[Tensor | None] = [None] * len(surrogates)
        options, reference = self.options, None
        by_solver = bool(options.integer) or not isinstance(where, FeasibleSet)
        if not by_solver:
            assert isinstance(where, FeasibleSet)
            usual = self.usual_start(count)
            points = _start(usual if start is None else start, where, self.model, surrogates)
            reference = self._reference_over(where)
        else:
            ignored = {"start": start, "max_iterations": options.max_iterations, "device": options.device}
            exact = through_solver(self.method, ignored)
            if not isinstance(where, FeasibleSet):
                surrogates = repeated(surrogates, where, theta)
        if options.integer:
            judged = judged_with_integers(surrogates, where, theta, options.integer, goal, exact)
        else:
            count = sum(map(len, surrogates))  # of a single one perhaps as many as the set has contexts
            work = Work(self.feasible_set, self.method, proves, self.ranges, theta, count, options.progress, reference)
            judged = _judged(work, blocks_of(surrogates, points), goal, options.jobs)
        self.found(judged)
        if judged.failure:
            raise SolverError(f"no context has a solution: {judged.failure}")
        notes = [*judged.notes, *_grounds(self.model, surrogates)]
        if isinstance(where, OracleSet) and not isinstance(self.feasible_set, ConicSet):
            notes.append(ORACLES)
        if getattr(context, "requires_grad", False):
            notes.append("The contexts require gradients, and decisions have none: they were detached.")
        return Decision(
            judged.x,
            judged.value,
            judged.gap,
            judged.iterations,
            time.perf_counter() - began,
            self.method.name,
            self.rtol,
            judged.scale,
            judged.floor,
            context=theta,
            outside=_outside(self.region, self.ranges, judged.x, theta),
            violation=judged.violation,
            atol=self.atol,
            notes=tuple(notes),
        )

    def _reference_over(self, feasible_set: FeasibleSet) -> Reference:
        """Return the reference points of a set, found once."""
        if self._reference is None or self._reference[0] is not feasible_set:
            self._reference = feasible_set, Reference.of(feasible_set, self.ranges)
        return self._reference[1]


def _judged(work: Work, blocks: Sequence[ContextBlock], goal: Goal, jobs: int) -> Judged:
    """Return what is found for all blocks."""
    if jobs > 1 and len(blocks) > 1:
        return Judged.joined(judged_in_jobs(work, blocks, goal, jobs))
    parts = [work.judged(block, goal) for block in blocks]
    return parts[0] if len(parts) == 1 else Judged.joined(parts)


def surrogates_of(
    model_or_net: Freezable | Module, theta: Tensor | None, device: torch.device | str | None = None
) -> list[Surrogate]:
    """Return the functions to minimise: one batch of all contexts, or a batch of one per context.

    Args:
        model_or_net: frozen if it can be; a model whose matrices depend on the context, which its attribute
            `context_moves_matrices` says, is frozen context by context.
        theta: contexts, shape `(contexts, p)`, or None.
        device: where to compute; defaults to the CPU.

    Raises:
        ModelError: no network and no module, or contexts that do not fit.
    """
    place = None if device is None else as_device(device)
    apart = theta is not None and getattr(model_or_net, "context_moves_matrices", False)
    rows = list(theta) if apart and theta is not None else [theta]
    if isinstance(model_or_net, Module):
        inner = getattr(model_or_net, "module", None)  # of a wrapper, which `frozen` refuses
        if not rows or (not isinstance(model_or_net, Freezable) and not isinstance(inner, Freezable)):
            return [ModuleSurrogate.of(model_or_net, theta, "it has no `freeze`", place)]
    try:
        nets = [frozen(model_or_net, row) for row in rows]  # type: ignore[arg-type]  # checked
        return [StackSurrogate.of(net, place) for net in nets]
    except NoProgramError as error:
        if not isinstance(model_or_net, Module):
            raise
        return [ModuleSurrogate.of(model_or_net, theta, str(error), place)]


def _live(surrogate: Surrogate) -> Surrogate:
    """Return a function without the units that it does not depend on, if it is a network."""
    return surrogate.live() if isinstance(surrogate, StackSurrogate) else surrogate


def own_context(model: Any, feasible_set: Any, theta: Tensor | None) -> Tensor | None:
    """Return the contexts of a model; None for one that takes none and is decided over a set that moves with them."""
    moves = isinstance(feasible_set, ConicSet) and feasible_set.moves
    return None if moves and not takes_context(model) else theta


def _contexts(model: Any, context: Any) -> Tensor | None:
    """Return the contexts with an axis that counts them, or None."""
    if context is None:
        return None
    theta = torch.tensor(as_float64(context, "context"))
    single = tuple(theta.shape) == (getattr(model, "context_shape", None) or theta.shape[:1])
    return theta[None] if single else theta


def _grounds(model: Any, surrogates: Sequence[Surrogate]) -> list[str]:
    """Return what the gaps rest on, where that is less than a proof."""
    if all(surrogate.proves for surrogate in surrogates):
        return []
    return [NOTE] if isinstance(model, Freezable) else [NOTE, TRUST]


def _start(start: Any, feasible_set: FeasibleSet, model: Any, surrogates: Sequence[Surrogate]) -> list[Tensor | None]:
    """Return feasible starting points of each batch, one per context; None if the user gives none."""
    n = getattr(model, "in_features", None)
    if n is None:  # of an ensemble, for instance
        known = surrogates[0] if len(surrogates) else None
        n = known.net.in_features if isinstance(known, StackSurrogate) else feasible_set.n
    if feasible_set.n != n:
        raise ModelError(f"the set has {feasible_set.n} coordinates, the network {n} inputs")
    if start is None:
        return [None] * len(surrogates)
    sizes = [len(surrogate) for surrogate in surrogates]
    x = torch.tensor(as_float64(start, "start"), device=surrogates[0].device)
    if x.shape not in ((n,), (sum(sizes), n)):
        raise ModelError(f"start must have shape ({n},) or ({sum(sizes)}, {n}); received shape {tuple(x.shape)}")
    if not bool(x.isfinite().all()):
        raise ModelError("start has non-finite entries; remove or replace them")
    return list(feasible_set.project(x.expand(sum(sizes), -1).contiguous()).split(sizes))


def _outside(
    region: Region | Literal["stored"] | None, ranges: Ranges | None, x: Tensor, context: Tensor | None
) -> Tensor | None:
    """Return which rows leave the region or the stored ranges, in x or in the context; None if neither is known."""
    if region is None or (ranges is None and region == "stored"):
        return None
    outside = torch.zeros(len(x), dtype=torch.bool)
    if isinstance(region, Region):
        outside |= region.outside(x).cpu()
    elif ranges is not None:
        outside |= torch.tensor(ranges.outside_x(x.reshape(len(x), *ranges.x_lower.shape).cpu().numpy()))
    if ranges is not None and ranges.context_lower is not None and context is not None:
        outside |= torch.tensor(ranges.outside_context(context.cpu().numpy()))
    return outside
