"""How good a surrogate and its decisions are: prediction errors, regret, feasibility, certified gap."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from decision._simulator import AnyTask, Simulator
from decision.sets._base import FeasibleSet
from socicnn._arrays import as_float64
from socicnn._results import Result, Row
from socicnn.errors import ModelError

if TYPE_CHECKING:
    from decision._parametric import ParametricSolver


class Decided(Protocol):
    """What `evaluate` asks of a decision: x `(contexts, n)`, and the surrogate's value and certified gap there."""

    @property
    def x(self) -> Tensor:
        """Decisions, shape `(contexts, n)`."""

    @property
    def value(self) -> Tensor:
        """Surrogate's values f(x), shape `(contexts,)`."""

    @property
    def gap(self) -> Tensor:
        """Certified gaps f(x) - min f <= gap, in the units of f, shape `(contexts,)`."""


def relative_error(f: Tensor, y: Tensor) -> float:
    """Return ||f - y|| / ||y|| over all candidates of all contexts.

    Args:
        f: the surrogate's values.
        y: the true costs, same shape.

    >>> relative_error(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]))
    0.7071067811865475
    """
    f, y = _pair(f, y)
    return float(torch.linalg.vector_norm(f - y) / torch.linalg.vector_norm(y))


def within_context_error(f: Tensor, y: Tensor) -> float:
    """Return `relative_error` after subtracting each context's mean from f and y: the error that changes decisions.

    Args:
        f: the surrogate's values, shape `(contexts, candidates)`.
        y: the true costs, same shape.

    >>> within_context_error(torch.tensor([[5.0, 6.0], [0.0, 2.0]]), torch.tensor([[0.0, 1.0], [7.0, 9.0]]))
    0.0
    """
    f, y = _pair(f, y)
    if f.ndim != 2:
        raise ModelError(f"values must have shape (contexts, candidates); received {tuple(f.shape)}")
    return relative_error(f - f.mean(dim=1, keepdim=True), y - y.mean(dim=1, keepdim=True))


def regret(F_hat: Tensor, F_star: Tensor) -> Tensor:
    """Return F(x_hat, theta) - F_star of each context; below zero only by the inaccuracy of F_star."""
    F_hat, F_star = _pair(F_hat, F_star)
    return F_hat - F_star


def relative_regret(F_hat: Tensor, F_star: Tensor) -> Tensor:
    """Return regret / (|F_star| + 1e-8) of each context."""
    return regret(F_hat, F_star) / (_plain(F_star).abs() + 1e-8)


def decision_error(x_hat: Tensor, x_star: Tensor) -> Tensor:
    """Return ||x_hat - x_star||_2 of each context."""
    x_hat, x_star = _pair(x_hat, x_star)
    return torch.linalg.vector_norm(x_hat - x_star, dim=-1)


