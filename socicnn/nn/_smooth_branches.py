"""Log-sum-exp and logistic branches of the dense networks.

sum_j alpha_j log sum_i exp((G_j x + o_j)_i) + sum_i omega_i log(1 + exp((S x + s)_i)),   alpha, omega >= 0

A branch of k rows holds k n numbers in a full matrix, k in its offset, and one weight alpha, or k weights omega.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor, nn

from socicnn._arrays import Array, Matrix
from socicnn.frozen import Logistic, LogSumExp
from socicnn.nn._activations import softplus
from socicnn.nn._branches import BranchMap
from socicnn.nn._context import Vector


@final
class SmoothBranches(nn.Module):
    """The maps G_j and S of the branches; their vectors are the network's.

    Args:
        logsumexp: the maps G_j.
        logistic: the maps S.
    """

    def __init__(self, logsumexp: Sequence[BranchMap], logistic: Sequence[BranchMap]) -> None:
        super().__init__()
        self.G, self.S = nn.ModuleList(logsumexp), nn.ModuleList(logistic)

    @property
    def maps(self) -> list[BranchMap]:
        """All maps: those of the log-sum-exp branches first."""
        return cast("list[BranchMap]", [*self.G, *self.S])

    def _named(self) -> Iterator[tuple[str, int, BranchMap]]:
        """Yield the letter of each offset, the number of the branch, and its map."""
        for letter, maps in (("o", self.G), ("s", self.S)):
            yield from ((letter, number, cast(BranchMap, map_)) for number, map_ in enumerate(maps, start=1))

    def vectors(self, theta: Callable[[int], Tensor | None]) -> list[Vector]:
        """Return offsets and weights as they start; `theta` says how a joint context enters the rows of an offset."""
        zeros = lambda rows: torch.zeros(rows, dtype=torch.float64, device="cpu")  # noqa: E731 (local shorthand)
        own = [Vector(f"{letter}{i}", zeros(map_.rows), theta=theta(map_.rows)) for letter, i, map_ in self._named()]
        return own + weights(len(self.G), [map_.rows for letter, _, map_ in self._named() if letter == "s"])

    def value(self, x: Tensor, products: Iterator[Tensor], vectors: dict[str, Tensor]) -> Tensor | float:
        """Return the sum of the branches; `products` are what the full rows give of x."""
        value: Tensor | float = 0.0
        for letter, i, map_ in self._named():
            p = map_.image(x, next(products) if map_.full is not None else x) + vectors[f"{letter}{i}"]
            if letter == "o":
                value = value + vectors["alpha"][..., i - 1] * torch.logsumexp(p, dim=-1)
            else:
                value = value + (vectors[f"omega{i}"] * softplus(p)).sum(dim=-1)
        return value

    def frozen(self, vectors: dict[str, Array], spread: Callable[[Matrix], Matrix]) -> dict[str, Any]:
        """Return the branches as arrays, by the name of the argument of `FrozenNet`; `spread` widens a matrix."""
        parts: dict[str, Any] = {"logsumexps": [], "logistics": []}
        for letter, i, map_ in self._named():
            matrix, offset = spread(map_.frozen()), vectors[f"{letter}{i}"]
            if letter == "o":
                parts["logsumexps"].append(LogSumExp(vectors["alpha"][..., i - 1], matrix, offset))
            else:
                parts["logistics"].append(Logistic(vectors[f"omega{i}"], matrix, offset))
        return parts


def weights(logsumexps: int, logistics: Sequence[int]) -> list[Vector]:
    """Return alpha, one per log-sum-exp branch, and omega, one per row of each logistic branch, as they start."""
    ones = lambda rows: torch.ones(rows, dtype=torch.float64, device="cpu")  # noqa: E731 (local shorthand)
    alpha = [Vector("alpha", ones(logsumexps), positive=True)] if logsumexps else []
    return alpha + [Vector(f"omega{i}", ones(k) / k, positive=True) for i, k in enumerate(logistics, start=1)]
