"""What a model's read-outs read: raw of W = psi(raw), weight by weight."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from socicnn.errors import ModelError
from socicnn.positivity._base import Weight


class ReadOut(Protocol):
    """A weight that is read out of something: softplus and the other read-outs, the lift, the controls."""

    @property
    def raw(self) -> Tensor:
        """What psi reads, of the weight's shape."""


def read_outs(model: nn.Module) -> list[tuple[str, ReadOut]]:
    """Return the name and the holder of each weight that is read out.

    Raises:
        ModelError: no weight is read out.
    """
    modules = [(name, cast(ReadOut, module)) for name, module in model.named_modules() if _has_raw(module)]
    if not modules:
        raise ModelError(
            f"{type(model).__name__} has no weight with a read-out, so that there is no shoulder; its recipe must be "
            "softplus, relu, exp, square, lift or one of their controls"
        )
    return modules


def _has_raw(module: nn.Module) -> bool:
    # asked of the class, because a lift without a batch has no raw to give
    return isinstance(module, Weight) and (hasattr(type(module), "raw") or "raw" in dict(module.named_parameters()))


@torch.no_grad()
def raw_vector(holders: list[tuple[str, ReadOut]]) -> Tensor:
    """Return everything that is read, as one vector, detached."""
    return torch.cat([holder.raw.detach().reshape(-1) for _, holder in holders])


def slack_of(holder: ReadOut) -> nn.Parameter | None:
    """Return the holder's slack b, with raw = b + (what does not contain b), or None."""
    slack = getattr(holder, "b", None)
    return slack if isinstance(slack, nn.Parameter) else None
