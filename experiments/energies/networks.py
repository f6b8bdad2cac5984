"""The five surrogates of the paper, and one with the branches that the energy asks for.

The paper's: the backbone and the branches see x and theta side by side, and a small convolutional network adds a term
that is affine in x, f(x, theta) = g(x, theta) + mean(a(theta) * x) + b(theta). `shape`: a network without that term,
whose branches can equal those of the energy (`Problem.shaped`).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from experiments.energies.problem import Problem
from socicnn.frozen import FrozenNet, Output

Name = Literal["relu", "softplus", "quad", "norm", "soc", "shape"]
Way = Literal["paper", "within", "slopes"]  # how it is trained
WAYS: tuple[Way, ...] = ("paper", "within", "slopes")
NAMES: tuple[Name, ...] = ("soc", "shape", "norm", "quad", "softplus", "relu")
HIDDEN = 16  # channels of the network of a and b


def make(problem: Problem, name: Name, seed: int) -> nn.Module:
    """Return an untrained network: backbone of the paper, with the branches that the name says."""
    draw = torch.Generator().manual_seed(seed)
    if name == "shape":
        shaped: nn.Module = problem.shaped(draw)
        return shaped
    quadratic, norm = problem.branches
    network = problem.network(
        (quadratic,) if name in ("quad", "soc") else (),
        (norm,) if name in ("norm", "soc") else (),
        context="joint",
        activation="softplus" if name == "softplus" else "relu",
        generator=draw,
    )
    return Joint(problem, network, draw)


@final
class Joint(nn.Module):
    """A joint network with a term that is affine in x and depends on the context.

    Args:
        problem: whose contexts are images `(channels, *size)` or sequences `(T, channels)`.
        network: the joint network.
        draw: source of the initial weights of the affine term.
    """

    def __init__(self, problem: Problem, network: nn.Module, draw: torch.Generator) -> None:
        super().__init__()
        self.shape, self.network = problem.shape, network
        self.last = len(problem.context_shape) == 2  # channels of a sequence come last
        channels = problem.context_shape[-1 if self.last else 0]
        out = problem.shape[-1 if self.last else 0]
        conv = nn.Conv1d if self.last else nn.Conv2d
        self.code, self.head = conv(channels, HIDDEN, 5, padding=2), conv(HIDDEN + channels, out + 1, 3, padding=1)
        with torch.no_grad():
            for parameter in (*self.code.parameters(), *self.head.parameters()):
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * (fan_in**-0.5 if fan_in > 1 else 0.0))

    @property
    def y_scale(self) -> Tensor:
        """Unit of y, which the affine term shares."""
        scale: Tensor = self.network.standardisation.y_scale
        return scale

    def after_step(self) -> None:
        """Keep the weights of the network non-negative."""
        hook = getattr(self.network, "after_step", None)
        if hook is not None:
            hook()

    def affine(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return a, shape of x, and b, in the unit of y."""
        lead = theta.shape[: theta.ndim - len(self.shape)]
        image = theta.reshape(-1, *theta.shape[len(lead) :])
        image = image.transpose(-1, -2) if self.last else image
        both = self.head(torch.cat([nn.functional.silu(self.code(image)), image], dim=1))
        a, b = both[:, :-1], both[:, -1].flatten(1).mean(dim=1)
        a = a.transpose(-1, -2) if self.last else a
        return a.reshape(*lead, *self.shape), b.reshape(lead)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Return f(x, theta)."""
        a, b = self.affine(context)
        value: Tensor = self.network(x, context)
        return value + self.y_scale * ((a * x).flatten(-len(self.shape)).mean(dim=-1) + b)

    @torch.no_grad()
    def freeze(self, context: Any = None) -> FrozenNet:
        """Return the network at a context, or a stack of them, with the affine term in its read-out."""
        net: FrozenNet = self.network.freeze(context)
        a, b = deepcopy(self).double().affine(torch.as_tensor(context).double())
        scale, n, output = float(self.y_scale), net.in_features, net.output
        v = output.v + scale / n * a.flatten(-len(self.shape)).numpy()
        return replace(net, output=Output(output.w, v, output.c + scale * b.numpy()))
