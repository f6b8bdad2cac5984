"""Decisions as a layer against differences: contexts, surrogates, and the error of a gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from decision import DecisionLayer, surrogates
from tests.support.cases import generator
from tests.support.differences import central, directions_of

STEP = 1e-3
EXACT = {torch.float64: 1e-8, torch.float32: 1e-4}


def contexts(count: int, features: int = 8, seed: int = 3) -> Tensor:
    return torch.randn(count, features, generator=generator(seed), dtype=torch.float64)


def surrogate(kind: str, n: int, **options: object) -> nn.Module:
    return surrogates.make(kind, n, generator=generator(1), dtype=torch.float64, **options)


def slope_of(x: Tensor) -> Tensor:
    return torch.randn(x.shape, generator=generator(5), dtype=x.dtype)


def errors(
    layer: DecisionLayer,
    theta: Tensor,
    moved: Sequence[Tensor],
    leaves: Sequence[Tensor] | None = None,
    judged: DecisionLayer | None = None,
    step: float = STEP,
) -> Tensor:
    """Return the error of the derivative of a linear loss in each context, relative to the length of dx.

    Contexts whose face changes within the differences are left out: the quotients are not derivatives there.

    Args:
        layer: gives the differences.
        theta: contexts.
        moved: what is moved.
        leaves: the same tensors of the layer that is judged.
        judged: that layer, if it is another one.
        step: of the differences.
    """
    directions = directions_of(moved)
    leaves = moved if leaves is None else leaves
    dx = central(lambda: layer(theta), moved, directions, step)
    finer = central(lambda: layer(theta), moved, directions, 0.5 * step)
    x = (judged or layer)(theta)
    slope = slope_of(x)
    length = dx.norm(dim=1).clamp(min=1e-3)  # at a vertex nothing moves
    size = length * slope.norm(dim=1)
    smooth = (dx - finer).norm(dim=1) <= 1e-6 * length
    assert 2 * int(smooth.sum()) >= len(x), "most contexts ought to keep their face"
    found = []
    for i in smooth.nonzero()[:, 0].tolist():
        parts = torch.autograd.grad((slope[i] * x[i]).sum(), leaves, retain_graph=True, allow_unused=True)
        along = [(a * b).sum() for a, b in zip(parts, directions, strict=True) if a is not None]
        found.append((torch.stack(along).sum().double() - (slope[i] * finer[i]).sum()).abs() / size[i])
    return torch.stack(found)
