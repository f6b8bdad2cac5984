"""lpcf itself: parametric convex functions fitted by its authors' package, read out as arrays.

psi(theta) = (W_j, V_j, omega_j, C, d), a ReLU or softplus network with skips from theta
z_1 = V_0 x + omega_0,   z_{j+1} = max(W_j, 0) s(z_j) + V_j x + omega_j,   f(x, theta) = z_L + ||C x||^2 + ||d x||^2

The package runs in an environment of its own (extra `pcf`); what it fitted needs it no more.

Reference: Schaller, Bemporad and Boyd, "Learning parametric convex functions", 2025.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final, get_args

import numpy as np
import torch
from torch import Tensor, nn

from decision.sets._base import FeasibleSet
from experiments.baselines.lpcf.process import call
from socicnn._arrays import Array, as_float64
from socicnn._registry import choose
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.importers.lpcf import psi, sections
from socicnn.nn._activations import softplus
from socicnn.nn._standardise import Standardisation

LossName: TypeAlias = Literal["lpcf", "within_context"]
ActivationName: TypeAlias = Literal["relu", "logistic"]


@final
@dataclass(frozen=True)
class LPCFSettings:
    """How lpcf is asked to fit.

    Args:
        widths: hidden widths of the network in x.
        widths_psi: hidden widths of the network psi in theta; empty for weights affine in theta.
        activation: `relu` or `logistic` (softplus), of both networks.
        quadratic: rank of C in the quadratic term, with a diagonal; 0 for a full triangular C without one; None for
            no quadratic term.
        loss: `lpcf`, its own mean squared error, or `within_context`, ours in its place.
        adam_epochs: steps of Adam, on all points at once.
        lbfgs_epochs: iterations of L-BFGS after them.
        rho: weight of ||w||^2.
        argmin_penalty: weight of lpcf's condition that the gradient vanish at the minimiser, for which stands the
            affine fit of each context's best candidate; None to leave the condition out.

    Raises:
        ModelError: an unknown loss or activation.
    """

    widths: tuple[int, ...] = (8,)
    widths_psi: tuple[int, ...] = ()
    activation: ActivationName = "relu"
    quadratic: int | None = 1
    loss: LossName = "within_context"
    adam_epochs: int = 200
    lbfgs_epochs: int = 2000
    rho: float = 1e-8
    argmin_penalty: float | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("loss", self.loss, get_args(LossName)),
            ("activation", self.activation, get_args(ActivationName)),
        ):
            choose(name, value, known)
        if not self.widths:
            raise ModelError("widths must name at least one hidden layer; received none")

    @property
    def arrays(self) -> int:
        """Number of arrays of psi's weights."""
        return 3 * (len(self.widths_psi) + 1) - 1

    def shape(self) -> dict[str, Any]:
        """Return the arguments of lpcf's PCF."""
        return {
            "widths": list(self.widths),
            "widths_psi": list(self.widths_psi),
            "activation": self.activation,
            "quadratic": self.quadratic is not None,
            "quadratic_r": self.quadratic or None,
        }


@dataclass(frozen=True, eq=False)
class _Emitted:
    """What psi gives at contexts of shape `(*batch, p)`; every tensor has the batch's axes first."""

    W: list[Tensor]
    V: list[Tensor]
    omega: list[Tensor]
    factor: Tensor | None
    diagonal: Tensor | None


