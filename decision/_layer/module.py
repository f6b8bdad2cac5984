"""`DecisionLayer`: decisions as an `nn.Module`, with exact gradients in weights, contexts and the set's data."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NamedTuple, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from decision._layer.adjoint import ImplicitDecision, SolvedBatch, function_of
from decision._layer.asked import AskedQuestion, stack_of
from decision._layer.face import EXACT, ROUGH
from decision._layer.objective import Objective
from decision._layer.polish import polished
from decision._layer.rows import SetRows
from decision._minimise.answers import Decision
from decision._minimise.bounds import upper_bound
from decision._minimise.reference import Reference
from decision._options import RTOL, DecideOptions, MethodName
from decision._question import own_context
from decision.sets import ConicSet, FeasibleSet
from decision.sets._combined import system_of
from decision.sets._conic_set import ConicSystem
from socicnn._arrays import as_float64
from socicnn._frames import refuse_other_columns
from socicnn._registry import of_kind
from socicnn.conic._program import ConicProgram
from socicnn.errors import ModelError, ProgramError, SolverError

INSIDE = 1e-9  # of the set's size: a polished decision that leaves the set by more is not taken


class Optimum(NamedTuple):
    """Decisions and optimal values, both with gradients.

    Args:
        x: argmin_X f, shape `(contexts, n)`; `(n,)` for one context.
        value: min_X f, shape `(contexts,)`; a scalar for one context.
    """

    x: Tensor
    value: Tensor


@final
class DecisionLayer(nn.Module):
    """The decision x(theta) = argmin_{x in X} f(x, theta) as a layer: `decide` forwards, an exact gradient backwards.

    Forwards, `decide` gives certified decisions; Newton's method on their faces then makes them exact to rounding.
    Backwards, the optimality conditions of the face are differentiated:

        [H  A'] [dx]     [d(grad f + mu'grad r + y'grad c)]
        [A  0 ] [dy] = - [d(r, c)                         ]

    with H the Hessian of f + mu'r + y'c, r the kinks that hold x (ReLU units at 0, norms of a zero vector), c the
    active constraints and A the gradients of both. Gradients reach the weights of the model, the context, and what the
    set's right-hand sides were made from. It is computed in float64; a float32 model gets float32 gradients.

    **Where x is not differentiable** the gradient is that of the smallest face: a unit at its kink, a norm at zero and
    a constraint that x touches count as held even if their multipliers are zero. So max(q, 0), which is
    argmin_{x >= 0} (x - q)^2, has slope 0 at q = 0. For weights and contexts that is one of the slopes that nearby
    problems have, an element of the B-subdifferential. Where what holds x is linearly dependent (a degenerate vertex),
    or f is flat along the face (several minimisers), the least-norm solution of the system counts: dependent
    constraints share what moves x, and x does not move along what nothing determines. Gradients are never NaN.

    Second derivatives are refused. In a module of your own, kinks of relu, leaky_relu, abs, maximum, clamp(min=...) and
    norms of order 2 and 1 along an axis hold x; they need one row per point. Calls of amax, sort, minimum and others
    with kinks are refused where they depend on x; where kinks are made otherwise (torch.where), x must be off them.

    Args:
        model: a network, or another torch module that is convex in x, called as `model(x, context)` or `model(x)`.
        feasible_set: the set X.
        rtol: relative accuracy that `decide` has to certify.
        method: how `decide` minimises.
        options: limit of iterations, solver and device of `decide`; see `DecideOptions`.

    Attributes:
        decision: the last answer, with its gaps; None before the first.
        polished: which of its decisions were made exact, shape `(contexts,)`. Others have the accuracy of `decide`, and
            so have their gradients.

    Raises:
        ModelError: the model cannot be differentiated, or lengths that do not fit; a call refuses a module of your own
            that takes relu or norms of something else than one row per point, W @ x.T for instance, or amax of x.

    Source of the derivative: Amos and Kolter, "OptNet: differentiable optimization as a layer in neural networks"
    (2017); of the rule at kinks: Bolte, Le, Pauwels and Silveti-Falls, "Nonsmooth implicit differentiation for machine
    learning and optimization" (2021).

    >>> from decision import Simplex
    >>> from socicnn import SOCICNN
    >>> model = SOCICNN(3, hidden_features=(4,), quadratic=(3,), norm=(2,), context_features=2, context="partial")
    >>> layer = DecisionLayer(model.double(), Simplex(3))
    >>> theta = torch.zeros(5, 2, dtype=torch.float64, requires_grad=True)
    >>> layer(theta).square().sum().backward()
    >>> theta.grad.shape
    torch.Size([5, 2])
    """

    decision: Decision | None
    polished: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        feasible_set: FeasibleSet | ConicSet,
        *,
        rtol: float = RTOL,
        method: MethodName = "auto",
        options: DecideOptions = DecideOptions(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise ModelError(f"a DecisionLayer needs a torch module; received {type(model).__name__}")
        if getattr(model, "needs_data", False):
            raise ModelError("the weights depend on data; give the layer what `model.finalise(train_data)` returns")
        if of_kind("options", options, DecideOptions).integer:
            raise ModelError("whole entries have no gradient; leave out integer= of the options of a DecisionLayer")
        self.model, self.feasible_set = model, _checked(feasible_set)
        self._rtol, self._method, self._options = rtol, method, options
        self.decision = self.polished = None
        self._references: dict[str, tuple[object, object, Reference]] = {}
        self._kept: tuple[FeasibleSet | ConicSet, torch.device, ConicSystem, SetRows] | None = None

    def forward(self, context: Any = None, feasible_set: FeasibleSet | ConicSet | None = None) -> Tensor:
        """Return the decisions, shape `(contexts, n)`, float64; `(n,)` for one context.

        Args:
            context: contexts, shape `(contexts, p)`, or one, shape `(p,)`; None for a model without. Gradients reach
                tensors; NumPy arrays, data frames and lists are read as numbers.
            feasible_set: a set for this call, e.g. one whose right-hand sides another module has just computed.

        Raises:
            SolverError: a decision is not certified to `rtol`.
            ProgramError: the set is empty, or does not fit.
            ModelError: contexts that do not fit.
        """
        return self.optimum(context, feasible_set).x

    def optimum(self, context: Any = None, feasible_set: FeasibleSet | ConicSet | None = None) -> Optimum:
        """Return the decisions and the optimal values min_X f.

        The value's gradient is that of the Lagrangian at the optimum (envelope theorem): d f in weights and context,
        and minus the multipliers in right-hand sides.

        Args:
            context: as in `forward`.
            feasible_set: as in `forward`.

        Raises:
            SolverError: as in `forward`.
        """
        chosen = self.feasible_set if feasible_set is None else _checked(feasible_set)
        if context is not None and not isinstance(context, Tensor):
            refuse_other_columns(getattr(self.model, "ranges", None), "context", context)
            context = torch.tensor(as_float64(context, "context"))
        single = context is None or context.ndim == len(getattr(self.model, "context_shape", None) or (0,))
        theta = context[None] if single and context is not None else context
        optimum = self._solved(theta, chosen)
        return Optimum(optimum.x[0], optimum.value[0]) if single and len(optimum.x) == 1 else optimum

    def _solved(self, theta: Tensor | None, feasible_set: FeasibleSet | ConicSet) -> Optimum:
        kinds = {weight.dtype for weight in self.model.parameters() if weight.is_floating_point()}
        plain = self.model if kinds <= {torch.float64} else copy.deepcopy(self.model).double()
        still = None if theta is None else theta.detach().to("cpu", torch.float64)
        own = own_context(self.model, feasible_set, theta)
        graph = torch.is_grad_enabled()
        with torch.enable_grad():  # modules without arrays are differentiated in x
            question = AskedQuestion(plain, feasible_set, self._method, rtol=self._rtol, options=self._options)
            question.leaf = None if own is None or still is None else still.clone().requires_grad_(own.requires_grad)
            question.graph, question.known = graph, self._references
            answer = question.answer(still)
        self.decision = answer
        if not answer.ok:
            raise SolverError(
                f"{answer.status} A gradient there would be that of another point; raise rtol of the layer, or let "
                "`decide` go on for longer by its options"
            )
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        if not len(answer.x):
            self.polished = torch.zeros(0, dtype=torch.bool)
            leaves = [tensor for tensor in (own, *weights) if tensor is not None]
            graph_of_none = sum((0.0 * tensor.double().sum().cpu() for tensor in leaves), torch.zeros(()))
            return Optimum(answer.x + graph_of_none, answer.value + graph_of_none)
        h = self._right_hand_sides(feasible_set, theta, len(answer.x))
        with torch.enable_grad():  # of its own, in x alone
            solved = self._polished(question, None if own is None else still, answer, h.detach(), feasible_set)
        x, value = ImplicitDecision.apply(solved, own, h, *weights)
        return Optimum(x, value)

    @property
    def _place(self) -> torch.device:
        return next((weight.device for weight in self.model.parameters()), torch.device("cpu"))

    def _right_hand_sides(self, feasible_set: FeasibleSet | ConicSet, theta: Tensor | None, count: int) -> Tensor:
        """Return h of each context, shape `(contexts, rows)`, with the graph of what it was made from."""
        if isinstance(feasible_set, ConicSet):
            return feasible_set.right_hand_sides(theta, count)
        return self._system(feasible_set)[0].h.at(None, count)  # numbers that do not change

    def _system(self, feasible_set: FeasibleSet | ConicSet) -> tuple[ConicSystem, SetRows]:
        """Return the rows of a set, as arrays and as tensors where the model is; those of the last one are kept."""
        place = self._place
        if self._kept is None or self._kept[0] is not feasible_set or self._kept[1] != place:
            system = system_of(feasible_set)
            self._kept = feasible_set, place, system, SetRows.of(system, place)
        return self._kept[2:]

    def _polished(
        self,
        question: AskedQuestion,
        theta: Tensor | None,
        answer: Decision,
        h: Tensor,
        feasible_set: FeasibleSet | ConicSet,
    ) -> SolvedBatch:
        """Return the decisions made exact.

        Args:
            question: the one that was answered, of the model in float64.
            theta: its contexts, or None.
            answer: the decisions.
            h: right-hand sides of the set.
            feasible_set: the set.
        """
        place = self._place
        system, rows = self._system(feasible_set)
        x, h = _with_helpers(system, h, answer.x).to(place), h.to(place)
        stack = stack_of(question.asked, len(x), place)
        context = None if theta is None else theta.to(place)
        function = None if stack else function_of(question.module, {})
        objective = Objective(feasible_set.n, function, context, stack)
        size = rows.size(x, h, question.length(len(x), place))
        objective = objective.explored(x[:, : feasible_set.n], size)
        exact, done = polished(objective, rows, h, x, question.multipliers)
        value = objective.value(exact)
        inside = rows.values(exact, h) <= rows.lengths(h, INSIDE * size)
        done &= inside[:, : rows.tips].all(dim=1)
        done &= value - answer.value.to(place) <= INSIDE * answer.scale.to(place)
        # the bound stays that of `decide`: where f is higher at the exact point, so is the gap
        before = answer.gap.to(place)
        gap = before + (_above(objective, exact, value) - _above(objective, x, answer.value.to(place))).clamp(min=0.0)
        allowed = torch.maximum(answer.rtol * answer.scale, answer.floor).clamp(min=answer.atol).to(place)
        done &= gap <= torch.maximum(before, allowed)
        exact = torch.where(done[:, None], exact, x)
        self.polished = done
        self.decision = _replaced(answer, done, exact, value, gap, rows.violation(exact, h))
        value = torch.where(done, value, answer.value.to(place))
        tolerance = torch.where(done, EXACT, ROUGH)[:, None]
        names = [name for name, weight in self.model.named_parameters() if weight.requires_grad]
        numbers = question.numbers if stack else None
        weights = [weight for weight in question.module.parameters() if weight.requires_grad]
        leaves = [question.leaf, *weights]
        return SolvedBatch(exact, value, feasible_set.n, self.model, names, rows, tolerance, objective, numbers, leaves)


def _checked(feasible_set: Any) -> FeasibleSet | ConicSet:
    if not isinstance(feasible_set, FeasibleSet | ConicSet):
        raise ProgramError(
            f"a DecisionLayer needs a set of `decision.sets` with conic rows; received {type(feasible_set).__name__}: "
            "write it as a Polytope, Ball, Ellipsoid, Product, Intersection or Horizon"
        )
    if feasible_set.detached and torch.is_grad_enabled():
        raise ProgramError(
            f"{' and '.join(feasible_set.detached)} would get no gradients: decisions have them in right-hand sides, "
            "bounds of a Polytope, radii and centres; write the set with these, or give .detach()"
        )
    return feasible_set


def _above(objective: Objective, x: Tensor, value: Tensor) -> Tensor:
    """Return an upper bound of f at [x | u] less its constant where that can be proven, else the value."""
    if objective.stack is None:
        return value
    return upper_bound(replace(objective.stack, c=torch.zeros_like(value)), x[:, : objective.n])


def _replaced(answer: Decision, done: Tensor, x: Tensor, value: Tensor, gap: Tensor, violation: Tensor) -> Decision:
    """Return an answer after some of its decisions were made exact."""

    def changed(new: Tensor, old: Tensor | None) -> Tensor:
        return new.cpu() if old is None else torch.where(done.cpu(), new.cpu(), old)

    value, gap = changed(value, answer.value), changed(gap, answer.gap)
    x, violation = x[:, : answer.x.shape[1]].cpu(), changed(violation, answer.violation)
    return replace(answer, x=x, value=value, gap=gap, violation=violation)


def _with_helpers(rows: ConicSystem, h: Tensor, x: Tensor) -> Tensor:
    """Return [x | u] with h - G [x | u] in K for each row x, shape `(contexts, columns)`.

    u is where an interior-point method ends that has nothing to minimise, so that a row is tight only if it must be.
    """
    n, columns = x.shape[1], rows.G.shape[1]
    if columns == n:
        return x
    own, more = rows.G[:, :n], rows.G[:, n:]
    u = np.empty((len(x), columns - n))
    sides = h.cpu().numpy() - x.cpu().numpy() @ own.toarray().T
    for i, b in enumerate(sides):
        solution = ConicProgram(sparse.csc_array(more), b, np.zeros(columns - n), 0.0, rows.cones).solve("clarabel")
        if not np.isfinite(solution.v).all():
            raise SolverError(f"no helper variables were found for the decision of context {i}: {solution.status}")
        u[i] = solution.v
    return torch.cat([x, torch.as_tensor(u, dtype=x.dtype, device=x.device)], dim=1)
