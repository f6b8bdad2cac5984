"""A convex program as a layer: a structured PCF trained end to end on the true cost of its decisions.

x_hat(theta) = argmin_{x in X} 1/2 ||r x||^2 + g'x + sum_k ||A_k x - s_k||,   minimise mean_theta F(x_hat(theta), theta)

r, g, A_k and s_k are those of a `StructuredPCF` at theta, weights of the norms multiplied in. The solver stands in the
loop: each step solves and differentiates one program per context (extra `dcp`, cvxpylayers with Clarabel inside).

Reference: Agrawal et al., "Differentiable convex optimization layers", 2019.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, final

import torch
from torch import Tensor, nn
from tqdm import tqdm

from decision.baselines._structured.base import folded
from decision.baselines._structured.pcf import StructuredPCF
from decision.sets._base import FeasibleSet
from socicnn._integers import as_seed
from socicnn._moved import renamed_names
from socicnn.errors import MissingExtra, ModelError, SolverError

SOLVER = {"solve_method": "Clarabel", "n_jobs_forward": 1}
BACKWARD = {"n_jobs_backward": 1, "mode": "dense"}  # known to diffcp only where gradients are asked for
FEASIBLE = 1e-5  # a layer that violates a constraint by more has lost it


def require() -> Any:
    """Return the module of cvxpylayers for torch.

    Raises:
        MissingExtra: cvxpylayers or diffcp is not installed.
    """
    for package in ("cvxpylayers.torch", "diffcp"):
        try:
            import_module(package)
        except ImportError as error:
            raise MissingExtra(
                f'layers with a solver in the loop need {package.partition(".")[0]}; run: pip install "socicnn[dcp]"'
            ) from error
    return import_module("cvxpylayers.torch")


@final
class SolverLayer(nn.Module):
    """The decision of a structured PCF over a set, differentiable in the model's weights.

    Args:
        model: the parametrised objective; it is trained in place.
        feasible_set: the set X.
        settings: settings of the solver, `SOLVER` excepted.

    Raises:
        MissingExtra: cvxpylayers is not installed.
        ModelError: the set does not fit.
    """

    def __init__(self, model: StructuredPCF, feasible_set: FeasibleSet, settings: dict[str, Any] | None = None) -> None:
        import cvxpy as cp

        super().__init__()
        torch_layers = require()
        n, rows = model.in_features, model.rows
        if feasible_set.n != n:
            raise ModelError(f"the set has {feasible_set.n} coordinates, the model {n} inputs")
        self.model, self.feasible_set = model, feasible_set
        self.settings = {**SOLVER, **(settings or {})}
        x, r, g = cp.Variable(n), cp.Parameter(n), cp.Parameter(n)
        A = [cp.Parameter((rows, n)) for _ in model.atoms]
        s = [cp.Parameter(rows) for _ in model.atoms]
        value = 0.5 * cp.sum_squares(cp.multiply(r, x)) + g @ x
        norms = sum(cp.norm(matrix @ x - offset) for matrix, offset in zip(A, s, strict=True))
        problem = cp.Problem(cp.Minimize(value + norms), feasible_set.constraints(x))
        assert problem.is_dcp(dpp=True), "the program must be compiled once for all contexts"
        self.layer = torch_layers.CvxpyLayer(problem, parameters=[r, g, *A, *s], variables=[x])

    def parameters_at(self, context: Tensor) -> list[Tensor]:
        """Return (r, g, A_1, .., s_1, ..) at contexts of shape `(contexts, p)`, differentiable in the weights."""
        model = self.model
        vectors = model.vectors(model.standard_context(context))
        units = model.standardisation
        mu, sigma, scale = units.x_mean + units.x_mean_low, units.x_scale, units.y_scale
        g, r = folded(vectors, mu, sigma, scale)
        matrices, offsets = [], []
        for k, A in enumerate(model.A, start=1):
            weight = scale * vectors[f"beta{k}"]
            matrices.append(weight[..., None] * (A / sigma))
            offsets.append(weight * (vectors[f"s{k}"] + (A / sigma) @ mu))
        return [r, g, *matrices, *offsets]

    def forward(self, context: Tensor) -> Tensor:
        """Return x_hat of each context, feasible to the solver's accuracy, float64.

        Args:
            context: shape `(contexts, p)`.

        Raises:
            SolverError: the solver failed, or its answer violates a constraint by more than 1e-5.
        """
        values = [value.to(torch.float64) for value in self.parameters_at(context)]
        differentiates = torch.is_grad_enabled() and any(value.requires_grad for value in values)
        settings = {**self.settings, **(BACKWARD if differentiates else {})}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the solver's word about accuracy: the violation is checked below
                (x,) = self.layer(*values, solver_args=settings)
        except Exception as error:  # diffcp raises errors of its own kind, cvxpylayers others
            raise SolverError(f"the layer's solver failed: {' '.join(str(error).split())}") from error
        decisions: Tensor = x
        worst = float(self.feasible_set.violation(decisions.detach()).max())
        if not worst <= FEASIBLE:
            raise SolverError(
                f"the layer's answer violates {self.feasible_set!r} by {worst:.1e}: a constraint was lost, or the "
                "solver stopped short; check the versions of cvxpylayers, diffcp and cvxpy"
            )
        return decisions


def differentiate(x: Tensor, slope: Tensor) -> None:
    """Add (d x / d w)'slope to the gradients of the weights.

    Args:
        x: what a layer returned.
        slope: of the same shape.

    Raises:
        SolverError: diffcp could not differentiate the program.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # cvxpylayers hands NumPy tensors the old way
            x.backward(slope)
    except Exception as error:  # of kinds of diffcp's and LAPACK's own
        raise SolverError(f"the layer could not be differentiated: {' '.join(str(error).split())}") from error


