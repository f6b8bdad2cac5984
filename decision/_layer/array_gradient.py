"""The gradient of a decision in a network's numbers, in closed form: no graph of the network is gone through twice.

With (u, nu) from the adjoint system, L = f + mu'r and D_u L its slope along u, the total to differentiate is

    T = price L - D_u L - nu'r

On a piece, a_k, p and the slopes lambda_k of L in a_k are known and lambda_k does not depend on x. With da, dz and dp
along u, kappa_k = on_k W_{k+1}'kappa_{k+1} + nu_k, and s = p / ||p||, ds = (dp - s s'dp) / ||p||,

    dT/dU_k = (price lambda_k - kappa_k) x' - lambda_k u'         dT/dW_k = lambda_k (price z - dz)' - kappa_k z'
    dT/dA_m = 2 beta [(price p - dp) x' - p u']                   dT/dbeta = price ||p||^2 - 2 p'dp
    dT/dC_r = [gamma (price s - ds) + price mu - nu] x' - (gamma s + mu) u'        dT/dgamma = price ||p|| - s'dp

and what multiplies x' is the gradient in the offset. s and ds are zero where a norm is held at zero.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from decision._layer.array_local import ArrayLocal
from decision._layer.network_tensors import NetworkTensors


class AdjointSolution(NamedTuple):
    """Multipliers and the solution of the adjoint system in each context.

    Args:
        mu: multipliers of the kinks, shape `(contexts, R)`.
        y: of the constraints, shape `(contexts, count)`.
        u: along [x | u], shape `(contexts, columns)`.
        nu: of the kinks in the adjoint, shape `(contexts, R)`.
        eta: of the constraints in the adjoint, shape `(contexts, count)`.
    """

    mu: Tensor
    y: Tensor
    u: Tensor
    nu: Tensor
    eta: Tensor


def cotangents(numbers: NetworkTensors, local: ArrayLocal, solution: AdjointSolution, price: Tensor) -> list[Tensor]:
    """Return the gradients of T in `numbers.tensors`.

    Args:
        numbers: of the networks.
        local: the same networks around the decisions.
        solution: of the adjoint system.
        price: gradient in min f, shape `(contexts, 1)`.
    """
    x, u, (L, Q) = local.point, solution.u[:, : local.point.shape[1]], (len(numbers.widths), len(numbers.quadratics))
    B, sizes = numbers.B.detach(), numbers.sizes
    along = (u @ B.T).split(sizes, dim=1)
    mu, nu = (local.split(values) for values in (solution.mu, solution.nu))
    lam, _ = local.multipliers(mu)
    dz, z = _tangents(numbers, local, along[:L])
    kappa = _pulled(numbers, local, nu[:L])
    by_x, by_u = [price * a - b for a, b in zip(lam, kappa, strict=True)], [-a for a in lam]
    weights = [price * z[-1] - dz[-1]] if L else []
    betas, gammas = local.weights
    p = (local.point @ B.T + numbers.offset.detach()).split(sizes, dim=1) if Q else ()
    for beta, image, moved in zip(betas, p[L : L + Q], along[L : L + Q], strict=True):
        by_x.append(2.0 * beta * (price * image - moved))
        by_u.append(-2.0 * beta * image)
        weights.append(price * image.square().sum(1, True) - 2.0 * (image * moved).sum(1, True))
    for r, (gamma, moved) in enumerate(zip(gammas, along[L + Q :], strict=True)):
        s, length, inverse = local.direction(r)
        dp = moved.reshape(s.shape)
        inner = (s * dp).sum(dim=-1, keepdim=True)
        ds = inverse[..., None] * (dp - s * inner)
        g = gamma[..., None]
        by_x.append((g * (price[..., None] * s - ds)).flatten(1) + price * mu[L + r] - nu[L + r])
        by_u.append(-(g * s).flatten(1) - mu[L + r])
        weights.append(price * length - inner[..., 0])
    nothing = x.new_zeros(len(x), 0)
    X, U = torch.cat([nothing, *by_x], dim=1), torch.cat([nothing, *by_u], dim=1)
    W = [lam[k].T @ (price * z[k - 1] - dz[k - 1]) - kappa[k].T @ z[k - 1] for k in range(1, L)]
    return [X.T @ x + U.T @ u, X, torch.cat([nothing, *weights], dim=1), price * x - u, price[:, 0], *W]


def _tangents(
    numbers: NetworkTensors, local: ArrayLocal, along: tuple[Tensor, ...]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return dz_k along u and z_k of each layer; `along` holds U_k u."""
    dz: list[Tensor] = []
    z: list[Tensor] = []
    for k, moved in enumerate(along):
        on, a = local.unit(k)
        da = moved if not k else moved + dz[-1] @ numbers.W[k - 1].detach().T
        dz.append(on * da)
        z.append(on * a)
    return dz, z


def _pulled(numbers: NetworkTensors, local: ArrayLocal, nu: tuple[Tensor, ...]) -> list[Tensor]:
    """Return kappa_k of each layer."""
    kappa: list[Tensor] = []
    for k in range(len(nu) - 1, -1, -1):
        above = local.unit(k)[0] * (kappa[0] @ numbers.W[k].detach()) if kappa else 0.0
        kappa.insert(0, nu[k] + above)
    return kappa
