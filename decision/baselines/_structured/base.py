"""Structured convex models: a few convex atoms of x whose vectors are linear in the context.

f(x, theta) = q'x + c + 1/2 sum_i d_i (x_i - m_i)^2 + sum_k beta_k'atom_k(A_k x - s_k)

q, c, d, m, s_k and beta_k are affine in theta, d and beta_k after a softplus; the matrices A_k are plain parameters.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Unpack

import torch
from scipy import sparse
from torch import Tensor, nn
from tqdm import tqdm

from decision._atoms import Atom
from decision._parametric import SETTINGS, Coefficients, ParametricProgram, ParametricSolver, others_than
from decision.sets import FeasibleSet
from socicnn._arrays import Array, as_float64
from socicnn._cvxpy_atom.build import to_cvxpy
from socicnn._integers import as_integer
from socicnn._registry import choose
from socicnn.errors import ModelError, NoProgramError
from socicnn.frozen import FrozenNet, Output, Quadratic
from socicnn.frozen._network import BRANCHES
from socicnn.nn._context import ContextNetwork, Vector
from socicnn.nn._network import Network
from socicnn.nn._options import DENSE_ONLY, SMOOTH, NetOptions, NetSettings, net_options
from socicnn.positivity._initial import normal

_DEFAULTS = NetOptions(positivity="softplus")


class Structured(Network, ABC):
    """What the structured models share.

    Start: A_k ~ N(0, 1/n), q, c, m, s_k = 0, d_i = 1/n and beta_k = 1/rows (1/sqrt(rows) for a norm) at theta = 0; the
    heads are the linear skip of `socicnn.nn._context`, and start as it does.

    Args:
        in_features: length n of x.
        context_features: length p of theta.
        rows: rows of each A_k.
        options: how it is made: the recipe reads the non-negative heads, by its `emit`, and defaults to softplus; the
            initialiser is not used.
        settings: the same as keywords.

    Attributes:
        atoms: the atoms, each with `rows` rows.
        diagonal: whether there is the term 1/2 sum_i d_i (x_i - m_i)^2.
    """

    atoms: ClassVar[tuple[Atom, ...]]
    diagonal: ClassVar[bool]

    def __init__(
        self,
        in_features: int,
        context_features: int = 8,
        *,
        rows: int = 12,
        options: NetOptions | None = None,
        **settings: Unpack[NetSettings],
    ) -> None:
        options = net_options(
            type(self).__name__,
            options or _DEFAULTS,
            settings,
            refused=(*DENSE_ONLY, *SMOOTH, "quadratic_offset", "negative_slope"),
        )
        in_features, rows = as_integer("in_features", in_features), as_integer("rows", rows)
        context_features = as_integer("context_features", context_features)
        n = in_features
        super().__init__((n,), (context_features,), "partial", options)
        self.in_features, self.context_features, self.rows = n, context_features, rows
        self.A = nn.ParameterList(normal((rows, n), options.generator) / math.sqrt(n) for _ in self.atoms)
        zeros = lambda size: torch.zeros(size, dtype=torch.float64)  # noqa: E731 (local shorthand)
        vectors = [Vector("q", zeros(n)), Vector("c", zeros(()))]
        if self.diagonal:
            vectors += [Vector("m", zeros(n)), Vector("d", zeros(n) + 1 / n, positive=True)]
        for k, atom in enumerate(self.atoms, start=1):
            beta = zeros(rows) + 1 / rows if atom.elementwise else zeros(1) + rows**-0.5
            vectors += [Vector(f"s{k}", zeros(rows)), Vector(f"beta{k}", beta, positive=True)]
        self.finish(ContextNetwork(vectors, context_features, self.readout, options.generator, hidden=0))

    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture."""
        return {"in_features": self.in_features, "context_features": self.context_features, "rows": self.rows}

    def evaluate(self, x: Tensor, vectors: dict[str, Tensor]) -> Tensor:
        """Return the formula's value, all matrices in one product."""
        value = (x * vectors["q"]).sum(dim=-1) + vectors["c"]
        if self.diagonal:
            value = value + 0.5 * (vectors["d"] * (x - vectors["m"]).square()).sum(dim=-1)
        images = nn.functional.linear(x, torch.cat(list(self.A))).split(self.rows, dim=-1)
        for k, (atom, image) in enumerate(zip(self.atoms, images, strict=True), start=1):
            value = value + (vectors[f"beta{k}"] * atom(image - vectors[f"s{k}"])).sum(dim=-1)
        return value

    def hidden(self, x: Tensor, vectors: dict[str, Tensor]) -> list[Tensor]:
        """Return nothing: there is no layer."""
        return []

    def assemble(self, vectors: dict[str, Array]) -> FrozenNet:
        """Return the same as arrays: the branches of the atoms, and one quadratic of one row per entry of x.

        Raises:
            NoProgramError: an atom is of another kind.
        """
        parts: dict[str, list[Any]] = {name: [] for name in BRANCHES}
        if self.diagonal:
            eye, d, m = sparse.csr_array(sparse.eye_array(self.in_features)), vectors["d"], vectors["m"]
            parts["quadratics"] = [Quadratic(0.5 * d[..., i], eye[[i]], -m[..., [i]]) for i in range(self.in_features)]
        for k, (atom, matrix) in enumerate(zip(self.atoms, self.A, strict=True), start=1):
            own = atom.branches(vectors[f"beta{k}"], as_float64(matrix.double()), -vectors[f"s{k}"])
            if own is None:
                raise NoProgramError(
                    f"{type(self).__name__} has {atom.name} atoms, which are not exported; decide with "
                    "`decision.decide`, or through CVXPY with `model.minimise(feasible_set, context)`"
                )
            for name, branches in own.items():
                parts[name] += branches
        more: dict[str, Any] = parts
        return FrozenNet([], Output(as_float64(torch.zeros(0)), vectors["q"], vectors["c"]), **more)

    def minimise(
        self,
        feasible_set: FeasibleSet,
        context: Any,
        *,
        solver: ParametricSolver = "clarabel",
        on_failure: Literal["raise", "nan"] = "raise",
        progress: bool = False,
        **settings: Any,
    ) -> Tensor:
        """Return argmin_{x in X} f(x, theta) for each context, through CVXPY: one program, compiled once (DPP).

        A context that the solver cannot solve goes to the other installed ones, unless you give `settings`.

        Args:
            feasible_set: the set X.
            context: shape `(contexts, p)`.
            solver: "clarabel", "ecos" or "scs", at a tight tolerance.
            on_failure: what becomes of a context that has no solution: `raise`, or `nan` in its row of x.
            progress: whether to show a progress bar.
            settings: go to the solver as they are.

        Returns:
            Members x of shape `(contexts, n)`, float64.

        Raises:
            ModelError: the set or the contexts do not fit, or the solver is unknown.
            SolverError: no solver gave an x for one of the contexts.
        """
        choose("on_failure", on_failure, ("raise", "nan"))
        if feasible_set.n != self.in_features:
            raise ModelError(f"the set has {feasible_set.n} coordinates, the model {self.in_features} inputs")
        coefficients, matrices = self.coefficients(context)
        blocks = list(zip(self.atoms, matrices, strict=True))
        r = None if coefficients.r is not None else as_float64(torch.zeros(self.in_features))
        program = ParametricProgram(f"a {type(self).__name__}", feasible_set, blocks, r)
        tight, plain = SETTINGS.get(solver, ({}, {}))
        with tqdm(total=len(coefficients.g), desc=f"decide with {solver}", disable=not progress) as bar:
            attempts = ({**tight, **settings}, {**plain, **settings})
            failures: dict[int, str] | None = {} if on_failure == "nan" else None
            others = [] if settings else others_than(solver)
            x = program.solve(coefficients, solver, attempts, bar.update, others=others, failures=failures)
        return feasible_set.project(torch.tensor(x))

    def minimize(self, feasible_set: FeasibleSet, context: Any, **settings: Any) -> Tensor:
        """Deprecated: `minimise`."""
        warnings.warn("minimize is now minimise", DeprecationWarning, stacklevel=2)
        return self.minimise(feasible_set, context, **settings)

    def expression(self, x: Any, context: Any) -> Any:
        """Return f(x, theta) at one context as a CVXPY expression.

        Args:
            x: affine CVXPY expression of shape `(n,)`.
            context: shape `(p,)`.
        """
        return to_cvxpy(self, x, context)

    def coefficients(self, context: Any) -> tuple[Coefficients, list[Array]]:
        """Return the numbers of the parametrised program and the matrices A_k, standardisation folded in.

        With x' = (x - mu) / sigma the quadratic becomes 1/2 sum_i d_i (x_i - mu_i - sigma_i m_i)^2 / sigma_i^2 and the
        rows A diag(1/sigma) x - (s + A diag(1/sigma) mu); all weights are multiplied by the scale of y.

        Args:
            context: shape `(contexts, p)`.
        """
        theta = self.standard_context(context)
        if theta is None or theta.ndim != 2:
            raise ModelError(f"context must have shape (contexts, {self.context_features}); received one context")
        vectors, units = self.vectors.frozen(theta), self.standardisation
        mu, sigma, scale = (as_float64(part.double()) for part in (units.exact_mean("x"), units.x_scale, units.y_scale))
        matrices = [as_float64(A.double()) / sigma for A in self.A]
        g, r = folded(vectors, mu, sigma, scale)
        s = tuple(vectors[f"s{k}"] + A @ mu for k, A in enumerate(matrices, start=1))
        beta = tuple(scale * vectors[f"beta{k}"] for k in range(1, len(matrices) + 1))
        return Coefficients(g, s, beta, r), matrices


def folded(vectors: Mapping[str, Any], mu: Any, sigma: Any, scale: Any) -> tuple[Any, Any]:
    """Return (g, r) of g'x + 1/2 ||r x||^2 in raw units, of arrays or of tensors; r is None without a quadratic.

    Args:
        vectors: what the heads emit: q, and perhaps d and m.
        mu: means of x.
        sigma: scales of x.
        scale: scale of y.
    """
    g = scale * vectors["q"] / sigma
    if "d" not in vectors:
        return g, None
    curvature = scale * vectors["d"] / sigma**2
    return g - curvature * (mu + sigma * vectors["m"]), curvature**0.5
