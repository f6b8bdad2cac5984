"""What the lift's fluctuation does at a fixed iterate: the trace called a variance, split in two, and the curvature.

theta_X = b + h(X) is what the read-out reads for a batch X, g_X = grad L(theta_X; X) the gradient with respect to it,
bars are means over batches, d theta = theta_X - bar theta. The trace of the cross-covariance is

    tr E[d theta d g'] = E[d theta . grad L(bar theta; X)] + E[d theta . (g_X - grad L(bar theta; X))],

the noise part (gradient noise of the same batch) and the curvature part (d theta' H d theta, to first order). With a
linear head it is d/ds E[L(bar theta + s d theta; X)] at s = 1: below zero while training gains by moving the weights
further with the batch, zero wherever training has come to rest.

On the slack the curvature of the lifted landscape is E[H(theta_X; X)] exactly, because b enters by addition; Hutchinson
probes z' H z compare its trace with that of E[H(bar theta; X)], which has no fluctuation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad

from experiments.engine.tables import Row
from socicnn.density import Energy, Target, quadrature
from socicnn.positivity.diagnostics import cross_covariance
from socicnn.positivity.diagnostics._raws import raw_vector, read_outs, slack_of

PROBES = 4  # the generator of a seed, after those of the positivity experiment
PARTED = (8, 32, 128)  # numbers of pairs at which independent batches are read


def probed(
    model: Energy, target: Target, count: int, batch: int, draws: torch.Generator, *, curvature: bool
) -> dict[str, Any]:
    """Return the readings of one lift at a fixed iterate.

    Args:
        model: an energy whose weights are read out, in training mode.
        target: the law.
        count: number of batches.
        batch: points per batch.
        draws: generator of the batches and probes.
        curvature: whether to measure traces of Hessians, too.
    """
    loss = _loss(model, target)
    batches = list(target.sample(count * batch, draws, model.network.dtype).reshape(count, batch, target.features))
    holders = read_outs(model)
    raws = []
    for x in batches:
        model.condition(x)
        raws.append(raw_vector(holders))
    theta = torch.stack(raws).double()  # the gradients are single ones, what is made of them is not
    centre = theta.mean(dim=0)
    middle = centre.to(raws[0])
    slope = grad(loss)
    gradient = torch.stack([slope(raw, x) for raw, x in zip(raws, batches, strict=True)]).double()
    noise = torch.stack([slope(middle, x) for x in batches]).double()
    shift = theta - centre
    norm, trace = cross_covariance(theta, gradient)
    terms = (shift * (gradient - gradient.mean(dim=0))).sum(dim=1)
    still = (shift * noise).sum(dim=1)
    jitter, spread = (float(rows.square().sum(dim=1).mean()) for rows in (shift, gradient - gradient.mean(dim=0)))
    reading: dict[str, Any] = {
        "count": count,
        "slack": all(slack_of(holder) is not None for _, holder in holders),
        "norm": norm,
        "trace": trace,
        "trace_error": float(terms.std() / count**0.5),
        "noise": float(still.mean()),
        "noise_error": float(still.std() / count**0.5),
        "curvature": float((terms - still).mean()),
        "curvature_error": float((terms - still).std() / count**0.5),
        "cosine": trace / (jitter * spread) ** 0.5 if jitter > 0 else 0.0,
        "jitter": jitter,
        "kappa": float(middle.abs().max()),
        **{f"parted_{size}": _parted(theta, gradient, size) for size in PARTED if 2 * size <= count},
    }
    if curvature:
        reading |= _traces(slope, raws, middle, batches, draws)
    return {name: float(f"{v:.7g}") if isinstance(v, float) else v for name, v in reading.items()}


def _loss(model: Energy, target: Target) -> Callable[[Tensor, Tensor], Tensor]:
    """Return L(raw; X): the objective of the energy on a batch, as a function of all that its read-outs read."""
    plain = Energy.dense(target.features, model.network.config()["hidden_features"], positivity="softplus")
    raws = {f"model.{name}.raw": holder.raw.shape for name, holder in read_outs(plain)}
    others = {
        name: tensor.detach()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        if name in dict([*plain.named_parameters(), *plain.named_buffers()])
    }
    rule = quadrature(target.lower, target.upper, dtype=model.network.dtype)

    class Objective(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = plain

        def forward(self, x: Tensor) -> Tensor:
            return self.model.objective(x, rule)

    objective = Objective()

    def loss(raw: Tensor, x: Tensor) -> Tensor:
        parts = raw.split([shape.numel() for shape in raws.values()])
        weights = {name: part.reshape(shape) for (name, shape), part in zip(raws.items(), parts, strict=True)}
        named = {f"model.{name}": tensor for name, tensor in others.items()}
        value: Tensor = functional_call(objective, {**named, **weights}, (x,))
        return value

    return loss


def _parted(theta: Tensor, gradient: Tensor, size: int) -> float:
    """Return the mean norm of the estimator where theta and the gradient have batches of their own."""
    apart = gradient.roll(size, dims=0)
    parts = [slice(first, first + size) for first in range(0, len(theta) - size + 1, size)]
    return sum(cross_covariance(theta[part], apart[part])[0] for part in parts) / len(parts)


def _traces(
    slope: Callable[[Tensor, Tensor], Tensor],
    raws: list[Tensor],
    middle: Tensor,
    batches: list[Tensor],
    draws: torch.Generator,
) -> Row:
    """Return the traces of the Hessian with and without the fluctuation, by one Hutchinson probe per batch."""
    lifted, still = [], []
    for raw, x in zip(raws, batches, strict=True):
        z = torch.randint(2, raw.shape, generator=draws).to(raw) * 2 - 1
        for products, at in ((lifted, raw), (still, middle)):
            products.append(z @ grad(lambda point, x=x, z=z: slope(point, x) @ z)(at))
    first, second = torch.stack(lifted), torch.stack(still)
    return {
        name + end: value
        for name, values in (("hessian", first), ("hessian_still", second), ("hessian_added", first - second))
        for end, value in (("", float(values.mean())), ("_error", float(values.std() / len(values) ** 0.5)))
    }
