"""The units that matter: each context keeps the units near their kink, and takes the others as off or as on.

A unit taken as off counts as zero, one taken as on as its pre-activation. Both are at most relu(a), and W, w >= 0, so
that what is minimised is a minorant of f: its dual points are dual points of the whole network, with lambda = 0 for a
unit that is off and lambda at its upper bound for one that is on. It equals f wherever all of them are what they are
taken for. Units taken as on are folded away, which is possible in the first layer and in the last; in layers between
them, and where quadratics sit inside, a unit is kept or off. Softplus units and those beside them are always kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from decision._minimise.interior.choice import Choice
from decision._minimise.interior.products import ChosenColumns, FoldedProduct, Product, adjoint, dense, taken, times
from decision._minimise.stack import Stack, StackLayer


def by_kind(tau: float | Tensor | None, soft: Tensor, hard: Tensor) -> Tensor:
    """Return `soft` of softplus units and `hard` of ReLU units of a layer; tau as `Kept.smoothing` has it."""
    if tau is None:
        return hard
    return torch.where(tau > 0, soft, hard) if isinstance(tau, Tensor) else soft


@dataclass(frozen=True, eq=False)
class Kept:
    """The kept units of each context, padded to a common number r_k a layer by units that are always off.

    a_k = W_k z_{k-1} + U_k x + b_k,   value = v'x + c + sum_k w_k'z_k + the branches

    Args:
        index: units of each layer, shape `(contexts, r_k)`; the layer's width stands for a pad.
        U: shape `(contexts, r_k, n)` of each layer; `(r_k, n)` of layers that are kept whole, which all contexts share.
        W: shape `(contexts, r_k, r_{k-1})` of each layer after the first; alike without contexts between whole layers.
            U and W of softplus layers above layers that are not whole are parts of shared matrices (`products`).
        b: shape `(contexts, r_k)`.
        w: read-out weights, shape `(contexts, r_k)` of each layer: before the last, those through units taken as on.
        extra: what a pad's read-out weight is instead, zero for the others, shape `(contexts, r_k)`.
        v: shape `(contexts, n)`.
        c: shape `(contexts,)`.
        inside: rho, F and g of the quadratics inside each layer, shapes `(contexts, r_k)`, `(contexts, r_k, rows, n)`
            and `(contexts, r_k, rows)`; None where there are none.
        smoothing: tau of each layer with softplus units, which is kept whole: a number, or shape `(h,)` with 0 for ReLU
            units among them; None of layers of ReLU units.
        reach: entries of x, the first ones, that each layer and those before it depend on: a recurrent network's past.
    """

    index: tuple[Tensor, ...]
    U: tuple[Product, ...]
    W: tuple[Product | None, ...]
    b: tuple[Tensor, ...]
    w: tuple[Tensor, ...]
    extra: tuple[Tensor, ...]
    v: Tensor
    c: Tensor
    inside: tuple[tuple[Tensor, Tensor, Tensor] | None, ...]
    smoothing: tuple[float | Tensor | None, ...]
    reach: tuple[int, ...]

    def take(self, rows: Tensor) -> Kept:
        """Return the kept units of some contexts."""
        return Kept(
            tuple(tensor[rows] for tensor in self.index),
            tuple(taken(matrix, rows) for matrix in self.U),
            tuple(None if matrix is None else taken(matrix, rows) for matrix in self.W),
            tuple(tensor[rows] for tensor in self.b),
            tuple(tensor[rows] for tensor in self.w),
            tuple(tensor[rows] for tensor in self.extra),
            self.v[rows],
            self.c[rows],
            tuple(
                None if tensor is None else (tensor[0][rows], tensor[1][rows], tensor[2][rows])
                for tensor in self.inside
            ),
            self.smoothing,
            self.reach,
        )

    def put(self, rows: Tensor, other: Kept) -> None:
        """Overwrite the kept units of some contexts."""
        pairs = [(self.v, other.v), (self.c, other.c)]
        for name in ("index", "b", "w", "extra"):
            pairs += zip(getattr(self, name), getattr(other, name), strict=True)
        for matrix, new in zip((*self.U, *self.W), (*other.U, *other.W), strict=True):
            if isinstance(matrix, Tensor) and matrix.ndim == 3 and new is not None:
                pairs.append((matrix, dense(new)))
        for own, theirs in zip(self.inside, other.inside, strict=True):
            pairs += [] if own is None or theirs is None else zip(own, theirs, strict=True)
        for target, value in pairs:
            target[rows] = value

    def at(self, x: Tensor) -> Kept:
        """Return the kept units with their inner quadratics replaced by tangents at x: an affine layer again."""
        if all(curved is None for curved in self.inside):
            return self
        U, b = list(self.U), list(self.b)
        for k, curved in enumerate(self.inside):
            if curved is not None:
                rho, F, g = curved
                p = torch.einsum("crin,cn->cri", F, x) + g
                slope = 2.0 * torch.einsum("cri,crin->crn", rho[..., None] * p, F)
                U[k] = dense(U[k]) + slope
                b[k] = b[k] + rho * p.square().sum(dim=-1) - (slope @ x[..., None])[..., 0]
        return replace(self, U=tuple(U), b=tuple(b))

    def curvature(self, lam: list[Tensor]) -> Tensor | float:
        """Return the Hessian of the Lagrangian sum_i lambda_i rho_i ||F_i x + g_i||^2; 0 without such quadratics."""
        total: Tensor | float = 0.0
        for curved, multiplier in zip(self.inside, lam, strict=True):
            if curved is not None:
                rho, F, _ = curved
                rows = F.reshape(len(F), -1, F.shape[-1])
                weight = (2.0 * rho * multiplier).repeat_interleave(F.shape[2], dim=1)
                total = total + rows.mT @ (weight[..., None] * rows)
        return total

    def preactivation(self, k: int, x: Tensor, z: Tensor | None) -> Tensor:
        """Return a of layer k."""
        a = self.b[k] + times(self.U[k], x)
        W = self.W[k]
        return a if W is None or z is None else a + times(W, z)

    def box(self, k: int, lam: Tensor | None) -> Tensor:
        """Return the upper bound w_k + W_{k+1}'lambda_{k+1} of lambda_k; zero for pads."""
        W = self.W[k + 1] if k + 1 < len(self.W) else None
        return self.w[k] if W is None or lam is None else self.w[k] + adjoint(W, lam)

    def rest(self, k: int, mu: Tensor, scale: list[Tensor]) -> Tensor:
        """Return what is added to the box on the path: about mu / |a| for units that are off, and the pads' own."""
        return by_kind(self.smoothing[k], self.extra[k], self.extra[k] + mu[:, None] / scale[k])


