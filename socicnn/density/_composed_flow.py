"""Convex potential flows in several blocks, each behind an affine map that standardises what enters it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self, Unpack, final

import torch
from torch import Tensor, nn

from socicnn._frames import refuse_other_columns
from socicnn._integers import as_integer
from socicnn.density._change_of_variables import Flow
from socicnn.density._flow import PotentialFlow
from socicnn.density._log_determinant import LogDet, LogDetEstimate
from socicnn.density._points import as_tensor
from socicnn.errors import ModelError
from socicnn.nn._kinds import NETWORKS
from socicnn.nn._network import Network
from socicnn.nn._options import NetOptions, NetSettings


@final
class ComposedFlow(Flow):
    """x -> T_K(A_K(... T_1(A_1(x)))), T_k = grad F_k of a potential flow, A_k(x) = exp(s_k) (x - m_k) per coordinate.

    log p(x) = log N(z; 0, I) + sum_k [log det Hess F_k + sum_i s_ki], z the image of x (Huang et al., "Convex potential
    flows", 2021). The affine maps, "actnorm" (Kingma and Dhariwal, "Glow", 2018), are trained too; `normalise` starts
    them. Determinants are those of the blocks: exact up to 32 dimensions, where each block costs n derivatives of a
    gradient per point, and estimated beyond.

    Args:
        blocks: the potential flows, first the one next to x; of one dimension and floating type.

    Raises:
        ModelError: no blocks, one that is given twice, or blocks that do not fit together.

    >>> flow = ComposedFlow.dense(2, (8, 8), blocks=3)
    >>> flow.log_density(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    def __init__(self, blocks: Sequence[PotentialFlow]) -> None:
        nn.Module.__init__(self)
        if not blocks or not all(isinstance(block, PotentialFlow) for block in blocks):
            raise ModelError(f"blocks must be one or more PotentialFlow; received {blocks!r}")
        kinds = {(block.features, block.network.dtype, block.network.device) for block in blocks}
        if len(kinds) > 1 or len(set(map(id, blocks))) < len(blocks):
            raise ModelError(
                "blocks must be different flows of one dimension, floating type and device; received "
                + ", ".join(f"{block.features} in {block.network.dtype}" for block in blocks)
            )
        self.blocks: Any = nn.ModuleList(blocks)
        zero = torch.zeros((len(blocks), self.features), dtype=self.network.dtype, device=self.network.device)
        self.means, self.log_scales = nn.Parameter(zero), nn.Parameter(zero.clone())

    @classmethod
    def dense(
        cls,
        in_features: int,
        hidden_features: Sequence[int] = (64, 64, 64),
        *,
        blocks: int = 3,
        strong_convexity: float = 0.05,
        log_det: LogDet | None = None,
        options: NetOptions | None = None,
        **settings: Unpack[NetSettings],
    ) -> Self:
        """Return a flow of `PotentialFlow.dense` blocks; the arguments but their number are those of one block."""
        return cls(
            [
                PotentialFlow.dense(
                    in_features,
                    hidden_features,
                    strong_convexity=strong_convexity,
                    log_det=log_det,
                    options=options,
                    **settings,
                )
                for _ in range(as_integer("blocks", blocks))
            ]
        )

    @property
    def network(self) -> Network:  # type: ignore[override]  # read only
        """Network of the first block, whose floating type and device all share."""
        network: Network = self.blocks[0].network
        return network

    @property
    def networks(self) -> tuple[Network, ...]:
        """Networks of the blocks."""
        return tuple(block.network for block in self.blocks)

    @torch.no_grad()
    def normalise(self, points: Any) -> Self:
        """Set m_k and s_k so that what enters each block has mean 0 and standard deviation 1; before training.

        Args:
            points: training points of shape `(count, n)`, count >= 2.

        Returns:
            The flow itself.

        Raises:
            ModelError: points that are invalid, or constant in a coordinate.
        """
        refuse_other_columns(self.ranges, "x", points, "points")
        x = as_tensor(points, self.features, dtype=self.network.dtype, device=self.network.device)
        deviation = x.std(dim=0)
        if not bool((deviation > 0).all()):
            raise ModelError(
                f"points must vary in each coordinate; the {len(x)} received have standard deviations "
                f"{[round(value, 6) for value in deviation.tolist()]}; leave out what is constant"
            )
        plain = self.finalise(x)
        for k, block in enumerate(plain.blocks):
            plain.means[k] = x.mean(dim=0)
            plain.log_scales[k] = -x.std(dim=0).log()
            x = block.transport(plain._affine(x, k))
        self.means.copy_(plain.means)
        self.log_scales.copy_(plain.log_scales)
        return self

    def _affine(self, x: Tensor, k: int) -> Tensor:
        return (x - self.means[k]) * self.log_scales[k].exp()

    def forward(self, x: Tensor) -> Tensor:
        """Return the image of x, shape that of x."""
        return self.transport(x)

    def transport(self, x: Tensor) -> Tensor:
        """Return the image of x, shape that of x."""
        for k, block in enumerate(self.blocks):
            x = block.transport(self._affine(x, k))
        return x

    def transport_and_estimate(
        self, x: Tensor, *, training: bool = False, probes: int | None = None
    ) -> tuple[Tensor, LogDetEstimate]:
        """Return the image of x, and the sum of all blocks' log-determinants, shape `(*batch,)`, with its errors.

        Args:
            x: points of shape `(*batch, n)`.
            training: whether to take as many probes as for a step of training, rather than as many as for a judgement.
            probes: how many each block takes, in place of either.
        """
        parts = [LogDetEstimate.exact(self.log_scales.sum().expand(x.shape[:-1]))]
        for k, block in enumerate(self.blocks):
            x, part = block.transport_and_estimate(self._affine(x, k), training=training, probes=probes)
            parts.append(part)
        return x, LogDetEstimate.total(parts)

    @torch.no_grad()
    def inverse(self, z: Tensor, tolerance: float = 1e-9, steps: int = 100) -> Tensor:
        """Return the x whose image is z: blocks inverted from the last to the first, in float64, the whole checked.

        Args:
            z: points of shape `(count, n)`.
            tolerance: largest norm of the image of x less z, relative to 1 + ||z||.
            steps: Newton steps per block at most.

        Raises:
            ModelError: the tolerance is not reached.
        """
        exact, target = copy.deepcopy(self).double(), z.double()
        for finer in (1.0, 1e-2, 1e-4):  # later blocks enlarge what earlier ones leave
            x = target
            for k in reversed(range(len(exact.blocks))):
                x = exact.blocks[k].inverse(x, finer * tolerance, steps)
                x = x * (-exact.log_scales[k]).exp() + exact.means[k]
            residual = torch.linalg.vector_norm(exact.transport(x) - target, dim=1)
            left = float((residual / (1 + torch.linalg.vector_norm(target, dim=1))).max())
            if left <= tolerance:
                return x.to(z)
        raise ModelError(f"the inverse reached {left:.1e}, not the tolerance {tolerance:g}; set a larger one")

    def finalise(self, data: Any = None) -> Self:
        """Return the flow with plain, exactly non-negative weights.

        Args:
            data: the training points, a tensor or an array, for recipes whose weights depend on data.
        """
        plain = type(self)([block.finalise(data) for block in self.blocks])
        with torch.no_grad():
            plain.means.copy_(self.means)
            plain.log_scales.copy_(self.log_scales)
        return plain

    def settings(self) -> dict[str, Any]:
        """Return the settings of the blocks, as JSON values."""
        return {"blocks": [block.settings() for block in self.blocks]}

    def config(self) -> dict[str, Any]:
        """Return the configurations of the blocks, as JSON values.

        Raises:
            ModelError: the network of a block is a module of your own, whose code no file holds.
        """
        return {"blocks": [block.config() for block in self.blocks]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a flow with this configuration and weights that mean nothing yet.

        Raises:
            ModelError: an entry is missing, unknown or of the wrong kind.
        """
        if not isinstance(config, dict) or config.keys() != {"blocks"} or not isinstance(config["blocks"], list):
            raise ModelError("the configuration does not describe a ComposedFlow: it needs a list of blocks alone")
        return cls([PotentialFlow.from_config(block) for block in config["blocks"]])


NETWORKS.register("ComposedFlow", ComposedFlow)  # files of it can be loaded from now on
