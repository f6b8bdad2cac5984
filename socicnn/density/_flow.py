"""Convex potential flows: the gradient of a strongly convex network maps data to a normal law."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Self, Unpack, final

import torch
from torch import Tensor, nn

from socicnn._integers import as_integer, is_number
from socicnn.density._change_of_variables import Flow
from socicnn.density._log_determinant import (
    EXACT_FEATURES,
    LogDet,
    LogDetEstimate,
    StochasticLogDet,
    as_log_det,
    estimated,
)
from socicnn.density._modules import why_not_smooth
from socicnn.errors import ModelError
from socicnn.nn import ICNN
from socicnn.nn._kinds import NETWORKS
from socicnn.nn._options import NetOptions, NetSettings

ONE = math.log(math.e - 1)  # softplus of it is 1


@final
class PotentialFlow(Flow):
    """x -> grad F(x), F(x) = softplus(w_1) f(x) + (softplus(w_0) + sc) ||x||^2 / 2, f convex and smooth.

    log p(x) = log N(grad F(x); 0, I) + log det Hess F(x) (Huang et al., "Convex potential flows", 2021). Up to 32
    dimensions the Hessian is computed exactly: n derivatives of the gradient and a determinant per point. Beyond, its
    log-determinant is estimated without bias from few Hessian-vector products (see `StochasticLogDet`), whose random
    signs come from torch's own generator. Start: softplus(w_0) = 1, w_1 = 0.

    Args:
        network: f, a network of `socicnn.nn` without a context or any convex torch module (see `ConvexModule`), proved
            twice differentiable by its structure or declared so (see `why_not_smooth`).
        strong_convexity: sc > 0, a lower bound of the Hessian's eigenvalues.
        in_features: dimension n of x, where a module of your own does not tell it.
        log_det: `"exact"`, `"stochastic"`, or a `StochasticLogDet` with numbers of probes and steps; exact up to 32
            dimensions and stochastic beyond if omitted.

    Raises:
        ModelError: the network takes a context, is not known to be twice differentiable or cannot be used, sc is not
            positive, or log_det is invalid.

    >>> flow = PotentialFlow.dense(2, (8, 8))
    >>> flow.log_density(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    def __init__(
        self,
        network: nn.Module,
        strong_convexity: float = 0.05,
        *,
        in_features: int | None = None,
        log_det: LogDet | None = None,
    ) -> None:
        super().__init__(network, in_features)
        shape, dtype, device = self.network.input_shape, self.network.dtype, self.network.device
        if (why := why_not_smooth(self.network)) is not None:
            raise ModelError(
                f"a flow needs a network that is twice differentiable: {why}; use activation='softplus' and quadratic "
                "branches alone, or set `twice_differentiable = True` on a module that is"
            )
        if len(shape) != 1:
            raise ModelError(f"a flow takes points that are vectors; the network takes shape {shape}")
        if not (is_number(strong_convexity) and 0 < strong_convexity < math.inf):
            raise ModelError(f"strong_convexity must be a number > 0; received {strong_convexity!r}")
        self.strong_convexity = float(strong_convexity)
        self.log_det = as_log_det(log_det)
        self.w0 = nn.Parameter(torch.tensor(ONE, dtype=dtype, device=device))
        self.w1 = nn.Parameter(torch.zeros((), dtype=dtype, device=device))

    @classmethod
    def dense(
        cls,
        in_features: int,
        hidden_features: Sequence[int] = (64, 64, 64),
        *,
        strong_convexity: float = 0.05,
        log_det: LogDet | None = None,
        options: NetOptions | None = None,
        **settings: Unpack[NetSettings],
    ) -> Self:
        """Return the flow of an `ICNN` with softplus units and input skips; the other arguments are the network's."""
        network = ICNN(in_features, hidden_features, activation="softplus", options=options, **settings)
        return cls(network, strong_convexity, log_det=log_det)

    def forward(self, x: Tensor) -> Tensor:
        """Return F(x), shape `(*batch,)`."""
        quadratic = 0.5 * self.least_curvature * x.square().sum(dim=-1)
        return nn.functional.softplus(self.w1) * self.network(x) + quadratic

    @property
    def least_curvature(self) -> Tensor:
        """softplus(w_0) + sc, a lower bound of the Hessian's eigenvalues."""
        return nn.functional.softplus(self.w0) + self.strong_convexity

    @property
    def estimator(self) -> StochasticLogDet | None:
        """How log-determinants are estimated; None where they are exact."""
        if self.log_det is None:
            return StochasticLogDet() if self.features > EXACT_FEATURES else None
        return None if self.log_det == "exact" else self.log_det

    def transport(self, x: Tensor) -> Tensor:
        """Return grad F(x), shape that of x."""
        return torch.func.grad(lambda points: self(points).sum())(x)

    def transport_and_hessian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return grad F(x), and Hess F(x) of shape `(*batch, n, n)`."""
        gradient, pull = torch.func.vjp(self.transport, x)[:2]
        axes = torch.eye(self.features, dtype=x.dtype, device=x.device)
        rows = [axis.expand_as(x) for axis in axes]
        hessian = torch.func.vmap(lambda row: pull(row)[0], out_dims=-1)(torch.stack(rows))
        return gradient, hessian

    def transport_and_estimate(
        self, x: Tensor, *, training: bool = False, probes: int | None = None
    ) -> tuple[Tensor, LogDetEstimate]:
        """Return grad F(x), and log det Hess F(x) of shape `(*batch,)` with its errors, which are 0 where it is exact.

        Args:
            x: points of shape `(*batch, n)`.
            training: whether to take as many probes as for a step of training, rather than as many as for a judgement.
            probes: how many to take, in place of either.
        """
        if (chosen := self.estimator) is None:
            gradient, hessian = self.transport_and_hessian(x)
            value = torch.linalg.slogdet(hessian).logabsdet
            return gradient, LogDetEstimate.exact(value, None if training else self._bent(hessian.detach()))
        if probes is None:
            probes = chosen.probes if training else chosen.evaluation_probes
        gradient, pull = torch.func.vjp(self.transport, x)[:2]
        least = self.least_curvature
        return gradient, estimated(lambda v: pull(v)[0], x, least, as_integer("probes", probes), chosen.steps)

    def _bent(self, hessian: Tensor) -> Tensor:
        """Return which Hessians, shape `(*batch, n, n)`, have an eigenvalue below their bound by more than rounding."""
        diagonal = hessian.diagonal(dim1=-2, dim2=-1)
        slack = torch.finfo(hessian.dtype).eps ** 0.5 * diagonal.abs().amax(dim=-1)
        moved = hessian - torch.diag_embed((self.least_curvature.detach() - slack)[..., None].expand_as(diagonal))
        return (torch.linalg.cholesky_ex(moved).info > 0) & torch.isfinite(slack)

    def settings(self) -> dict[str, Any]:
        """Return the arguments other than the network, as JSON values: sc, and how log-determinants are computed."""
        chosen = asdict(self.log_det) if isinstance(self.log_det, StochasticLogDet) else self.log_det
        return {**super().settings(), **({} if chosen is None else {"log_det": chosen})}

    @torch.no_grad()
    def inverse(self, z: Tensor, tolerance: float = 1e-9, steps: int = 100) -> Tensor:
        """Return the x with grad F(x) = z: Newton's method on F(x) - z'x, in float64, steps halved until it falls.

        Args:
            z: points of shape `(count, n)`.
            tolerance: largest norm of grad F(x) - z, relative to 1 + ||z||.
            steps: Newton steps at most.

        Raises:
            ModelError: z has another shape, or the tolerance is not reached.
        """
        if z.ndim != 2 or z.shape[1] != self.features:
            raise ModelError(f"z must have shape (count, {self.features}); received {tuple(z.shape)}")
        exact = copy.deepcopy(self).double()
        target = z.double()
        x = torch.zeros_like(target)
        for _ in range(steps):
            gradient, hessian = exact.transport_and_hessian(x)
            residual = gradient - target
            norm = torch.linalg.vector_norm(residual, dim=1) / (1 + torch.linalg.vector_norm(target, dim=1))
            left = norm > tolerance
            if not left.any():
                return x.to(z)
            direction = torch.linalg.solve(hessian, residual[..., None])[..., 0]
            fall = 0.25 * (residual * direction).sum(dim=1)
            value = exact(x) - (target * x).sum(dim=1)
            length = left.double()
            for _ in range(40):
                trial = x - length[:, None] * direction
                reached = exact(trial) - (target * trial).sum(dim=1)
                high = left & (reached > value - length * fall + 1e-12 * (1 + value.abs()))  # rounding is not a rise
                if not high.any():
                    break
                length = torch.where(high, length / 2, length)
            x = x - length[:, None] * direction
        raise ModelError(
            f"the inverse reached {float(norm.max()):.1e} in {steps} steps, not the tolerance {tolerance:g}; set a "
            "larger one"
        )

    def finalise(self, data: Any = None) -> Self:
        """Return the flow with plain, exactly non-negative weights.

        Args:
            data: the training points, a tensor or an array, for recipes whose weights depend on data.
        """
        plain = type(self)(self.network.finalise(data), self.strong_convexity, log_det=self.log_det)
        with torch.no_grad():
            plain.w0.copy_(self.w0)
            plain.w1.copy_(self.w1)
        return plain


NETWORKS.register("PotentialFlow", PotentialFlow)  # files of it can be loaded from now on
