"""Convex modules that say nothing of their program, and contexts for them."""

import torch
from torch import nn

from tests.support.cases import generator


class Kinked(nn.Module):
    """size (||A x - d|| + relu(b'x - t) + offset), whose minimum is a kink of one or of both."""

    def __init__(self, n: int, size: float) -> None:
        super().__init__()
        draw = generator(5)
        self.A, self.b = (torch.randn(rows, n, generator=draw, dtype=torch.float64) for rows in (2, 1))
        self.size = size

    def forward(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Return f(x, theta), the norm vanishing at a point near the centre of [0, 1]^n."""
        d = 0.05 * theta[:, :2] + self.A.sum(dim=1) / x.shape[-1]
        rest = torch.relu(x @ self.b[0] - theta[:, 2]) + theta[:, 0]
        return self.size * (torch.linalg.vector_norm(x @ self.A.T - d, dim=-1) + rest)


class Opaque(nn.Module):
    """A network that says nothing of its program."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.in_features = net, net.in_features

    def forward(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Return f(x, theta)."""
        return self.net(x, theta)


class Around(nn.Module):
    """A network at points in other units, in a module that has none of the network's hooks."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return f((x - 1) / 2)."""
        return self.net((x - 1) / 2)


def contexts(count: int = 6, p: int = 3) -> torch.Tensor:
    return torch.randn(count, p, generator=generator(1), dtype=torch.float64)
