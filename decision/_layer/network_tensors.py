"""A dense network's numbers as tensors with a graph: the arrays of `freeze`, differentiable in weights and contexts.

All that acts on x is one matrix B, and all that is added to its products has one row per context,

    p = B x + o,   rows of the layers U_k, then of the quadratics A_m, then of the norms C_r, equal lengths side by side

both in the user's units: B <- B / s, o <- o - B m / s, and weights times the scale of y.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from decision._minimise.branch import Branch
from decision._minimise.linear_map import Map
from decision._minimise.stack import Stack, StackLayer
from socicnn.nn._branches import BranchMap
from socicnn.nn._dense import Dense
from socicnn.positivity._base import evaluation_mode

LARGEST = 256  # inputs: above, diagonal branches are better kept sparse


@final
@dataclass(frozen=True, eq=False)
class NetworkTensors:
    """Numbers of a dense network at a batch of contexts, float64, with a graph if one is kept.

    Args:
        B: shape `(rows, n)`.
        offset: o, shape `(contexts, rows)`.
        weights: w, then beta and gamma in the order of the rows, >= 0, shape `(contexts, h_L + branches)`.
        v: shape `(contexts, n)`.
        c: shape `(contexts,)`.
        W: weights between the layers, >= 0, each of shape `(h, h_previous)`.
        widths: of the layers.
        quadratics: rows of each quadratic.
        norms: number of norms and rows of each, run by run.
    """

    B: Tensor
    offset: Tensor
    weights: Tensor
    v: Tensor
    c: Tensor
    W: tuple[Tensor, ...]
    widths: tuple[int, ...]
    quadratics: tuple[int, ...]
    norms: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, model: Any, theta: Tensor | None) -> NetworkTensors | None:
        """Return the numbers of a model, None if these are not all of it, or no program's: then `freeze` has to tell.

        Weights are read as in evaluation mode, as `freeze` reads them.

        Args:
            model: the model, in float64.
            theta: contexts, shape `(contexts, p)`, float64.
        """
        if theta is None or not isinstance(model, Dense) or not _known(model, theta):
            return None
        with evaluation_mode(model):
            return cls._read(model, theta)

    @classmethod
    def _read(cls, model: Dense, theta: Tensor) -> NetworkTensors | None:
        units, contexts = model.standardisation, len(theta)
        vectors = model.vectors(units.exact("context", theta))
        quadratics, norms = model.quadratics, model.norms
        order, runs = _grouped([branch.rows for branch in norms])
        maps = [*model.U, *(_matrix(branch) for branch in (*quadratics, *(norms[r] for r in order)))]
        names = [f"b{k + 1}" for k in range(len(model.U))]
        names += [f"e{m + 1}" for m in range(len(quadratics))] + [f"d{r + 1}" for r in order]
        lengths = [len(matrix) for matrix in maps]
        offsets = [
            vectors[name].expand(contexts, -1) if name in vectors else theta.new_zeros(contexts, rows)
            for name, rows in zip(names, lengths, strict=True)
        ]
        weights = [vectors[name].expand(contexts, -1) for name in ("w", "beta") if name in vectors]
        if norms:
            weights.append(vectors["gamma"].expand(contexts, -1)[:, order])
        m, scale = units.exact_mean("x"), units.y_scale
        B = torch.cat([theta.new_zeros(0, model.in_features), *maps]) / units.x_scale
        v = (scale / units.x_scale) * vectors["v"].expand(contexts, -1)
        c = units.exact_mean("y") + scale * vectors["c"].reshape(-1).expand(contexts)
        nothing = theta.new_zeros(contexts, 0)
        numbers = cls(
            B,
            torch.cat([nothing, *offsets], dim=1) - B @ m,
            scale * torch.cat([nothing, *weights], dim=1),
            v,
            c - v @ m,
            tuple(weight() for weight in model.hidden_weights),
            tuple(model.hidden_features),
            tuple(branch.rows for branch in quadratics),
            runs,
        )
        return numbers if numbers._sound() else None

    @property
    def tensors(self) -> list[Tensor]:
        """All that gradients are taken in, in a fixed order."""
        return [self.B, self.offset, self.weights, self.v, self.c, *self.W]

    @property
    def sizes(self) -> list[int]:
        """Numbers of rows: of each layer, of each quadratic, of each run of norms."""
        return [*self.widths, *self.quadratics, *(count * rows for count, rows in self.norms)]

    @property
    def heads(self) -> list[int]:
        """Numbers of weights: of the last layer, 0 without layers, of each quadratic, of each run of norms."""
        last = self.widths[-1] if self.widths else 0
        return [last, *(1 for _ in self.quadratics), *(count for count, _ in self.norms)]

    def stack(self) -> Stack:
        """Return the networks as the optimisers take them, without a graph."""
        maps = iter([_map(part) for part in self.B.detach().split(self.sizes)])
        offsets = iter(self.offset.detach().split(self.sizes, dim=1))
        w, *weights = self.weights.detach().split(self.heads, dim=1)
        W = [None, *(_map(weight.detach()) for weight in self.W)]
        layers = tuple(StackLayer(W[k], next(maps), next(offsets)) for k in range(len(self.widths)))
        shapes = [(rows, False) for rows in self.quadratics] + [(rows, True) for _, rows in self.norms]
        branches = [
            Branch(weight, next(maps), next(offsets), rows, root)
            for weight, (rows, root) in zip(weights, shapes, strict=True)
        ]
        many = len(self.quadratics)
        return Stack(layers, w, self.v.detach(), self.c.detach(), tuple(branches[:many]), tuple(branches[many:]))

    def _sound(self) -> bool:
        """Return whether every number is finite and no weight is negative."""
        with torch.no_grad():
            finite = torch.cat([tensor.flatten() for tensor in self.tensors]).isfinite().all()
            signs = torch.cat([tensor.flatten() for tensor in (self.weights, *self.W)]) >= 0
        return bool(finite & signs.all())


def _known(model: Dense, theta: Tensor) -> bool:
    """Return whether nothing but plain layers, branches and standardisation makes up a model with this context."""
    plain = not model.signs and not model.nonnegative and not model.smooth.maps
    plain = plain and all(name == "relu" for name in model.activations)
    linked = model.passthrough or len(model.hidden_features) <= 1
    fits = model.context_shape == tuple(theta.shape[1:]) and len(theta) > 0
    small = model.in_features <= LARGEST and theta.device.type == "cpu" and model.device.type == "cpu"
    return plain and linked and fits and small and model.dtype == torch.float64 and not model.positivity.needs_data


def _grouped(rows: Sequence[int]) -> tuple[list[int], tuple[tuple[int, int], ...]]:
    """Return the places of norms with those of equal lengths side by side, and how many there are of each length.

    >>> _grouped([3, 5, 3])
    ([0, 2, 1], ((2, 3), (1, 5)))
    """
    places = {length: [r for r, other in enumerate(rows) if other == length] for length in rows}
    order = [r for some in places.values() for r in some]
    return order, tuple((len(some), length) for length, some in places.items())


def _matrix(branch: BranchMap) -> Tensor:
    parts = [torch.diag(branch.diagonal)] if branch.diagonal is not None else []
    return torch.cat([*parts, *([branch.full] if branch.full is not None else [])])


def _map(matrix: Tensor) -> Map:
    return Map(matrix.numpy())