def relative_gap(gap: Tensor, scale: Tensor) -> Tensor:
    """Return gap / scale of each context, 0 without a gap.

    Args:
        gap: certified gaps, shape `(contexts,)`.
        scale: what they are relative to, as `decide` returns it, same shape.
    """
    gap, scale = _pair(gap, scale)
    return torch.where(gap <= 0, 0.0, gap / scale)  # NaN, of an empty set, stays NaN


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Result):
    """The decisions of one method on one task, judged; every field has shape `(contexts,)`.

    Args:
        regret: F(x_hat) - F_star.
        relative_regret: regret / (|F_star| + 1e-8).
        decision_error: ||x_hat - x_star||.
        infeasibility: worst violation of one constraint of the set.
        gap: certified gap of the surrogate's minimisation, in the units of f.
        optimiser_regret: F(x_hat) - F(x_f), x_f the surrogate's exact minimiser; None if x_f was not given.
        surrogate_regret: F(x_f) - F_star; None if x_f was not given.
        relative_gap: the gap relative to the answer's own `scale`; None if the answer has none.
        against: what F_star is: the optimum, or the best decision known of a simulator without one.
    """

    regret: Tensor
    relative_regret: Tensor
    decision_error: Tensor
    infeasibility: Tensor
    gap: Tensor
    optimiser_regret: Tensor | None = None
    surrogate_regret: Tensor | None = None
    relative_gap: Tensor | None = None
    against: str = "the optimum"

    def row(self) -> dict[str, float]:
        """Return the figures of one table row. A NaN of any context shows in each figure that it enters."""
        row = {
            "regret_mean": self.regret.mean(),
            "regret_median": self.regret.quantile(0.5),  # torch.median takes the lower of two middle values
            "regret_max": self.regret.amax(),
            "relative_regret_mean": self.relative_regret.mean(),
            "decision_error": self.decision_error.mean(),
            "infeasibility": self.infeasibility.amax(),
            "gap_max": self.gap.amax(),
        }
        if self.relative_gap is not None:
            row["relative_gap_max"] = self.relative_gap.amax()
        if self.optimiser_regret is not None and self.surrogate_regret is not None:
            row["regret_optimiser"] = self.optimiser_regret.mean()
            row["regret_surrogate"] = self.surrogate_regret.mean()
        return {key: float(value) for key, value in row.items()}

    @property
    def ok(self) -> bool:
        """Whether every figure is finite."""
        return all(math.isfinite(value) for value in self.row().values())

    def summary(self) -> str:
        """Return the mean regret, and all figures in a table."""
        count = len(self.regret)
        head = f"mean regret {float(self.regret.mean()):.3e} over {count} context{'' if count == 1 else 's'}"
        if self.against != "the optimum":
            head += f", against {self.against}"
        lines = [f"{key.replace('_', ' '):22s} {value:.3e}" for key, value in self.row().items()]
        return "\n".join([head, *lines])

    def table(self) -> tuple[Row, list[Row]]:
        """Return the figures by name."""
        rows: list[Row] = [(key.replace("_", " "), f"{value:.3e}") for key, value in self.row().items()]
        return ("figure", "value"), rows


