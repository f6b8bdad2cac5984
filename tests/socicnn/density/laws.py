"""Products of one-dimensional laws whose log Z is 0: Gumbel, logistic and Laplace by turns."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def product(x: Tensor) -> Tensor:
    gumbel, logistic, laplace = (x[:, place::3] for place in range(3))
    return (
        (gumbel + torch.exp(-gumbel)).sum(dim=1)
        + (logistic + 2 * softplus(-logistic)).sum(dim=1)
        + (laplace.abs() + math.log(2)).sum(dim=1)
    )


def sample_product(n: int, count: int, seed: int = 0) -> Tensor:
    u = torch.rand((count, n), generator=draws(seed), dtype=torch.float64)
    x = torch.logit(u)
    x[:, 0::3] = -(-u[:, 0::3].log()).log()
    centred = u[:, 2::3] - 0.5
    x[:, 2::3] = -centred.sign() * torch.log1p(-2 * centred.abs())
    return x