@final
class LPCF(nn.Module):
    """A parametric convex function that lpcf fitted.

    Args:
        settings: what it was fitted with.
        weights: lpcf's own list: the matrices of psi between layers, those from theta, the offsets.
        standardisation: {"x_mean", "x_scale", "theta_mean", "theta_scale", "y_mean", "y_scale"}, as arrays.
        seconds: CPU seconds of the fit.
    """

    context_moves_matrices = True  # `decide` freezes it context by context

    def __init__(
        self, settings: LPCFSettings, weights: Sequence[Any], standardisation: dict[str, Any], seconds: Any = 0.0
    ) -> None:
        super().__init__()
        self.settings, self.seconds = settings, float(seconds)
        self.weights = nn.ParameterList(torch.tensor(as_float64(weight)) for weight in weights)
        for name, value in standardisation.items():
            self.register_buffer(name, torch.tensor(as_float64(value)))
        self.in_features, self.context_features = len(self._number("x_mean")), len(self._number("theta_mean"))
        size = sum(int(np.prod(shape)) for shape in self._sections())
        emitted = self.weights[-1].shape[0] if len(self.weights) == settings.arrays else -1
        if emitted != size:
            raise ModelError(
                f"weights do not belong to a psi of hidden widths {settings.widths_psi} that emits {size} "
                f"numbers; received {len(self.weights)} arrays, the last of shape {tuple(self.weights[-1].shape)}"
            )

    def _number(self, name: str) -> Tensor:
        return self.get_buffer(name)

    def _sections(self) -> list[tuple[int, ...]]:
        return sections(self.in_features, self.settings.widths, self.settings.quadratic)

    def _activation(self, a: Tensor) -> Tensor:
        return torch.relu(a) if self.settings.activation == "relu" else softplus(a)

    def emit(self, context: Tensor) -> _Emitted:
        """Return the weights at contexts of shape `(*batch, p)`."""
        theta = (context.to(torch.float64) - self._number("theta_mean")) / self._number("theta_scale")
        out, shapes = psi(list(self.weights), theta, self._activation), self._sections()
        parts = [
            part.reshape(*context.shape[:-1], *shape)
            for part, shape in zip(out.split([int(np.prod(shape)) for shape in shapes], dim=-1), shapes, strict=True)
        ]
        layers = len(self.settings.widths) + 1
        hidden, inputs, offsets = parts[: layers - 1], parts[layers - 1 : 2 * layers - 1], parts[2 * layers - 1 :]
        offsets, quadratic = offsets[:layers], offsets[layers:]
        factor = quadratic[0] if quadratic else None
        if factor is not None and self.settings.quadratic == 0:
            n = self.in_features
            full = factor.new_zeros(*context.shape[:-1], n, n)
            rows, columns = torch.triu_indices(n, n)
            full[..., rows, columns] = factor
            factor = full
        return _Emitted(
            [part.clamp(min=0.0) for part in hidden], inputs, offsets, factor, quadratic[1] if quadratic[1:] else None
        )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Return f(x, theta).

        Args:
            x: shape `(*batch, n)`.
            context: shape `(*batch, p)`, broadcast against x.
        """
        x = (x.to(torch.float64) - self._number("x_mean")) / self._number("x_scale")
        emitted = self.emit(context)
        z = _times(emitted.V[0], x) + emitted.omega[0]
        for W, V, omega in zip(emitted.W, emitted.V[1:], emitted.omega[1:], strict=True):
            z = _times(W, self._activation(z)) + _times(V, x) + omega
        value = z[..., 0]
        if emitted.factor is not None:
            value = value + _times(emitted.factor, x).square().sum(dim=-1)
        if emitted.diagonal is not None:
            value = value + (emitted.diagonal * x).square().sum(dim=-1)
        return self._number("y_mean") + self._number("y_scale") * value

    def freeze(self, context: Any = None) -> FrozenNet:
        """Return f(., theta) at one context as arrays, standardisation folded in.

        Raises:
            ModelError: several contexts were given: their matrices all differ, so that they are no stack; freeze one
                after another, or use `decide`, which does.
        """
        theta = torch.tensor(as_float64(context))
        if theta.shape != (self.context_features,):
            raise ModelError(
                f"context must be one context of shape ({self.context_features},), because psi emits matrices; "
                f"received shape {tuple(theta.shape)}"
            )
        standard = (theta - self._number("theta_mean")) / self._number("theta_scale")
        weights = [weight.detach().numpy() for weight in self.weights]
        units = Standardisation((self.in_features,), None).double()
        for name in ("x", "y"):
            units.assign(name, self._number(f"{name}_mean"), self._number(f"{name}_scale"))
        return units.fold(FrozenNet.from_lpcf(weights, standard, self.settings.shape()))

    def export(
        self,
        command: str,
        *,
        feasible_set: FeasibleSet | None = None,
        solver: dict[str, Any] | None = None,
        python: str | os.PathLike[str] | None = None,
        settings: dict[str, Any] | None = None,
        **arrays: Any,
    ) -> dict[str, Array]:
        """Hand these weights back to lpcf and run a command of `lpcf_worker` on its CVXPY export.

        Args:
            command: `evaluate`, `decide` or `measure`.
            feasible_set: the set X.
            solver: settings of Clarabel.
            python: Python of lpcf's environment.
            settings: further settings of the command.
            arrays: its points x and contexts theta.

        Returns:
            What the command returns; values are standardised y.
        """
        names = ("x_mean", "x_scale", "theta_mean", "theta_scale")
        inputs = {name: self._number(name).numpy() for name in names}
        inputs |= {f"weight{w}": weight.detach().numpy() for w, weight in enumerate(self.weights)}
        if feasible_set is not None:
            rows = feasible_set.rows()
            G, equalities = rows.G.toarray(), rows.cones.zero
            inputs |= {"G": G[:equalities], "h": rows.h[:equalities], "H": G[equalities:], "k": rows.h[equalities:]}
        asked = {
            "shape": self.settings.shape(),
            "features": self.in_features,
            "context_features": self.context_features,
            "solver": solver or {},
            **(settings or {}),
        }
        return call(command, {**inputs, **{k: as_float64(v) for k, v in arrays.items()}}, asked, python=python)

    def decide_exported(
        self,
        feasible_set: FeasibleSet,
        context: Any,
        *,
        solver: dict[str, Any] | None = None,
        python: str | os.PathLike[str] | None = None,
    ) -> tuple[Tensor, float]:
        """Return members x that lpcf's CVXPY export and Clarabel decide for, and the CPU seconds of all contexts.

        Args:
            feasible_set: the set X.
            context: shape `(contexts, p)`.
            solver: settings of Clarabel.
            python: Python of lpcf's environment.
        """
        outputs = self.export("decide", feasible_set=feasible_set, theta=context, solver=solver, python=python)
        return feasible_set.project(torch.as_tensor(outputs["x"])), float(outputs["cpu"])


def _times(M: Tensor, x: Tensor) -> Tensor:
    """Return M x for matrices `(*batch, rows, n)` and points `(*batch, n)`; one matrix may serve a row of points."""
    if M.ndim >= 3 and M.shape[-3] == 1 and x.ndim >= 2:
        return x @ M.squeeze(-3).mT
    return (M @ x.unsqueeze(-1)).squeeze(-1)