def _last_column(matrix: Tensor) -> int:
    """Return how many columns there are up to the last one with an entry; at least one."""
    used = matrix.reshape(-1, matrix.shape[-1]).any(dim=0).nonzero()
    return int(used[-1]) + 1 if len(used) else 1


def _with_more(matrix: Product, choice: Choice, k: int, columns: int, rows: int) -> Product:
    """Return U or W of layer k with room for more units, as a choice that has grown has it."""
    if isinstance(matrix, ChosenColumns):
        return replace(matrix, index=choice.index[k - 1])
    if isinstance(matrix, FoldedProduct):
        return matrix.without(choice.on[k - 1].to(matrix.on))
    return torch.nn.functional.pad(matrix, (0, columns, 0, rows))


class Gatherer:
    """Gathers the kept units of a stack.

    Args:
        stack: the networks.
        scale: size of the pre-activations of each layer; pads sit at minus that.
    """

    def __init__(self, stack: Stack, scale: list[Tensor]) -> None:
        self._scale = scale
        self._price = (stack.w.mean() if stack.w.numel() else stack.w.new_ones(())).clamp(min=1e-12)
        pad = torch.nn.functional.pad
        n = stack.in_features
        self._U: list[Tensor] = []
        self._W: list[Tensor | None] = []
        self._turned: list[Tensor | None] = []  # of softplus layers, to take columns of
        self._inside: list[tuple[Tensor, Tensor] | None] = []
        for layer in stack.layers:
            self._inside.append(None)
            for branch in layer.inner:
                F = branch.matrix.dense.reshape(-1, branch.group, n)
                self._inside[-1] = (pad(branch.weight[0], (0, 1)), pad(F, (0, 0, 0, 0, 0, 1)))
            U = layer.b.new_zeros(layer.b.shape[1], n) if layer.U is None else layer.U.dense
            self._U.append(pad(U, (0, 0, 0, 1)))
            self._W.append(None if layer.W is None else pad(layer.W.dense, (0, 0, 0, 1)))
            wide = layer.W is not None and layer.smooth and not layer.inner
            self._turned.append(pad(layer.W.dense.T, (0, 0, 0, 1)) if wide and layer.W else None)
        reach = [_last_column(U) for U in self._U]
        reach = [max(own, 0 if F is None else _last_column(F[1])) for own, F in zip(reach, self._inside, strict=True)]
        self._reach = tuple(accumulate(reach, max))

    @staticmethod
    def foldable(stack: Stack) -> list[bool]:
        """Return whether the units of each layer can be taken as on."""
        last = len(stack.layers) - 1
        return [k in (0, last) and not layer.inner for k, layer in enumerate(stack.layers)]

    def gather(self, choice: Choice, stack: Stack, *, folded: bool = True) -> Kept:
        """Return the kept units; `stack` holds the vectors of the contexts of the choice.

        Without `folded`, U of softplus layers is as it is without units that are on.
        """
        U: list[Product] = []
        W: list[Product | None] = []
        b: list[Tensor] = []
        extra: list[Tensor] = []
        quadratics: list[tuple[Tensor, Tensor, Tensor] | None] = []
        whole: list[bool] = []
        first_on = any(bool(mask.any()) for mask in choice.on[:1])
        last = len(stack.layers) - 1
        for k, (units, layer) in enumerate(zip(choice.index, stack.layers, strict=True)):
            pads = units == layer.b.shape[1]
            shape = (*units.shape, -1)
            whole.append(bool((units == torch.arange(units.shape[1], device=units.device)).all()) and not pads.any())
            whole[k] &= units.shape[1] == layer.b.shape[1]
            folds = k == 1 and first_on  # the first layer's units that are on are folded into this one
            b_k, W_k, by_columns = layer.b, self._W[k], self._turned[k]
            U_k: Product
            if folds and W_k is not None:
                on = choice.on[0].to(W_k)
                b_k = b_k + (on * stack.layers[0].b) @ W_k[:-1].T
            if whole[k] and not (folds and (folded or by_columns is None)):
                U_k = self._U[k][:-1]
            elif W_k is not None and by_columns is not None:
                U_k = FoldedProduct.of(self._U[k][:-1], W_k[:-1], self._U[0][:-1], on)
            else:
                U_k = self._U[k].index_select(0, units.reshape(-1)).reshape(shape)
            if W_k is None:
                W.append(None)
            elif whole[k] and whole[k - 1]:
                W.append(W_k[:-1])
            elif by_columns is not None:
                W.append(ChosenColumns(W_k[:-1], by_columns, choice.index[k - 1]))
            else:
                rows = W_k.index_select(0, units.reshape(-1)).reshape(shape)
                below = choice.index[k - 1]
                places = below.clamp(max=rows.shape[2] - 1)[:, None, :].expand(-1, units.shape[1], -1)
                W.append(rows.gather(2, places) * (below < rows.shape[2])[:, None, :])
                if folds:
                    added = rows.mul_(on[:, None, :]).flatten(0, 1) @ self._U[0][:-1]
                    U_k = dense(U_k) + added.reshape(shape)
            U.append(U_k)
            b.append(torch.where(pads, -self._scale[k], b_k.gather(1, units.clamp(max=b_k.shape[1] - 1))))
            extra.append(torch.where(pads, self._price, 0.0))
            quadratics.append(self._gathered(k, units, layer))
        w, v, c = self._read_out(choice, stack, last)
        smoothing = tuple(layer.smoothing if layer.smooth else None for layer in stack.layers)
        parts = tuple(choice.index), tuple(U), tuple(W), tuple(b), w, tuple(extra), v, c, tuple(quadratics)
        return Kept(*parts, smoothing, self._reach)

    def regathered(self, kept: Kept, choice: Choice, stack: Stack, rows: Tensor) -> Kept:
        """Return the kept units after the choice of some contexts has grown."""
        pad = torch.nn.functional.pad
        more = [new.shape[1] - old.shape[1] for new, old in zip(choice.index, kept.index, strict=True)]
        wide = Kept(
            tuple(pad(tensor, (0, more[k]), value=stack.layers[k].b.shape[1]) for k, tensor in enumerate(kept.index)),
            tuple(_with_more(matrix, choice, k, 0, more[k]) for k, matrix in enumerate(kept.U)),
            tuple(
                None if matrix is None else _with_more(matrix, choice, k, more[k - 1], more[k])
                for k, matrix in enumerate(kept.W)
            ),
            tuple(pad(tensor, (0, more[k]), value=-float(self._scale[k])) for k, tensor in enumerate(kept.b)),
            tuple(pad(tensor, (0, more[k])) for k, tensor in enumerate(kept.w)),
            tuple(pad(tensor, (0, more[k]), value=float(self._price)) for k, tensor in enumerate(kept.extra)),
            kept.v.clone(),
            kept.c.clone(),
            tuple(
                None
                if tensor is None
                else (
                    pad(tensor[0], (0, more[k])),
                    pad(tensor[1], (0, 0, 0, 0, 0, more[k])),
                    pad(tensor[2], (0, 0, 0, more[k])),
                )
                for k, tensor in enumerate(kept.inside)
            ),
            kept.smoothing,
            kept.reach,
        )
        wide.put(rows, self.gather(choice.take(rows), stack.take(rows), folded=False))
        return wide

    def _read_out(self, choice: Choice, stack: Stack, last: int) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Return w of each layer, v and c: the last layer's units that are on go into the layer before, v and c."""
        v, c = stack.v, stack.c
        weights: list[Tensor] = []
        price = stack.w
        for k in reversed(range(last + 1)):
            layer, units = stack.layers[k], choice.index[k]
            weights.insert(0, torch.nn.functional.pad(price, (0, 1)).gather(1, units))
            on = choice.on[k]
            if k not in (0, last) or not bool(on.any()):
                price = torch.zeros_like(stack.layers[k - 1].b)
                continue
            folded = price * on
            c = c + (folded * layer.b).sum(dim=-1)
            if layer.U is not None:
                v = v + layer.U.adjoint(folded)
            if layer.W is not None:
                price = layer.W.adjoint(folded)
        return tuple(weights), v, c

    def _gathered(self, k: int, units: Tensor, layer: StackLayer) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return rho, F and g of the quadratics inside layer k."""
        shared = self._inside[k]
        if shared is None:
            return None
        rho, F = shared
        branch = layer.inner[0]
        g = branch.grouped(branch.offset)
        rows = torch.arange(len(units), device=units.device)[:, None]
        return rho[units], F[units], torch.nn.functional.pad(g, (0, 0, 0, 1))[rows, units]
