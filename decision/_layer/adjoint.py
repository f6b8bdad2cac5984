"""The derivative of decisions and optimal values: the optimality conditions of their faces, differentiated backwards.

With J = [H A'; A 0] the Jacobian of the conditions F = (grad f + mu'grad r + y'grad c, (r, c)) in (x, multipliers) and
(u, nu) = J^-1 (slope, 0), the gradient of slope'x + price min f in any number p that f, r or c depend on is

    - (u, nu)' dF/dp + price d(f + mu'r + y'c)/dp.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from decision._layer.array_gradient import AdjointSolution, cotangents
from decision._layer.array_local import ArrayLocal
from decision._layer.compiled.method import adjoint_by_loops
from decision._layer.face import ActiveRows, Face
from decision._layer.network_tensors import NetworkTensors
from decision._layer.objective import Function, Local, Objective
from decision._layer.rows import SetRows
from socicnn.positivity._base import evaluation_mode


@final
@dataclass(frozen=True, eq=False)
class SolvedBatch:
    """Decisions, and what their derivative is computed from.

    Args:
        x: [x | u], shape `(contexts, columns)`, float64.
        value: min_X f, shape `(contexts,)`.
        n: length of x.
        module: the model.
        names: of the parameters that are differentiated in.
        rows: the set.
        tolerance: nearer to a kink is on it, shape `(contexts, 1)`.
        exact: the function that was minimised, explored.
        numbers: those of its networks, with their graph; None if that is not known.
        leaves: what the graph starts from: contexts, then the parameters of `names`.
    """

    x: Tensor
    value: Tensor
    n: int
    module: nn.Module
    names: Sequence[str]
    rows: SetRows
    tolerance: Tensor
    exact: Objective
    numbers: NetworkTensors | None = None
    leaves: Sequence[Tensor | None] = ()

    def gradients(self, slope: Tensor, price: Tensor, inputs: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Return the gradients of slope'x + price'value in the inputs that require one.

        Args:
            slope: shape `(contexts, n)`.
            price: shape `(contexts,)`.
            inputs: contexts or None, right-hand sides of shape `(contexts, rows)`, and the weights of `names`.
        """
        if self.numbers is not None:
            return self._through_arrays(self.numbers, slope, price, inputs)
        leaves = [None if tensor is None else tensor.detach().requires_grad_(tensor.requires_grad) for tensor in inputs]
        theta, h, *weights = leaves
        assert h is not None  # a set has rows
        objective, rows = self._objective(theta, weights), self.rows
        local = objective.at(self.x, tolerance=self.tolerance)
        assert isinstance(local, Local)  # a module
        side = h.detach()
        held = ActiveRows.of(local, rows, side, Face.of(local, rows, side, self.tolerance * self.exact.size).held)
        gradient = local.gradient(self.x.new_zeros(len(self.x), held.sizes[0]))
        mu, y = held.multipliers(gradient.detach())
        if held.kinks.shape[1]:  # else all of mu is zero
            gradient = local.gradient(mu)
        residual = held.residual(local, rows, h)
        arrays = self.exact.stack is not None
        H = array_hessian(self.exact, self.x, rows, side, self.tolerance) if arrays else local.hessian(mu)
        system = held.system(H + rows.curvature(self.x, side, y))
        u, nu = system.solve(widened(slope, self.x.shape[1]), torch.zeros_like(residual))
        c = (y * rows.values(local.x, h)).sum(dim=1)
        if rows.cones:  # linear rows have the same gradient in x, whatever h is
            gradient = gradient + torch.autograd.grad(c.sum(), local.x, create_graph=True)[0]
        total = price * (local.lagrangian(mu) + c) - (u * gradient).sum(dim=1) - (nu * residual).sum(dim=1)
        wanted = [tensor for tensor in leaves if tensor is not None and tensor.requires_grad]
        slopes = iter(torch.autograd.grad(total.sum(), wanted, allow_unused=True))
        return [next(slopes) if tensor is not None and tensor.requires_grad else None for tensor in leaves]

    def _through_arrays(
        self, numbers: NetworkTensors, slope: Tensor, price: Tensor, inputs: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """Return the gradients from the networks' arrays and the graph that these were made by."""
        _, h, *_ = inputs
        assert h is not None  # a set has rows
        rows, x, side = self.rows, self.x, h.detach()
        local = self.exact.at(x, tolerance=self.tolerance)
        assert isinstance(local, ArrayLocal)  # there are arrays
        solution = self._solution(local, side, widened(slope, x.shape[1]))
        parts = cotangents(numbers, local, solution, price[:, None])
        wanted = [leaf for leaf in self.leaves if leaf is not None and leaf.requires_grad]
        pairs = [(a, b) for a, b in zip(numbers.tensors, parts, strict=True) if a.requires_grad]
        slopes: Sequence[Tensor | None] = [None] * len(wanted)
        if pairs:
            made, pulled = zip(*pairs, strict=True)
            slopes = torch.autograd.grad(made, wanted, pulled, retain_graph=True, allow_unused=True)
        known = iter(slopes)
        theta, *weights = [next(known) if leaf is not None and leaf.requires_grad else None for leaf in self.leaves]
        right = rows.pulled(x, side, solution.y, solution.u, solution.eta, price) if h.requires_grad else None
        return [_like(part, tensor) for part, tensor in zip([theta, right, *weights], inputs, strict=True)]

    def _solution(self, local: ArrayLocal, h: Tensor, slope: Tensor) -> AdjointSolution:
        """Return multipliers and adjoints; contexts whose system is singular get the least-norm ones."""
        quick = adjoint_by_loops(self.exact, self.rows, h, local, self.tolerance, slope)
        if quick is None:
            return _batched(self.exact, self.rows, h, local, self.tolerance, slope)
        solution, done = quick
        left = (~done).nonzero()[:, 0]
        if len(left):
            some, tolerance = self.exact.take(left), self.tolerance[left]
            around = some.at(local.at[left], tolerance=tolerance)
            rest = _batched(some, self.rows, h[left], around, tolerance, slope[left])
            for values, others in zip(solution, rest, strict=True):
                values[left] = others
        return solution

    def _objective(self, theta: Tensor | None, weights: Sequence[Tensor | None]) -> Objective:
        """Return the model as a function of these leaves, its kinks explored while nothing but x moves."""
        named = dict(zip(self.names, weights, strict=True))
        context = None if theta is None else _double(theta)
        own = _tensors(self.module, named)
        still = _called(self.module, {name: tensor.detach() for name, tensor in own.items()})
        fixed = Objective(self.n, still, None if context is None else context.detach())
        known = fixed.explored(self.x[:, : self.n], self.exact.size).known
        return Objective(self.n, _called(self.module, own), context, None, known)


def _batched(
    exact: Objective, rows: SetRows, h: Tensor, local: Local | ArrayLocal, tolerance: Tensor, slope: Tensor
) -> AdjointSolution:
    """Return multipliers and adjoints by operations on the whole batch."""
    x = local.at
    held = ActiveRows.of(local, rows, h, Face.of(local, rows, h, tolerance * exact.size).held)
    mu, y = held.multipliers(local.gradient(x.new_zeros(len(x), held.sizes[0])))
    system = held.system(local.hessian(mu) + rows.curvature(x, h, y))
    u, dual = system.solve(slope, x.new_zeros(held.A.shape[:2]))
    return AdjointSolution(mu, y, u, *held.spread(dual))


def array_hessian(exact: Objective, x: Tensor, rows: SetRows, h: Tensor, tolerance: Tensor) -> Tensor:
    """Return the Hessian of f + mu'r from the networks' arrays, whose kinks have another order than the module's."""
    local = exact.at(x, tolerance=tolerance)
    mu = x.new_zeros(local.held().shape)
    if exact.stack is not None and any(layer.inner for layer in exact.stack.layers):  # kinks that are curved themselves
        held = ActiveRows.of(local, rows, h, Face.of(local, rows, h, tolerance * exact.size).held)
        mu, _ = held.multipliers(local.gradient(mu))
    return local.hessian(mu)


def function_of(module: nn.Module, weights: Mapping[str, Tensor | None]) -> Function:
    """Return a module as a function of x and theta in float64; what `weights` does not name stays as it is."""
    return _called(module, _tensors(module, weights))


def _tensors(module: nn.Module, weights: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    """Return parameters and buffers in float64, without a graph those that `weights` does not name."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    known = {name: weight for name, weight in weights.items() if weight is not None}
    return {name: _double(known.get(name, tensor.detach())) for name, tensor in tensors.items()}


def _called(module: nn.Module, own: Mapping[str, Tensor]) -> Function:
    """Return a module with these parameters and buffers as a function of x and theta, as in evaluation mode."""

    def function(x: Tensor, theta: Tensor | None) -> Tensor:
        x = x.reshape(len(x), *getattr(module, "input_shape", x.shape[1:]))
        with evaluation_mode(module):  # as `decide` reads it
            value: Tensor = functional_call(module, dict(own), (x,) if theta is None else (x, theta))
        return value

    return function


def widened(x: Tensor, columns: int) -> Tensor:
    """Return x with zeros for helper variables after it."""
    return torch.nn.functional.pad(x, (0, columns - x.shape[1]))


def _like(slope: Tensor | None, tensor: Tensor | None) -> Tensor | None:
    return None if slope is None or tensor is None else slope.to(tensor.dtype)


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


@final
class ImplicitDecision(torch.autograd.Function):
    """Decisions and optimal values as functions of contexts, right-hand sides and weights."""

    @staticmethod
    def forward(ctx: Any, solved: SolvedBatch, *inputs: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what was solved; inputs as in `SolvedBatch.gradients`."""
        ctx.solved = solved
        ctx.save_for_backward(*inputs)
        return solved.x[:, : solved.n].clone(), solved.value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, price: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients."""
        with torch.enable_grad():
            return (None, *ctx.solved.gradients(slope, price, ctx.saved_tensors))
