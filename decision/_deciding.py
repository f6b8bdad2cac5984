"""`decide`: minimise a surrogate over a set for a batch of contexts, with a certified gap on every answer."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module

from decision._jobs import judged_in_jobs
from decision._minimise.answers import Decision, Goal
from decision._minimise.judging import Judged
from decision._minimise.methods import Method, make
from decision._minimise.module_surrogate import ModuleSurrogate
from decision._minimise.stack_surrogate import StackSurrogate
from decision._minimise.surrogate import Surrogate
from decision._options import DecideOptions, MethodName
from decision._over_rows import AnySet, repeated, resolved, through_solver
from decision._region import Region
from decision._work import Work, blocks_of
from decision.sets import ConicSet, OracleSet
from decision.sets._base import FeasibleSet
from socicnn._arrays import as_float64
from socicnn._compile import Freezable, frozen
from socicnn._integers import as_integer
from socicnn._moved import with_moved, with_renamed
from socicnn._ranges import Ranges
from socicnn.errors import ModelError, NoProgramError, SolverError
from socicnn.nn._devices import as_device

RTOL = 1e-6  # of the library, the command and every method
NOTE = "Gaps are in plain float64: there is no conic program to prove more by."
ORACLES = "That the set's minimize_linear is exact is taken on trust."
TRUST = "That the function is convex in x is taken on trust."


def decide(
    model_or_net: Freezable | Module,
    feasible_set: AnySet,
    context: Any = None,
    method: MethodName | Method = "auto",
    *,
    rtol: float = RTOL,
    atol: float = 0.0,
    start: Any = None,
    time_limit: float | None = None,
    region: Region | Literal["stored"] | None = "stored",
    options: DecideOptions = DecideOptions(),  # noqa: B008 (frozen)
    **moved: Any,
) -> Decision:
    """Minimise f(x, theta) over x in X for each context theta.

    The gap is proven by a dual point of the network (ReLU multipliers in their boxes, unit vectors of the norms), which
    every method gives: f(x) - gap <= min_X f holds whatever the method did. A decision is certified if

        gap <= max(rtol scale, atol, 64 eps S_all),    scale = min(max_P f - f(x), S(x))

    with P a few points of X that are fixed before the search, S(x) the sum of the absolute values of the terms of f
    without its constant (`minimise.reference`), and S_all that sum with the constant and the terms of the bound. A
    constant added to f changes neither decisions nor verdicts, nor do units of f and x that are powers of two.

    A network without a conic program (softplus layers, logistic atoms) and any other torch module that is called as
    `model(x, context)` or `model(x)` and gives one value per row are minimised, too: `auto` then takes `central_path`,
    or `projected_gradient` if the set has no interior or n is above 200. Their gaps are in plain float64, and that a
    module of your own is convex in x is taken on trust. Their terms are not known: S(x) is how much f varies over a
    length that is its own, found from its slopes along a few rays.

    Args:
        model_or_net: a trained network, a FrozenNet, or a convex torch module, of which a copy is used in float64.
        feasible_set: the set X, of `decision.sets`; a list of CVXPY constraints or a `CvxpySet`; or an object of your
            own with `n`, `project` and `minimize_linear`. Sets other than simplex, box, budget and their products go
            through the exact program; their right-hand sides may move with the context.
        context: contexts, shape `(contexts, p)`, or one, shape `(p,)`; None for a network without.
        method: `auto`, `interior_point`, `central_path`, `projected_gradient`, `exact`, or a `Method`; `exact` and
            `interior_point` need a network with a conic program.
        rtol: relative accuracy: the share of the scale that a gap may have.
        atol: absolute accuracy, in the units of f; a gap of this size will do, too.
        start: points to start from, shape `(n,)` or `(contexts, n)`; defaults to a point of the set that suits f.
        time_limit: seconds for the whole call; a solve through CVXPY, of constraints that need more than second-order
            cones, is not interrupted.
        region: where the network has learned something, to flag decisions and contexts outside: by default the ranges
            of the training data that are stored in the network, if any; None to flag nothing.
        options: limit of iterations, solver, device, jobs and progress bar; see `DecideOptions`.
        moved: `jobs=`, short for `options=DecideOptions(jobs=...)`; the other options by keyword, and `gap`, now
            `rtol`, are deprecated.

    Returns:
        The decisions.

    Raises:
        ModelError: a network, contexts or starting points that do not fit.
        ProgramError: a set that does not fit.

    >>> from decision.sets import Simplex
    >>> from socicnn.frozen import FrozenNet, Output, Quadratic
    >>> net = FrozenNet([], Output([], [0.0, 1.0]), [Quadratic(1.0, [[1.0, 0.0], [0.0, 1.0]])])
    >>> answer = decide(net, Simplex(2))
    >>> answer.x.round(decimals=3), bool(answer.certified.all())
    (tensor([[0.7500, 0.2500]], dtype=torch.float64), True)
    """
    began = time.perf_counter()
    rtol = with_renamed(rtol, moved, "gap", "rtol", function="decide")
    jobs = as_integer("jobs", moved.pop("jobs", options.jobs))
    options = with_moved(options, moved, function="decide", argument="options")
    if isinstance(region, str) and region != "stored":
        raise ModelError(f"region must be a Region, 'stored' or None; received {region!r}")
    goal = Goal.of(rtol, atol, options.max_iterations, time_limit)
    chosen = make(method, options.solver, options.settings)
    theta = _contexts(model_or_net, context)
    # a network without a context may be decided over a set that moves with one
    plain = getattr(model_or_net, "context_shape", None) is None
    own = None if plain and isinstance(feasible_set, ConicSet) and feasible_set.moves else theta
    surrogates = surrogates_of(model_or_net, own, options.device)
    proves, ranges = all(surrogate.proves for surrogate in surrogates), getattr(model_or_net, "ranges", None)
    where = resolved(feasible_set, chosen, proves=proves)
    points: list[Tensor | None] = [None] * len(surrogates)
    if isinstance(where, FeasibleSet):
        points = _start(start, where, model_or_net, surrogates)
    else:
        ignored = {"start": start, "max_iterations": options.max_iterations, "device": options.device}
        through_solver(chosen, ignored)
        surrogates = repeated(surrogates, where, theta)
    count = sum(len(surrogate) for surrogate in surrogates)
    work = Work(feasible_set, chosen, proves, ranges, theta, count, options.progress)
    blocks = blocks_of(surrogates, points)
    if jobs > 1 and len(blocks) > 1:
        judged = Judged.joined(judged_in_jobs(work, blocks, goal, jobs))
    else:
        judged = Judged.joined([work.judged(block, goal) for block in blocks])
    if judged.failure:
        raise SolverError(f"no context has a solution: {judged.failure}")
    notes = [*judged.notes, *_grounds(model_or_net, surrogates)]
    if isinstance(where, OracleSet) and not isinstance(feasible_set, ConicSet):
        notes.append(ORACLES)
    if getattr(context, "requires_grad", False):
        notes.append("The contexts require gradients, and decisions have none: they were detached.")
    return Decision(
        judged.x,
        judged.value,
        judged.gap,
        judged.iterations,
        time.perf_counter() - began,
        chosen.name,
        rtol,
        judged.scale,
        judged.floor,
        context=theta,
        outside=_outside(region, ranges, judged.x, theta),
        violation=judged.violation,
        atol=atol,
        notes=tuple(notes),
    )


def decide_module(model: Module, feasible_set: AnySet, context: Any = None, **options: Any) -> Decision:
    """Deprecated, use `decide`: it takes modules without a conic program as well."""
    warnings.warn("decide_module(...) is now decide(...)", DeprecationWarning, stacklevel=2)
    return decide(model, feasible_set, context, **options)


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
        return [StackSurrogate.of(frozen(model_or_net, row), place) for row in rows]  # type: ignore[arg-type]  # checked
    except NoProgramError as error:
        assert isinstance(model_or_net, Module)  # arrays are a program
        return [ModuleSurrogate.of(model_or_net, theta, str(error), place)]


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
    n = getattr(model, "in_features", feasible_set.n)
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
