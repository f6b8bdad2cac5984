"""A convex torch module whose kinks are rounded from below, and the best points and bounds seen of it.

Softplus networks and structured models with logistic atoms cannot be frozen, but they can be evaluated, and bounded
from below while they are: with norms rounded to sqrt(||u||^2 + delta^2) - delta, and relu(a) = (a + |a|) / 2 with them,

    r_delta(a) = (a + sqrt(a^2 + delta^2) - delta) / 2,      relu - delta/2 <= r_delta <= relu,

whose curvature has no jump that Newton's method could be caught at, a network whose later layers are non-decreasing
becomes a smooth f_delta <= f (Nesterov, "Smooth minimization of non-smooth functions", 2005). Then f_delta(x) less its
Frank-Wolfe gap is a lower bound of f over X, and both losses vanish with delta.
"""

from __future__ import annotations

import copy
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from decision.minimise.answers import Goal
from decision.minimise.reference import ROUNDING, Reference
from decision.sets.base import FeasibleSet
from socicnn.errors import ModelError
from socicnn.ranges import Ranges

_RELUS = (torch.relu, nn.functional.relu, Tensor.relu)


@final
class Rounded(TorchFunctionMode):
    """While it is entered, relu and Euclidean norms of x are evaluated rounded, never above their own values.

    Only tensors that require a gradient, as x does and what is computed from it, are rounded: a context's part in a
    network is neither convex nor increasing, and a smaller relu there could raise f.

    Args:
        delta: width of the rounding, > 0.

    >>> with Rounded(0.5):
    ...     torch.relu(torch.tensor([0.25, 2.0], requires_grad=True)).detach()
    tensor([0.1545, 1.7808])
    """

    def __init__(self, delta: float) -> None:
        super().__init__()
        self.delta = delta

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace what is rounded, pass on the rest."""
        kwargs = kwargs or {}
        moves = bool(args) and isinstance(args[0], Tensor) and args[0].requires_grad
        if func in _RELUS and moves:
            a = args[0]
            return 0.5 * (a + (a.square() + self.delta**2).sqrt() - self.delta)
        if func is torch.linalg.vector_norm and moves:
            if set(kwargs) - {"dim", "keepdim"} or len(args) != 1:
                raise ModelError(
                    "only Euclidean norms can be rounded, torch.linalg.vector_norm(u, dim=..., keepdim=...); received "
                    f"further arguments {sorted(set(kwargs) - {'dim', 'keepdim'})}"
                )
            square = args[0].square().sum(**kwargs)
            return (square + self.delta**2).sqrt() - self.delta
        return func(*args, **kwargs)


@final
class RoundedModule:
    """A copy of a module in float64, on the CPU, that is evaluated at points x with contexts theta, one value a row.

    Args:
        model: called as `model(x, theta)`, or as `model(x)`, convex in x.
        plain: whether it takes no context; theta is then left out.

    x is given to it in the shape that its attribute `input_shape` names, as of images, where it has one.
    """

    def __init__(self, model: nn.Module, plain: bool = False) -> None:
        self.model, self.plain = copy.deepcopy(model).cpu().double().eval(), plain
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    def check(self, x: Tensor, theta: Tensor) -> None:
        """Check that the module gives one float64 value a row, and that x alone can require a gradient.

        Raises:
            ModelError: it does not; what depends on x could not be told from what does not.
        """
        with torch.enable_grad():
            value = self._call(x.detach(), theta.detach())
            if not isinstance(value, Tensor) or value.shape != x.shape[:1] or value.dtype != torch.float64:
                found = f"{tuple(value.shape)}, {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
                raise ModelError(f"the module must give one float64 value a row, shape ({len(x)},); received {found}")
            if value.requires_grad:
                raise ModelError(
                    "the module holds tensors that require gradients and are not its parameters; make them parameters "
                    "or buffers, or detach them"
                )

    def _call(self, x: Tensor, theta: Tensor) -> Tensor:
        x = x.reshape(len(x), *getattr(self.model, "input_shape", x.shape[1:]))
        value: Tensor = self.model(x) if self.plain else self.model(x, theta)
        return value

    def exact(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return f(x)."""
        with torch.no_grad():
            return self._call(x, theta)

    def value(self, x: Tensor, theta: Tensor, delta: float) -> Tensor:
        """Return f_delta(x)."""
        return self._rounded(x.detach().requires_grad_(), theta, delta).detach()

    def _rounded(self, x: Tensor, theta: Tensor, delta: float) -> Tensor:
        """Return f_delta(x), to be differentiated; x must require its gradient."""
        with Rounded(delta):
            return self._call(x, theta)

    def gradient(self, x: Tensor, theta: Tensor, delta: float) -> tuple[Tensor, Tensor]:
        """Return f_delta(x) and its gradient."""
        x = x.detach().requires_grad_()
        value = self._rounded(x, theta, delta)
        (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    def hessian(self, x: Tensor, theta: Tensor, delta: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return f_delta(x), its gradient and its Hessian, shape `(contexts, n, n)`: n products with a vector."""
        x = x.detach().requires_grad_()
        value = self._rounded(x, theta, delta)
        (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        contexts, n = x.shape
        if not gradient.requires_grad:
            return value.detach(), gradient, x.new_zeros(contexts, n, n)
        units = torch.eye(n, dtype=x.dtype, device=x.device)[:, None, :].expand(n, contexts, n)
        (hessian,) = torch.autograd.grad(gradient, x, units, is_grads_batched=True, materialize_grads=True)
        hessian = hessian.transpose(0, 1)
        return value.detach(), gradient.detach(), 0.5 * (hessian + hessian.mT)


@final
class Bracket:
    """The best points of a batch of contexts, lower bounds of their minima, and which are not done.

    Args:
        module: the module f.
        feasible_set: the set X.
        theta: contexts, shape `(contexts, p)`.
        goal: when to stop.
        ranges: of the training data, for the reference points; None if they are not known.
    """

    def __init__(
        self,
        module: RoundedModule,
        feasible_set: FeasibleSet,
        theta: Tensor,
        goal: Goal,
        ranges: Ranges | None = None,
    ) -> None:
        self.module, self.set, self.theta, self.goal = module, feasible_set, theta, goal
        self.x = feasible_set.center().repeat(len(theta), 1)
        module.check(self.x, theta)
        self.value = module.exact(self.x, theta)
        self.lower = torch.full_like(self.value, -torch.inf)
        self.most = self.lower.clone()
        reference = Reference.of(feasible_set, ranges)
        for point in reference.points if len(theta) else ():
            found = module.exact(point.expand(len(theta), -1), theta)
            self.most = torch.maximum(self.most, found.nan_to_num(nan=-torch.inf, posinf=-torch.inf))
        if not bool(reference.half.any()):  # a single point
            self.lower = self.value.clone()
        self.iterations = torch.zeros(len(theta), dtype=torch.int64)

    def open(self, rows: Tensor) -> Tensor:
        """Return which of the rows have a larger gap than asked for, and iterations and time left."""
        best = self.value[rows]
        left = ~(best - self.lower[rows] <= self.allowed(rows))
        return left & (not self.spent(rows)) & (not self.goal.late)

    def scale(self) -> Tensor:
        """Return max_P f - f(x): the terms of a module are not known, how much it varies is."""
        return (self.most - self.value).clamp(min=0.0)

    def floor(self) -> Tensor:
        """Return the gap that rounding alone may leave, shape `(contexts,)`."""
        return ROUNDING * (self.value.abs() + self.lower.nan_to_num(neginf=0.0).abs())

    def allowed(self, rows: Tensor) -> Tensor:
        """Return the gap at which these rows are done."""
        relative = torch.maximum(self.goal.rtol * self.scale(), self.floor())
        return relative[rows].clamp(min=self.goal.atol)

    def spent(self, rows: Tensor) -> bool:
        """Return whether these rows, which all go on together, have had their iterations."""
        most = self.goal.max_iterations
        return most is not None and bool((self.iterations[rows] >= most).any())

    def offer_point(self, rows: Tensor, x: Tensor) -> Tensor:
        """Keep the points that are better; return the values of all."""
        value = self.module.exact(x, self.theta[rows])
        better = value < self.value[rows]
        self.x[rows] = torch.where(better[:, None], x, self.x[rows])
        self.value[rows] = torch.where(better, value, self.value[rows])  # not where it is not a number
        return value

    def offer_bound(self, rows: Tensor, x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        """Keep the bounds f_delta(x) less its Frank-Wolfe gap that are better; return that gap of all."""
        fall = (gradient * (x - self.set.minimize_linear(gradient))).sum(dim=-1)
        self.lower[rows] = torch.fmax(self.lower[rows], value - fall)  # what is not a number is passed over
        return fall