@final
@dataclass(frozen=True)
class EndToEnd:
    """How a layer is trained.

    Args:
        epochs: passes over the contexts.
        batch_size: contexts per step.
        learning_rate: of Adam; it falls along half a cosine.
    """

    epochs: int = 10
    batch_size: int = 20
    learning_rate: float = 5e-3


@final
@dataclass
class EndToEndHistory:
    """What a training came to.

    Args:
        cost: mean true cost of the decisions of each epoch, before its steps.
        labels: evaluations of the true cost, each with its gradient in x.
        failed: steps left out because the solver failed.
        seconds: CPU seconds.
    """

    cost: list[float] = field(default_factory=list)
    labels: int = 0
    failed: int = 0
    seconds: float = 0.0


def fit_end_to_end(
    layer: SolverLayer,
    cost: Callable[[Tensor, Tensor], Tensor],
    context: Tensor,
    settings: EndToEnd | None = None,
    *,
    seed: int = 0,
    progress: bool = False,
) -> EndToEndHistory:
    """Train a layer in place on the mean true cost of its decisions, by Adam.

    Args:
        layer: the layer; its model is changed.
        cost: F(x, theta), differentiable in x.
        context: training contexts, shape `(contexts, p)`.
        settings: how.
        seed: seed of the batches.
        progress: whether to show a progress bar.

    Raises:
        SolverError: every step of an epoch failed.
    """
    settings, history = settings or EndToEnd(), EndToEndHistory()
    draw = torch.Generator().manual_seed(as_seed("seed", seed))
    optimiser = torch.optim.Adam(layer.model.parameters(), settings.learning_rate)
    steps = settings.epochs * -(-len(context) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    failure: SolverError | None = None
    started = time.process_time()
    for _ in tqdm(range(settings.epochs), desc="train end to end", unit="epoch", disable=not progress):
        total, count = 0.0, 0
        for rows in torch.randperm(len(context), generator=draw).split(settings.batch_size):
            theta = context[rows]
            try:
                x = layer(theta)
            except SolverError as error:
                failure, history.failed = error, history.failed + 1
                continue
            at = x.detach().requires_grad_()
            loss = cost(at, theta).mean()
            (slope,) = torch.autograd.grad(loss, at)
            optimiser.zero_grad()
            try:
                differentiate(x, slope)
            except SolverError as error:
                failure, history.failed = error, history.failed + 1
                continue
            optimiser.step()
            schedule.step()
            total, count = total + float(loss.detach()) * len(rows), count + len(rows)
        if not count:
            raise SolverError(f"every step of an epoch failed, the last one because: {failure}")
        history.cost.append(total / count)
        history.labels += count
    history.seconds = time.process_time() - started
    return history


__getattr__ = renamed_names(__name__, {"DecisionLayer": SolverLayer})
