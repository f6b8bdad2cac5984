"""A parametric convex cost over a feasible set, whose minimum is known."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from decision._atoms import Atom
from decision.sets import FeasibleSet
from decision.sets._samplers import Boundary, Sampler, SamplerName, Uniform, make_sampler
from decision.tasks._maps import ContextMap
from socicnn._arrays import as_float64
from socicnn._integers import as_integer
from socicnn._moved import accepts_renamed
from socicnn.errors import ModelError, NoProgramError
from socicnn.frozen import FrozenNet, Output, Quadratic
from socicnn.frozen._network import BRANCHES
from socicnn.training import Data

if TYPE_CHECKING:
    from decision._parametric import ParametricSolver
    from decision.tasks._optimum import Optimiser


@dataclass(frozen=True, eq=False)
class CostBlock:
    """Rows of a family term: sum_j weight_j(theta) atom_j(A x - offset(theta)).

    Args:
        A: shape `(rows, n)`.
        offset: map theta -> s, size rows.
        weight: map theta -> beta >= 0, size rows for an elementwise atom, else 1.
    """

    A: Tensor
    offset: ContextMap
    weight: ContextMap


@final
class Task:
    """The cost F(x, theta) = quad/2 sum_i (w_i (x_i - m_i(theta)))^2 + c(theta)'x + family term, over a set.

    The family term is the sum of its blocks, sum_j weight_j(theta) atom_j(A x - offset(theta)). Everything is
    computed in float64. `make` draws the tasks of the benchmark, `from_arrays` builds one from given arrays.

    Args:
        name: a name, for tables.
        feasible_set: the set X of the decisions.
        quad: weight of the quadratic, at least 0.
        w: scales of the coordinates, shape `(n,)`.
        centre: map theta -> m, size n.
        linear: map theta -> c, size n.
        atom: the family's function.
        blocks: the family's rows.

    Raises:
        ModelError: shapes that disagree.
    """

    @accepts_renamed(center="centre")
    def __init__(
        self,
        name: str,
        feasible_set: FeasibleSet,
        *,
        quad: float,
        w: Any,
        centre: ContextMap,
        linear: ContextMap,
        atom: Atom,
        blocks: Sequence[CostBlock],
    ) -> None:
        self.name, self.feasible_set, self.quad = name, feasible_set, float(quad)
        self.w = torch.tensor(as_float64(w))
        self.centre, self.linear, self.atom, self.blocks = centre, linear, atom, tuple(blocks)
        self._optimiser: Optimiser | None = None
        n, p = feasible_set.n, centre.weight.shape[1]
        if self.quad < 0:
            raise ModelError(f"quad must be at least 0, or the cost is not convex; received {self.quad}")
        if self.w.shape != (n,) or centre.size != n or linear.size != n:
            raise ModelError(
                f"w, the centre and the linear map must have {n} rows, as the set; received {tuple(self.w.shape)}, "
                f"{centre.size} and {linear.size}"
            )
        for k, block in enumerate(self.blocks, start=1):
            rows, weights = len(block.A), len(block.A) if atom.elementwise else 1
            if block.A.shape != (rows, n) or block.offset.size != rows or block.weight.size != weights:
                raise ModelError(
                    f"block {k} needs A of shape (rows, {n}), one offset per row and {weights} weights; received "
                    f"{tuple(block.A.shape)}, {block.offset.size} and {block.weight.size}"
                )
        maps = [linear, *(m for block in self.blocks for m in (block.offset, block.weight))]
        if any(m.weight.shape[1] != p for m in maps):
            raise ModelError(
                f"all maps must take the same number p of context features; received {p} and "
                f"{sorted({m.weight.shape[1] for m in maps} - {p})}"
            )

    @property
    def center(self) -> ContextMap:
        """Deprecated: `centre`."""
        warnings.warn("Task.center is now Task.centre", DeprecationWarning, stacklevel=2)
        return self.centre

    @property
    def in_features(self) -> int:
        """Length n of x."""
        return self.feasible_set.n

    @property
    def context_features(self) -> int:
        """Length p of theta."""
        return self.centre.weight.shape[1]

    @property
    def context_shape(self) -> tuple[int]:
        """Shape of one theta: `(p,)`."""
        return (self.context_features,)

    def __repr__(self) -> str:
        return f"Task({self.name!r}, {self.feasible_set!r}, context_features={self.context_features})"

    def cost(self, x: Tensor, context: Tensor) -> Tensor:
        """Return the true cost F(x, theta), differentiable in both.

        Args:
            x: shape `(*batch, n)`.
            context: shape `(*batch, p)`. With fewer batch axes than x it belongs to the leading ones: x
                `(contexts, candidates, n)` goes with context `(contexts, p)`. Then the batches broadcast as usual.

        Returns:
            Costs of the broadcast batch shape, float64, on the CPU.
        """
        x, context = aligned(self, x, context)
        square = ((self.w * (x - self.centre(context))) ** 2).sum(dim=-1)
        value = 0.5 * self.quad * square + (self.linear(context) * x).sum(dim=-1)
        for block in self.blocks:
            atoms = self.atom(x @ block.A.T - block.offset(context))
            value = value + (block.weight(context) * atoms).sum(dim=-1)
        return value

    def freeze(self, context: Any = None) -> FrozenNet:
        """Return the true cost at a context, or at several, as a network without layers: what `decide` proves.

        Args:
            context: shape `(p,)` or `(contexts, p)`.

        Raises:
            ModelError: the context is missing.
            NoProgramError: the family's atoms are no branches of networks (Huber).
        """
        if context is None:
            raise ModelError(f"context is missing: {self!r} needs one of shape ({self.context_features},), or several")
        theta = torch.tensor(as_float64(context, "context"))
        w, m, c = self.w.numpy(), self.centre(theta).numpy(), self.linear(theta).numpy()
        parts: dict[str, Any] = {name: [] for name in BRANCHES}
        parts["quadratics"].append(Quadratic(0.5 * self.quad, sparse.csr_array(sparse.diags_array(w)), -w * m))
        for block in self.blocks:
            weight, offset = block.weight(theta).numpy(), -block.offset(theta).numpy()
            own = self.atom.branches(weight, block.A.numpy(), offset)
            if own is None:
                raise NoProgramError(f"{self.atom.name} functions are no branches of networks; use `optimum`")
            for name, branches in own.items():
                parts[name] += branches
        return FrozenNet([], Output(np.zeros(0), c, 0.0), **parts, contexts=len(theta) if theta.ndim > 1 else None)

    def gap(self, x: Tensor, context: Tensor) -> Tensor:
        """Return the Frank-Wolfe gap g'(x - minimise_linear(g)) >= F(x, theta) - F_star of members x, g = dF/dx."""
        x = x.detach().to(self.w).requires_grad_()
        (g,) = torch.autograd.grad(self.cost(x, context).sum(), x)
        return (g * (x.detach() - self.feasible_set.minimise_linear(g))).sum(dim=-1)

    def sample_contexts(self, count: int, *, seed: int) -> Tensor:
        """Draw contexts theta ~ N(0, I), shape `(count, p)`, float64."""
        count = as_integer("count", count, 0)
        return torch.randn(count, self.context_features, dtype=torch.float64, generator=stream("contexts", seed))

    def sample(
        self,
        contexts: int = 1000,
        candidates: int = 64,
        *,
        seed: int,
        boundary: float = 0.0,
        sampler: Sampler | SamplerName = "uniform",
    ) -> Data:
        """Draw contexts, candidates of each, uniform on the set unless asked otherwise, and their costs.

        Args:
            contexts: number of contexts, those of `sample_contexts(contexts, seed=seed)`.
            candidates: candidates of each context.
            seed: seed of contexts and candidates, whose streams are independent of each other and of the task's own.
            boundary: share of the candidates drawn on the faces of the set; 0 is the benchmark's protocol.
            sampler: law of the candidates, a `Sampler` or its short name: `uniform` (the benchmark's protocol),
                `boundary`, or `vertices`, averages of few vertices; it takes the place of `boundary`.

        Raises:
            ModelError: a number is not positive, or the sampler is unknown, or given together with `boundary`.
        """
        contexts, candidates = as_integer("contexts", contexts), as_integer("candidates", candidates)
        law = make_sampler(sampler)
        if boundary and law != Uniform():
            raise ModelError(f"give boundary or sampler, not both; received boundary={boundary} and {law}")
        law = Boundary(boundary) if boundary else law
        context = self.sample_contexts(contexts, seed=seed)
        x = law.draw(self.feasible_set, contexts * candidates, stream("candidates", seed))
        x = x.reshape(contexts, candidates, self.in_features)
        return Data(x, context, self.cost(x, context))

    def expression(self, x: Any, context: Any) -> Any:
        """Return F(x, theta) at one context as a CVXPY expression of x, an affine expression of shape `(n,)`."""
        import cvxpy as cp

        theta = torch.tensor(as_float64(context, "context"))
        m, c = self.centre(theta), self.linear(theta)
        value = 0.5 * self.quad * cp.sum_squares(cp.multiply(self.w.numpy(), x - m.numpy())) + c.numpy() @ x
        for block in self.blocks:
            atoms = self.atom.expression(block.A.numpy() @ x - block.offset(theta).numpy())
            weight = block.weight(theta).numpy()
            value = value + (weight @ atoms if self.atom.elementwise else float(weight[0]) * atoms)
        return value

    def optimum(
        self,
        context: Tensor,
        *,
        solver: ParametricSolver = "clarabel",
        cross_check: ParametricSolver | None = None,
        tolerance: float = 1e-6,
        progress: bool = False,
        **settings: Any,
    ) -> tuple[Tensor, Tensor]:
        """Return (x_star, F_star), the minimiser over the set and its cost, for each context.

        CVXPY solves one parametrised program, compiled once; x_star is projected onto the set and F_star is its true
        cost, so that F_star is never below the optimum. `gap(x_star, context)` bounds what is missing.

        Args:
            context: shape `(contexts, p)`.
            solver: "clarabel", "ecos" or "scs", at a tight tolerance.
            cross_check: a second solver that must agree, or None.
            tolerance: largest difference |F - F'| / (1 + |F|) of the two solvers.
            progress: whether to show a progress bar.
            settings: go to the solver as they are.

        Returns:
            x_star of shape `(contexts, n)` and F_star of shape `(contexts,)`, float64.

        Raises:
            SolverError: a solver failed, or the two disagree.
            MissingExtra: the solver is not installed.
        """
        from decision.tasks._optimum import Optimiser

        if self._optimiser is None:
            self._optimiser = Optimiser(self)
        return self._optimiser.solve(context, solver, cross_check, tolerance, progress, settings)


def aligned(task: Any, x: Any, context: Any) -> tuple[Tensor, Tensor]:
    """Return x and contexts, tensors or arrays, in float64 on the CPU, with axes for the candidates, which come last.

    Raises:
        ModelError: shapes that do not fit the task.
    """
    x, context = (
        values if isinstance(values, Tensor) else torch.tensor(as_float64(values, label))
        for label, values in (("x", x), ("context", context))
    )
    for label, values, size in (("x", x, task.in_features), ("context", context, task.context_features)):
        if values.ndim == 0 or values.shape[-1] != size:
            raise ModelError(f"{label} must have shape (*batch, {size}); received {tuple(values.shape)}")
    x, context = x.to("cpu", torch.float64), context.to("cpu", torch.float64)
    lead = (1,) * max(x.ndim - context.ndim, 0)
    return x, context.reshape(*context.shape[:-1], *lead, context.shape[-1])


def stream(label: str, seed: int) -> torch.Generator:
    """Return a generator for one use of a seed; streams of different labels are independent at equal seeds."""
    seed = as_integer("seed", seed, None)
    digest = hashlib.sha256(f"{label} {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
