"""A problem: a convex energy E(x, theta) over a box, contexts theta with candidates, and the exact minimiser."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import verify
from decision._options import MethodName
from decision.sets import Box
from socicnn._arrays import Array
from socicnn.frozen import FrozenNet
from socicnn.nn import Conv


@dataclass(frozen=True)
class Split:
    """Candidates x `(contexts, candidates, *shape)`, contexts, energies y `(contexts, candidates)`, clean signals."""

    x: Tensor
    context: Tensor
    y: Tensor
    clean: Tensor

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Steps:
    """How the paper decides: rate and number of projected Adam steps, starts, and the float type."""

    rate: float
    steps: int
    restarts: int
    dtype: torch.dtype = torch.float64


class References(NamedTuple):
    """Exact minimisers `(contexts, n)` of some contexts, their energies, and the median seconds of a solve."""

    x: Array
    energy: Array
    seconds: float


class Problem(ABC):
    """A convex energy over a box.

    Attributes:
        shape: shape of x.
        context_shape: shape of theta.
        lower: lower bound of every coordinate of x.
        upper: upper bound of every coordinate of x.
        steps: how the paper decides.
        batch: contexts of a step of the paper's training, all their candidates together.
        together: contexts that are decided together.
        micro_batch: contexts that are computed together in training; None for the whole batch.
        method: how certified decisions are taken.
        methods: of surrogates, by name, that take another one.
        patience: how many times as long as the others `shape` is trained, as its errors fall the longest.
    """

    shape: tuple[int, ...]
    context_shape: tuple[int, ...]
    lower: float
    upper: float
    steps: Steps
    batch: int
    together: int
    method: MethodName = "auto"
    micro_batch: int | None = None
    methods: Mapping[str, MethodName] = MappingProxyType({})
    patience: int = 2

    @property
    def n(self) -> int:
        """Number of coordinates of x."""
        return int(np.prod(self.shape))

    @property
    def box(self) -> Box:
        """The feasible set."""
        return Box(self.n, self.lower, self.upper)

    @abstractmethod
    def splits(self) -> tuple[Split, Split, Split]:
        """Return training, validation and test data, the same in every call."""

    @abstractmethod
    def energy(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return E, shape `(*batch,)`, of x `(*batch, *shape)` and theta that broadcasts with it."""

    @abstractmethod
    def program(self) -> tuple[Any, Any, Any]:
        """Return the exact program (CVXPY), its variable of shape `(n,)`, and a function that sets its context."""

    @abstractmethod
    def by_hand(self, theta: Array) -> FrozenNet:
        """Return the network that equals the energy at one context."""

    @abstractmethod
    def network(self, quadratic: tuple[Conv, ...], norm: tuple[Conv, ...], **settings: Any) -> Any:
        """Return a network of `socicnn.nn` with these branches and the backbone of the paper."""

    @abstractmethod
    def shaped(self, draw: torch.Generator) -> Any:
        """Return an untrained network whose branches can equal those of the energy."""

    @property
    @abstractmethod
    def branches(self) -> tuple[Conv, Conv]:
        """The paper's quadratic and norm branch."""

    @abstractmethod
    def quality(self, x: Array, clean: Tensor) -> dict[str, float]:
        """Return how near decisions `(contexts, n)` are to the clean signals, each figure a mean over contexts."""

    @abstractmethod
    def classical(self, theta: Tensor) -> dict[str, Array]:
        """Return what methods without learning restore, by name, `(contexts, n)` each."""

    def references(self, theta: Tensor, solver: str = "CLARABEL", **options: float) -> References:
        """Return the exact minimisers of contexts, through CVXPY, compiled once.

        Args:
            theta: contexts.
            solver: its name in CVXPY.
            options: of the solver.
        """
        problem, x, set_context = self.program()
        points, seconds = [], []
        for context in theta.double().numpy():
            set_context(context)
            started = time.process_time()
            problem.solve(solver=solver, **options)
            seconds.append(time.process_time() - started)
            points.append(np.clip(x.value, self.lower, self.upper))
        stacked = np.array(points)
        values = self.energy(torch.from_numpy(stacked).reshape(-1, *self.shape), theta.double())
        return References(stacked, values.numpy(), float(np.median(seconds)))

    def proven(self, theta: Tensor, energy: Array) -> tuple[float, float]:
        """Return how far energies are above the least ones at most, relative and proven, and the seconds of a proof.

        Args:
            theta: contexts.
            energy: of points in the box, shape `(contexts,)`.
        """
        problem, _, set_context = self.program()
        lower, seconds = [], []
        for context in theta.double().numpy():
            set_context(context)
            started = time.process_time()
            lower.append(verify.optimum(problem, solver="clarabel").lo)
            seconds.append(time.process_time() - started)
        return float((energy / np.array(lower) - 1).max()), float(np.median(seconds))
