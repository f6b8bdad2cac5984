"""How the weights start: small, as the paper's figures ask for, or with rows on the axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from socicnn.nn._branches import BranchMap
from socicnn.positivity import Initialiser

SHIFT = 3.0  # softplus(-3) = 0.049
SPREAD = 0.1  # of the random rows that are added to those on the axes
DEAD, REVIVED = 1e-2, 0.25  # length of the rows of a norm: less has died; of those drawn anew
FLAT, WEIGHT = 0.02, 0.09  # curvature of a row of a logistic branch: less has died; weight of a row drawn anew


@final
@dataclass(frozen=True)
class Small(Initialiser):
    """W = softplus(raw - 3), raw Xavier-uniform: weights of about 0.05, so that f starts near zero.

    The paper does not say how its networks start. From this start 240 steps give its order.
    """

    name = "small"

    def weight(self, shape: Sequence[int], fan_in: int, activation: str, generator: torch.Generator | None) -> Tensor:
        """Draw a weight; a vector has one output."""
        bound = math.sqrt(6 / (fan_in + (shape[0] if len(shape) > 1 else 1)))
        raw = bound * (2 * torch.rand(tuple(shape), generator=generator, dtype=torch.float64) - 1)
        return torch.nn.functional.softplus(raw - SHIFT)

    def bias(self, fan_in: int, activation: str) -> float:
        """Return zero."""
        return 0.0

    def input_variances(self, fans: Sequence[int], activations: Sequence[str]) -> list[float]:
        """Return one for every layer: U_k ~ N(0, 1/n)."""
        return [1.0] * len(fans)


@torch.no_grad()
def on_axes(network: Any, uphill: Tensor, generator: torch.Generator) -> None:
    """Turn the rows of every map of x to the axes, in turn and with random signs, and keep a tenth of the random rows.

    A unit then sees one coordinate at first. Targets that are sums over coordinates are found from there; in twenty
    dimensions a random start ends far from them. The rows of a log-sum-exp, of which the largest decides, point to
    where the target rises: rows of both signs cancel, and the branch dies.

    Args:
        network: whose rows they are.
        uphill: a direction in which the target rises on average, shape `(d,)`.
        generator: draws the signs.
    """
    sums = [part.full for part in network.smooth.G] if hasattr(network, "smooth") else []
    every = [*getattr(network, "U", ()), *(part.full for part in network.modules() if isinstance(part, BranchMap))]
    for rows in every:
        count, d = rows.shape
        at = torch.arange(count) % d
        signs = 1 - 2 * torch.randint(2, (count, 1), generator=generator).to(rows.dtype)
        if any(rows is other for other in sums):
            signs = torch.where(uphill[at] < 0, -1.0, 1.0)[:, None].to(rows.dtype)
        axes = torch.nn.functional.one_hot(at, d).to(rows.dtype)
        rows.copy_(signs * axes * torch.linalg.vector_norm(rows, dim=1, keepdim=True) + SPREAD * rows)


@torch.no_grad()
def revive(network: Any, generator: torch.Generator) -> None:
    """Draw anew the norm branches and the rows of logistic branches that have died; in standardised units."""
    vectors = dict(network.named_parameters())
    _revive_norms(list(getattr(network, "C", ())), vectors, generator)
    for number, part in enumerate(network.smooth.S if hasattr(network, "smooth") else (), start=1):
        scales, offsets = vectors[f"vectors.positive.omega{number}.raw"], vectors[f"vectors.free.s{number}"]
        _revive_logistic(part.full, scales, offsets, generator)


def _revive_norms(maps: Sequence[Any], vectors: Mapping[str, Tensor], generator: torch.Generator) -> None:
    """Draw norms that have died anew, small, so that all of them together have rows of length `REVIVED`.

    Where gamma, C and the offset d shrink together, the gradient of gamma ||C x + d|| vanishes with them: a quadratic
    takes the norm's place, and gradient steps do not find back.
    """
    if not maps:
        return
    scales = vectors["vectors.positive.gamma.raw"]
    dead = [r for r, part in enumerate(maps) if scales[r].square() * torch.linalg.matrix_norm(part.full) < DEAD]
    for r in dead:
        rows = maps[r].full
        drawn = torch.randn(rows.shape, generator=generator, dtype=torch.float64) / math.sqrt(rows.shape[1])
        rows.copy_(REVIVED / len(dead) * drawn)
        scales[r] = 1.0
        vectors[f"vectors.free.d{r + 1}"].zero_()


def _revive_logistic(rows: Tensor, scales: Tensor, offsets: Tensor, generator: torch.Generator) -> None:
    """Turn rows of a logistic branch that are nearly straight, omega |s|^2 < `FLAT`, to random axes.

    A row with a small omega and s adds a nearly affine function, which the affine part has already.
    """
    dead = torch.nonzero(scales.square() * rows.square().sum(dim=1) < FLAT)[:, 0]
    d = rows.shape[1]
    axes = torch.eye(d, dtype=torch.float64)[torch.randperm(len(rows), generator=generator)[: len(dead)] % d]
    drawn = torch.randn(axes.shape, generator=generator, dtype=torch.float64) / math.sqrt(d)
    rows[dead] = (axes + SPREAD * drawn).to(rows.dtype)
    scales[dead] = math.sqrt(WEIGHT)
    offsets[dead] = 0.0