def evaluate(
    task: AnyTask,
    answer: Decided,
    context: Tensor | None = None,
    *,
    optimum: tuple[Tensor, Tensor] | None = None,
    exact: Tensor | None = None,
    solver: ParametricSolver = "clarabel",
    cross_check: ParametricSolver | None = None,
    tolerance: float = 1e-6,
    progress: bool = False,
    settings: Mapping[str, Any] | None = None,
    **moved: Any,
) -> Evaluation:
    """Judge decisions by the true cost of the task.

    Args:
        task: the task.
        answer: the decisions, as `decide` returns them: x, value, gap.
        context: the contexts they were taken for, shape `(contexts, p)`; `answer.context` if omitted.
        optimum: (x_star, F_star) of these contexts; solved for if omitted, or searched for if it is not known.
        exact: minimisers x_f of the surrogate that an exact solver found, shape `(contexts, n)`, to split the regret
            into the optimiser's part and the surrogate's.
        solver: solver of the optimum, as in `task.optimum`.
        cross_check: a second solver that must agree on the optimum, or None.
        tolerance: largest relative difference of the two.
        progress: whether to show a progress bar of the optimum.
        settings: the solver's own settings, by its own names.
        moved: these settings by keyword; deprecated.

    Raises:
        ModelError: the answer is no decisions, or contexts, gaps or `exact` are missing or do not fit them.

    >>> from types import SimpleNamespace
    >>> from decision import tasks
    >>> task = tasks.make("box_socp", seed=0)
    >>> theta = task.sample_contexts(5, seed=1)
    >>> x, F = task.optimum(theta)
    >>> answer = SimpleNamespace(x=x, value=F, gap=task.gap(x, theta))
    >>> evaluate(task, answer, theta).row()["regret_mean"] < 1e-7
    True
    """
    if moved:
        listed = ", ".join(sorted(moved))
        warnings.warn(f"{listed} moved into `settings`, a mapping", DeprecationWarning, stacklevel=2)
    context = getattr(answer, "context", None) if context is None else context
    if context is None:
        raise ModelError("evaluate needs the contexts of the decisions; pass `context`")
    if not hasattr(answer, "x"):
        raise ModelError(
            f"evaluate takes decisions as `decide` returns them, with x, value and gap; received "
            f"{type(answer).__name__}: of points of your own, task.cost(x, context) gives the cost"
        )
    context, x_hat = _plain(context), _plain(answer.x)
    if context.ndim != 2 or x_hat.shape != (len(context), task.in_features):
        raise ModelError(
            f"decisions must have shape (contexts, {task.in_features}), one per context; received "
            f"{tuple(x_hat.shape)} for contexts of shape {tuple(context.shape)}"
        )
    gap, x_exact = _plain(answer.gap), None if exact is None else _plain(exact)
    for name, values, wanted in (("gap", gap, (len(x_hat),)), ("exact", x_exact, tuple(x_hat.shape))):
        if values is not None and values.shape != wanted:  # one of them would count for every context
            raise ModelError(f"{name} must have shape {wanted}, one per context; received {tuple(values.shape)}")
    known = True
    if optimum is not None:
        optimum = _optimum(optimum, x_hat)
    elif isinstance(task, Simulator):
        known = task.has_optimum
        optimum = task.optimum(context) if known else task.best_known(context, x_hat)
    else:
        own = {**(settings or {}), **moved}
        optimum = task.optimum(
            context, solver=solver, cross_check=cross_check, tolerance=tolerance, progress=progress, **own
        )
    x_star, F_star = optimum
    F_hat = task.cost(x_hat, context)
    scale = getattr(answer, "scale", None)
    F_exact = None if x_exact is None else task.cost(x_exact, context)
    return Evaluation(
        regret=regret(F_hat, F_star),
        relative_regret=relative_regret(F_hat, F_star),
        decision_error=decision_error(x_hat, x_star),
        infeasibility=_infeasibility(task.feasible_set, answer, x_hat, context),
        gap=gap,
        optimiser_regret=None if F_exact is None else regret(F_hat, F_exact),
        surrogate_regret=None if F_exact is None else regret(F_exact, F_star),
        relative_gap=None if scale is None else relative_gap(answer.gap, scale),
        against="the optimum" if known else "the best decision known",
    )


def _optimum(optimum: Any, x_hat: Tensor) -> tuple[Tensor, Tensor]:
    """Return (x_star, F_star) as tensors, one row and one value per decision; ModelError if they do not fit."""
    parts = [_plain(part) for part in optimum] if isinstance(optimum, tuple | list) else []
    shapes = [tuple(part.shape) for part in parts]
    if shapes != [tuple(x_hat.shape), (len(x_hat),)]:
        received = " and ".join(map(str, shapes)) if shapes else type(optimum).__name__
        raise ModelError(
            f"optimum must be (x_star, F_star), of shapes {tuple(x_hat.shape)} and {(len(x_hat),)}, one per context, "
            f"as task.optimum(context) returns them; received {received}"
        )
    return parts[0], parts[1]


def _infeasibility(feasible_set: Any, answer: Decided, x: Tensor, context: Tensor) -> Tensor:
    """Return the worst violation of one constraint; that of the answer if the set has no measure at x alone."""
    if isinstance(feasible_set, FeasibleSet):
        return feasible_set.violation(x)
    violation = getattr(answer, "violation", None)
    return _plain(feasible_set.violation(x, context) if violation is None else violation)


def _plain(values: Any) -> Tensor:
    tensor = values if isinstance(values, Tensor) else torch.tensor(as_float64(values))
    return tensor.detach().to("cpu", torch.float64)


def _pair(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    first, second = _plain(first), _plain(second)
    if first.shape != second.shape:
        raise ModelError(
            f"values to compare must have one shape; received {tuple(first.shape)} and {tuple(second.shape)}"
        )
    return first, second
