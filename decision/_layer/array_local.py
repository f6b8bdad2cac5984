"""A stack of networks around points, on one smooth piece: slopes and curvature in closed form, from their arrays.

On a piece z_k = on_k a_k, with a_k = W_k z_{k-1} + U_k x + b_k + (rho_ki ||F_ki x + g_ki||^2)_i. With mu the
multipliers of the kinks that hold x, q_k = w (last layer) or W_{k+1}'lambda_{k+1} and lambda_k = on_k q_k + mu_k,

    grad (f + mu'r) = v + sum_k J(a_k | z)'lambda_k + 2 sum_m beta_m A_m'p_m + sum_r C_r'(gamma_r p_r / ||p_r|| + mu_r).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from decision._layer.pieces import Explored, Kinks, OnPiece, State, placed
from decision._minimise.branch import Branch
from decision._minimise.stack import Stack, StackLayer


@final
class ArrayLocal(OnPiece):
    """The networks of a stack around points; its members are those of `Local`.

    Args:
        stack: the networks.
        x: [x | u], shape `(contexts, columns)`.
        known: what is known of the kinks; None at first.
        states: the piece; None for the one that x lies on.
        tolerance: without states, what is nearer to its kink is held.
    """

    def __init__(
        self,
        stack: Stack | None,
        x: Tensor,
        known: Explored | None,
        states: Sequence[State] | None,
        tolerance: float | Tensor,
    ) -> None:
        assert stack is not None  # an objective has a function or a stack
        self._stack, self.x, self._n = stack, x, stack.in_features
        self.point = x[:, : self._n]
        self.calls: list[Kinks] = []
        own, z = self.point, None

        def placed_call(rows: Tensor, root: bool) -> Kinks:
            scale, state = placed(rows, root, len(self.calls), known, states, tolerance)
            self.calls.append(Kinks(rows, rows, root, scale, state))
            return self.calls[-1]

        for layer in stack.layers:
            a = layer.preactivation(own, z)
            state = placed_call(a[..., None], root=False).state
            z = a * (state.on & ~state.held)
        self._top = z
        self._units: list[Tensor] = []  # 1 / ||p||, 0 where it is held at zero
        for branch in stack.norms:
            p = branch.grouped(branch.image(own))
            held = placed_call(p, root=True).state.held
            length = torch.linalg.vector_norm(p, dim=-1)
            self._units.append(1.0 / torch.where(held | (length == 0), torch.inf, length))

    @property
    def value(self) -> Tensor:
        """F on the piece, shape `(contexts,)`."""
        stack = self._stack
        value = (self.point * stack.v).sum(dim=1) + stack.c
        if self._top is not None:
            value = value + (self._top * stack.w).sum(dim=1)
        for branch in stack.quadratics:
            value = value + branch.total(branch.image(self.point))
        for r, branch in enumerate(stack.norms):
            value = value + (branch.weight * self.direction(r)[1]).sum(dim=1)
        return value

    @property
    def weights(self) -> tuple[list[Tensor], list[Tensor]]:
        """The weights of the quadratics and of the norms."""
        return [term.weight for term in self._stack.quadratics], [term.weight for term in self._stack.norms]

    def unit(self, k: int) -> tuple[Tensor, Tensor]:
        """Return which units of a layer are on, and their arguments a, shape `(contexts, h)`."""
        call = self.calls[k]
        return call.state.on & ~call.state.held, call.rows[..., 0]

    def direction(self, r: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return p / ||p||, ||p|| and 1 / ||p|| of a branch of norms; all are zero where it is held at zero."""
        p, unit = self.calls[len(self._stack.layers) + r].rows, self._units[r]
        s = unit[..., None] * p
        return s, (s * p).sum(dim=-1), unit

    def gradients(self, mu: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the gradient of f + mu'r in [x | u], and the slope in the output of each unit or norm."""
        stack, parts = self._stack, self.split(mu)
        lam, q = self.multipliers(parts)
        gradient = stack.v
        for layer, lam_k in zip(stack.layers, lam, strict=True):
            gradient = gradient + layer.pull(lam_k, self.point)
        for branch in stack.quadratics:
            gradient = gradient + 2.0 * branch.matrix.adjoint(branch.row_weight * branch.image(self.point))
        calls = self.calls[len(stack.layers) :]
        for branch, call, unit, part in zip(stack.norms, calls, self._units, parts[len(stack.layers) :], strict=True):
            pull = (branch.weight * unit)[..., None] * call.rows
            gradient = gradient + branch.matrix.adjoint(pull.flatten(1) + part)
        weights = [branch.weight.expand(len(gradient), -1) for branch in stack.norms]
        return self._wide(gradient), [*q, *weights]

    def gradient(self, mu: Tensor) -> Tensor:
        """Return the gradient of f + mu'r in [x | u]."""
        return self.gradients(mu)[0]

    def hessian(self, mu: Tensor) -> Tensor:
        """Return the Hessian of f + mu'r in [x | u]: units have no curvature on a piece, held norms none along it."""
        stack, x = self._stack, self.point
        H = x.new_zeros(len(x), self._n, self._n)
        for branch in stack.quadratics:
            H += branch.curvature(2.0 * branch.weight)
        for layer, lam in zip(stack.layers, self.multipliers(self.split(mu))[0], strict=True):
            for term in layer.inner:
                F = term.matrix.dense.reshape(lam.shape[1], -1, self._n)
                H += 2.0 * torch.einsum("ch,hkn,hkm->cnm", term.weight * lam, F, F)
        for branch, call, unit in zip(stack.norms, self.calls[len(stack.layers) :], self._units, strict=True):
            share = branch.weight * unit
            along = _rows_times(branch, unit[..., None] * call.rows)
            H += branch.curvature(share) - along.mT @ (share[..., None] * along)
        more = self.x.shape[1] - self._n
        return torch.nn.functional.pad(H, (0, more, 0, more)) if more else H

    def jacobian(self, chosen: Tensor) -> Tensor:
        """Return the gradients of chosen entries of r, shape `(contexts, K, columns)`; their number is R for none."""
        picked, first = self.x.new_zeros(*chosen.shape, self._n), 0
        if not chosen.shape[1]:
            return self._wide(picked)
        units = sum(layer.b.shape[1] for layer in self._stack.layers)
        last = int(torch.where(chosen < units, chosen, -1).max())  # deeper layers are not needed
        below: Tensor | None = None
        for layer, call in zip(self._stack.layers, self.calls, strict=False):
            if first > last:
                break
            J = self._layer_jacobian(layer, below)
            picked += _picked(J, chosen - first)
            below = (call.state.on & ~call.state.held)[..., None] * J
            first += J.shape[-2]
        first = units
        for branch in self._stack.norms:
            picked += _picked(branch.matrix.dense, chosen - first)
            first += branch.matrix.shape[0]
        return self._wide(picked)

    def _layer_jacobian(self, layer: StackLayer, below: Tensor | None) -> Tensor:
        """Return the gradients of a, shape `(h, n)` if all contexts share them, else `(contexts, h, n)`."""
        width = layer.b.shape[1]
        J = self.x.new_zeros(width, self._n) if layer.U is None else layer.U.dense
        if layer.W is not None and below is not None:
            J = J + layer.W.dense @ below
        for term in layer.inner:
            slopes = _rows_times(term, term.grouped(term.image(self.point)))
            J = J + 2.0 * term.weight[..., None] * slopes
        return J

    def multipliers(self, parts: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return lambda_k and q_k of each layer."""
        lam: list[Tensor] = []
        slopes: list[Tensor] = []
        q = self._stack.w
        for layer, call, mu in zip(
            reversed(self._stack.layers),
            reversed(self.calls[: len(self._stack.layers)]),
            reversed(parts[: len(self._stack.layers)]),
            strict=True,
        ):
            slopes.insert(0, q)
            lam.insert(0, q * (call.state.on & ~call.state.held) + mu)
            if layer.W is not None:
                q = layer.W.adjoint(lam[0])
        return lam, slopes

    def split(self, mu: Tensor) -> tuple[Tensor, ...]:
        """Return values of the entries of r call by call."""
        sizes = [call.rows.shape[1] * call.rows.shape[2] for call in self.calls]
        return mu.split(sizes, dim=1) if sizes else ()

    def _wide(self, values: Tensor) -> Tensor:
        more = self.x.shape[1] - self._n
        return torch.nn.functional.pad(values, (0, more)) if more else values


def kink_rows(stack: Stack, x: Tensor) -> list[Tensor]:
    """Return the arguments of all kinks at x of shape `(contexts, n)`, in the shape of `Kinks.rows`."""
    units = [a[..., None] for a in stack.preactivations(x)]
    return units + [branch.grouped(branch.image(x)) for branch in stack.norms]


def _rows_times(branch: Branch, p: Tensor) -> Tensor:
    """Return p_i'M_i of each group i of the branch's matrix, shape `(contexts, groups, n)`."""
    rows = branch.matrix.dense.reshape(-1, branch.group, branch.matrix.shape[1])
    return (p.transpose(0, 1) @ rows).transpose(0, 1)


def _picked(J: Tensor, places: Tensor) -> Tensor:
    """Return the rows of J at places, zero where these lie outside, shape `(contexts, K, n)`."""
    count = J.shape[-2]
    inside = (places >= 0) & (places < count)
    index = torch.where(inside, places, 0)
    if J.ndim == 2:
        return J[index] * inside[..., None]
    return J.gather(1, index[..., None].expand(-1, -1, J.shape[-1])) * inside[..., None]
