"""`decide`: minimise a surrogate over a set for a batch of contexts, with a certified gap on every answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Unpack

from torch.nn import Module

from decision._minimise.answers import Decision
from decision._minimise.methods import Method
from decision._options import RTOL, DecideKeywords, DecideOptions, MethodName
from decision._over_rows import AnySet
from decision._question import Question
from decision._region import Region
from socicnn._compile import Freezable
from socicnn._integers import as_integer
from socicnn._moved import with_moved, with_renamed
from socicnn._registry import of_kind


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
    **keywords: Unpack[DecideKeywords],
) -> Decision:
    """Minimise f(x, theta) over x in X for each context theta.

    To decide again and again for one network and one set, make a `Decider`, which keeps what does not change.

    The gap is proven by a dual point of the network (multipliers of units in their boxes, unit vectors of norms), which
    every method gives: f(x) - gap <= min_X f holds whatever the method did. A decision is certified if

        gap <= max(rtol scale, atol, 64 eps S_all),    scale = min(max_P f - f(x), S(x))

    with P a few points of X that are fixed before the search, S(x) the sum of the absolute values of the terms of f
    without its constant (`minimise.reference`), and S_all that sum with the constant and the terms of the bound. A
    constant added to f changes neither decisions nor verdicts, nor do units of f and x that are powers of two.

    With `integer=[0, 3]` these entries of x are whole: branch and bound splits the set into cases, each with its proven
    bound, and the gap is to the least of these. The scale is S(x), and `iterations` counts the cases.

    A torch module of your own that is called as `model(x, context)` or `model(x)` and gives one value per row is
    minimised, too: `auto` then takes `central_path`, or `projected_gradient` if the set has no interior or n is above
    200. Its gaps are in plain float64, and that it is convex in x is taken on trust. Its terms are not known: S(x) is
    how much f varies over a length that is its own, found from its slopes along a few rays.

    Args:
        model_or_net: a trained network, a FrozenNet, or a convex torch module, of which a copy is used in float64.
        feasible_set: the set X, of `decision.sets`; a list of CVXPY constraints or a `CvxpySet`; or an object of your
            own with `n`, `project` and `minimise_linear`. Sets other than simplex, box, budget and their products go
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
        keywords: `jobs=` and `integer=`, short for `options=DecideOptions(jobs=..., integer=...)`; the other options by
            keyword, and `gap`, now `rtol`, are deprecated.

    Returns:
        The decisions.

    Raises:
        ModelError: a network, contexts or starting points that do not fit; frames with other columns than the network
            was trained with.
        ProgramError: a set that does not fit.

    >>> from decision.sets import Simplex
    >>> from socicnn.frozen import FrozenNet, Output, Quadratic
    >>> net = FrozenNet([], Output([], [0.0, 1.0]), [Quadratic(1.0, [[1.0, 0.0], [0.0, 1.0]])])
    >>> answer = decide(net, Simplex(2))
    >>> answer.x.round(decimals=3), bool(answer.certified.all())
    (tensor([[0.7500, 0.2500]], dtype=torch.float64), True)
    """
    moved: dict[str, Any] = {**keywords}
    of_kind("options", options, DecideOptions)
    rtol = with_renamed(rtol, moved, "gap", "rtol", function="decide")
    jobs = as_integer("jobs", moved.pop("jobs", options.jobs))
    integer = moved.pop("integer", options.integer)
    moved_options = with_moved(options, moved, function="decide", argument="options")
    options = replace(moved_options, jobs=jobs, integer=integer)
    question = Question(model_or_net, feasible_set, method, rtol=rtol, atol=atol, region=region, options=options)
    return question.answer(context, start, time_limit)
