"""Where candidates are drawn: uniformly, as the benchmark does, or such that they reach the faces where optima lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import torch
from torch import Tensor

from decision.sets._base import FeasibleSet
from socicnn._registry import Registry
from socicnn.errors import ModelError


class Sampler(ABC):
    """A law of candidates. A sampler is a value: it draws from the generator given."""

    name: str

    @abstractmethod
    def draw(self, feasible_set: FeasibleSet, count: int, generator: torch.Generator) -> Tensor:
        """Return points of the set, shape `(count, n)`, float64."""


@final
@dataclass(frozen=True)
class Uniform(Sampler):
    """Uniform points: the benchmark's protocol."""

    name = "uniform"

    def draw(self, feasible_set: FeasibleSet, count: int, generator: torch.Generator) -> Tensor:
        """Return uniform points."""
        return feasible_set.sample(count, generator)


@final
@dataclass(frozen=True)
class Boundary(Sampler):
    """Uniform points, a share of them thrown out and projected back (`FeasibleSet.sample_boundary`).

    Args:
        share: of the points that reach the boundary, in [0, 1].
    """

    share: float = 0.5
    name = "boundary"

    def draw(self, feasible_set: FeasibleSet, count: int, generator: torch.Generator) -> Tensor:
        """Return the mixture."""
        return feasible_set.sample(count, generator, boundary=self.share)


@final
@dataclass(frozen=True)
class Vertices(Sampler):
    """Uniform points, a share of them averages of few random vertices: sparse on a simplex, saturated on a box.

    x = sum_j w_j e_j, w uniform on the simplex, e_1 .. e_k vertices in random directions, k uniform in 1 .. most. The
    points lie on faces of low dimension: a Dirichlet law of few non-zero parameters, for any set.

    Args:
        share: of the points that are such averages, in [0, 1].
        most: largest number of vertices, >= 1.

    >>> from decision.sets import Simplex
    >>> x = Vertices(share=1.0, most=2).draw(Simplex(5), 20, torch.Generator().manual_seed(0))
    >>> int((x > 0).sum(dim=1).max()), bool(Simplex(5).contains(x).all())
    (2, True)
    """

    share: float = 0.5
    most: int = 3
    name = "vertices"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.most < 1:
            raise ModelError(
                f"share must lie in [0, 1] and most be at least 1; received share={self.share}, most={self.most}"
            )

    def draw(self, feasible_set: FeasibleSet, count: int, generator: torch.Generator) -> Tensor:
        """Return the mixture, in random order."""
        sparse, n = round(self.share * count), feasible_set.n
        directions = torch.randn(sparse, self.most, n, dtype=torch.float64, generator=generator)
        w = torch.empty(sparse, self.most, 1, dtype=torch.float64).exponential_(generator=generator)
        k = torch.randint(self.most, (sparse, 1, 1), generator=generator)
        w = torch.where(torch.arange(self.most)[:, None] <= k, w, 0.0)
        averages = (w / w.sum(dim=1, keepdim=True) * feasible_set.minimise_linear(directions)).sum(dim=1)
        x = torch.cat([feasible_set.sample(count - sparse, generator), averages])
        return feasible_set.project(x[torch.randperm(count, generator=generator)])  # rounding taken off


SamplerName: TypeAlias = Literal["uniform", "boundary", "vertices"]
SAMPLERS: Registry[Callable[[], Sampler]] = Registry(
    "sampler", {kind.name: kind for kind in (Uniform, Boundary, Vertices)}
)


def make_sampler(sampler: Sampler | SamplerName) -> Sampler:
    """Return a sampler from itself or its short name.

    Raises:
        ModelError: the name is unknown; the message lists what there is.
    """
    return sampler if isinstance(sampler, Sampler) else SAMPLERS[sampler]()
