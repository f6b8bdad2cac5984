"""Log-concave densities p(x) = exp(-E(x)) / Z whose energy is a convex network, and how they are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self, Unpack, final

import torch
from torch import Tensor, nn

from socicnn._integers import is_number
from socicnn.density._base import Density, check_energy
from socicnn.density._estimate import Estimate
from socicnn.density._points import per_axis
from socicnn.density._rule import Rule, Weighted, check_values
from socicnn.density._targets import Target
from socicnn.errors import ModelError
from socicnn.nn import ICNN
from socicnn.nn._kinds import NETWORKS
from socicnn.nn._options import Activation, NetOptions, NetSettings

CELLS = {1: (8000,), 2: (420, 240)}  # cells per axis of the grid for total variation

NO_RULE = "the log Z of an energy is an integral: give `rule=quadrature(lower, upper)` or `rule=importance(data)`"


@final
class Energy(Density):
    """E(x) = f(x) + sc/2 ||x||^2 with a convex f, so that p = exp(-E) / Z is log-concave and Z finite.

    Args:
        network: f, a network of `socicnn.nn` without a context, or any convex torch module (see `ConvexModule`).
        strong_convexity: sc >= 0; with 0, Z may be infinite over the whole space.
        in_features: dimension n of x, where a module of your own does not tell it.

    Raises:
        ModelError: the network takes a context or cannot be used, or sc is negative.

    >>> from socicnn import ICNN
    >>> energy = Energy(ICNN(2, (16, 16), activation="softplus"))
    >>> energy(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    normalised = False  # Z is an integral

    def __init__(self, network: nn.Module, strong_convexity: float = 0.02, *, in_features: int | None = None) -> None:
        super().__init__(network, in_features)
        if not (is_number(strong_convexity) and 0 <= strong_convexity < math.inf):
            raise ModelError(f"strong_convexity must be a number >= 0; received {strong_convexity!r}")
        self.strong_convexity = float(strong_convexity)

    @classmethod
    def dense(
        cls,
        in_features: int,
        hidden_features: Sequence[int] = (128, 128, 128),
        *,
        strong_convexity: float = 0.02,
        activation: Activation = "softplus",
        options: NetOptions | None = None,
        **settings: Unpack[NetSettings],
    ) -> Self:
        """Return the energy of an `ICNN` with input skips; the arguments are the network's."""
        return cls(
            ICNN(in_features, hidden_features, activation=activation, options=options, **settings), strong_convexity
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return E(x), shape `(*batch,)`."""
        value: Tensor = self.network(x)
        axes = tuple(range(-len(self.network.input_shape), 0))
        return value + 0.5 * self.strong_convexity * x.square().sum(dim=axes)

    def objective(self, x: Tensor, rule: Weighted | None) -> Tensor:
        """Return mean E(x) + log Z: the forward Kullback-Leibler divergence up to a constant.

        Raises:
            ModelError: there is no rule for log Z.
        """
        if rule is None:
            raise ModelError(NO_RULE)
        points, nodes = self._energies(x, rule)
        return points.mean() + rule.log_partition(nodes)

    def likelihoods(self, x: Tensor, rule: Rule | None) -> tuple[Tensor, Estimate]:
        """Return E at the points and the estimate of log Z.

        Raises:
            ModelError: there is no rule, or it cannot tell the likelihood of a point.
        """
        if rule is None:
            raise ModelError(NO_RULE)
        rule.check(x)
        points, nodes = self._energies(x, rule)
        return points, rule.estimate(nodes)

    def _energies(self, x: Tensor, rule: Weighted) -> tuple[Tensor, Tensor]:
        values = self(torch.cat([x, rule.nodes]))
        return values[: len(x)], values[len(x) :]

    def finalise(self, data: Any = None) -> Self:
        """Return the energy with plain, exactly non-negative weights.

        Args:
            data: the training points, a tensor or an array, for recipes whose weights depend on data.
        """
        return type(self)(self.network.finalise(data), self.strong_convexity)


NETWORKS.register("Energy", Energy)  # files of it can be loaded from now on


@torch.no_grad()
def total_variation(energy: Any, target: Target, cells: int | Sequence[int] | None = None) -> float:
    """Return 1/2 int |p - q| of an energy's law q and a target p, by the midpoint rule on the target's window.

    q is normalised on the window. A jump of the target is integrated exactly where it lies between two cells.

    Args:
        energy: E, an energy or any function from x of shape `(count, n)` to values.
        target: p.
        cells: number of cells of each axis, a number in one dimension; defaults to 8,000 in one dimension and
            420 x 240 in two.

    Raises:
        ModelError: the target has more than two dimensions, the cells do not fit, a flow stands for the energy, or its
            values are not one per point.
    """
    check_energy(energy)
    x, _ = grid(target, cells)
    held = energy.parameters() if isinstance(energy, nn.Module) else ()
    dtype = next((parameter.dtype for parameter in held), torch.float64)
    values = torch.cat([check_values(energy(part.to(dtype)), len(part)) for part in x.split(8192)]).double()
    q = torch.softmax(-values, dim=0)  # the mass of each cell
    p = target.log_density(x).exp()
    return 0.5 * float((p / p.sum() - q).abs().sum())


def grid(target: Target, cells: int | Sequence[int] | None = None) -> tuple[Tensor, float]:
    """Return the midpoints of equal cells on a target's window, shape `(count, n)` in float64, and a cell's volume."""
    n = target.features
    counts = CELLS.get(n) if cells is None else per_axis(cells, n)
    if counts is None:
        raise ModelError(f"a grid needs {n} integers >= 1 as cells, of one or two dimensions; received {cells!r}")
    axes, volume = [], 1.0
    for a, b, count in zip(target.lower, target.upper, counts, strict=True):
        step = (b - a) / count
        axes.append(a + step * (torch.arange(count, dtype=torch.float64) + 0.5))
        volume *= step
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, n), volume
