"""log det of a Hessian from products with vectors alone: Lanczos quadrature for its value, Hutchinson for its slope.

For a positive definite H of n rows and a vector v of independent random signs, E[v v'] = I, so that

    log det H = E[v' log(H) v], d log det H = E[v' H^-1 dH v].

m steps of Lanczos from v give orthonormal rows Q, Q v = sqrt(n) e_1, and a tridiagonal T = Q H Q' with eigenpairs
(t_j, y_j):

    v' log(H) v ~ n sum_j y_j1^2 log t_j,    H^-1 v ~ sqrt(n) Q' T^-1 e_1,

the first by Gauss quadrature ("stochastic Lanczos quadrature": Ubaru, Chen and Saad, 2017), the second being the m-th
iterate of conjugate gradients. As every even derivative of log is negative and every odd one positive, Gauss quadrature
is never below v' log(H) v, and Gauss-Radau with a node at a lower end a of the spectrum never above it (Golub and
Meurant, "Matrices, moments and quadrature", 1994). A strongly convex potential knows such an a.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, TypeAlias, final

import torch
from torch import Tensor

from socicnn._integers import as_integer
from socicnn.errors import ModelError

EXACT_FEATURES = 32  # largest dimension in which determinants are exact unless asked otherwise

Product: TypeAlias = Callable[[Tensor], Tensor]


@final
@dataclass(frozen=True)
class StochasticLogDet:
    """How the log-determinants of a flow are estimated: unbiased over random signs v, from Hessian-vector products.

    log det H = E[v' log(H) v] by Lanczos quadrature (Ubaru, Chen and Saad, 2017), and its gradient E[v' H^-1 dH v] with
    H^-1 v by as many steps of conjugate gradients (Huang et al., "Convex potential flows", 2021).

    Args:
        probes: vectors v per point in training; each costs `steps` + 1 products, the exact determinant n.
        steps: steps of Lanczos; n at most are taken, after which both are exact for each v.
        evaluation_probes: vectors per point elsewhere, at least 2, so that there is a standard error.

    Raises:
        ModelError: a number is invalid.

    >>> StochasticLogDet(steps=30)
    StochasticLogDet(probes=1, steps=30, evaluation_probes=8)
    """

    probes: int = 1
    steps: int = 20
    evaluation_probes: int = 8

    def __post_init__(self) -> None:
        """Check every number."""
        for name, minimum in (("probes", 1), ("steps", 1), ("evaluation_probes", 2)):
            object.__setattr__(self, name, as_integer(name, getattr(self, name), minimum))


LogDet: TypeAlias = Literal["exact", "stochastic"] | StochasticLogDet


@final
@dataclass(frozen=True, eq=False)
class LogDetEstimate:
    """Estimates of log det H, one per point, with what is known about their errors.

    Args:
        value: the estimates, shape `(*batch,)`; a gradient through them is Hutchinson's.
        standard_error: standard error of the mean over the probes, shape `(*batch,)`; nan for a single probe, 0 for an
            exact determinant.
        truncation: bound on what is lost by stopping Lanczos early, up to rounding: half the distance of Gauss and
            Gauss-Radau quadrature, mean over the probes, shape `(*batch,)`; infinite where H has an eigenvalue below
            the least one of a convex potential.
        residual: largest ||H u - v|| / ||v|| of the solves that the gradient is made of, shape `(*batch,)`.
    """

    value: Tensor
    standard_error: Tensor
    truncation: Tensor
    residual: Tensor

    @classmethod
    def exact(cls, value: Tensor, bent: Tensor | None = None) -> Self:
        """Return exact log-determinants; `bent` tells which Hessians have an eigenvalue below their lower end."""
        zero = torch.zeros_like(value.detach())
        return cls(value, zero, zero if bent is None else zero.masked_fill(bent, torch.inf), zero)

    @classmethod
    def total(cls, parts: Iterable[LogDetEstimate]) -> Self:
        """Return the log-determinant of a product of independently estimated factors."""
        value, error, truncation, residual = zip(*[vars(part).values() for part in parts], strict=True)
        return cls(
            torch.stack(value).sum(dim=0),
            torch.stack(error).square().sum(dim=0).sqrt(),
            torch.stack(truncation).sum(dim=0),
            torch.stack(residual).amax(dim=0),
        )


def as_log_det(setting: Any) -> Literal["exact"] | StochasticLogDet | None:
    """Return a setting in one form; None leaves the choice to the dimension.

    Raises:
        ModelError: it is not one of `LogDet`, nor a mapping of the arguments of `StochasticLogDet`.

    >>> as_log_det("stochastic")
    StochasticLogDet(probes=1, steps=20, evaluation_probes=8)
    """
    if setting is None or isinstance(setting, StochasticLogDet):
        return setting
    if isinstance(setting, str) and setting in ("exact", "stochastic"):
        return "exact" if setting == "exact" else StochasticLogDet()
    if isinstance(setting, Mapping) and setting.keys() <= asdict(StochasticLogDet()).keys():
        return StochasticLogDet(**setting)
    raise ModelError(f"log_det must be 'exact', 'stochastic', a StochasticLogDet or None; received {setting!r}")


def estimated(product: Product, like: Tensor, least: Tensor, probes: int, steps: int) -> LogDetEstimate:
    """Return estimates of log det H with their gradients; random signs come from torch's own generator.

    Args:
        product: v -> H v for v of shape `(*batch, n)`; gradients flow through it.
        like: a tensor of the shape, type and device of v.
        least: a positive lower end of the spectra of all H.
        probes: vectors v per point.
        steps: steps of Lanczos.
    """
    values, surrogates, truncations, residuals = [], [], [], []
    for _ in range(probes):
        v = 2.0 * torch.randint(2, like.shape, device=like.device).to(like.dtype) - 1
        with torch.no_grad():
            value, truncation, solution, residual = quadrature(product, v, least.detach(), steps)
        values.append(value)
        truncations.append(truncation)
        residuals.append(residual)
        if torch.is_grad_enabled():
            surrogates.append((solution * product(v)).sum(dim=-1))  # its gradient is v' H^-1 dH v
    drawn = torch.stack(values)
    value = drawn.mean(dim=0)
    if surrogates:
        slope = torch.stack(surrogates).mean(dim=0)
        value = value + (slope - slope.detach())
    error = drawn.std(dim=0) / math.sqrt(probes) if probes > 1 else torch.full_like(drawn[0], math.nan)
    return LogDetEstimate(value, error, torch.stack(truncations).mean(dim=0), torch.stack(residuals).amax(dim=0))


def quadrature(product: Product, v: Tensor, least: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the middle of the two quadratures of v' log(H) v, half their distance, H^-1 v and its relative residual.

    Args:
        product: v -> H v.
        v: shape `(*batch, n)`, not zero.
        least: a positive lower end of the spectra.
        steps: steps of Lanczos.
    """
    squared = v.square().sum(dim=-1)
    basis, tridiagonal, last = lanczos(product, v, steps)
    nodes, vectors = torch.linalg.eigh(tridiagonal)
    first, eps = vectors[..., 0, :], torch.finfo(v.dtype).eps
    # eigenvalues of T lie between those of H, but for rows after the space is exhausted, which v has no part in
    below = nodes < least - eps**0.5 * nodes.abs().amax(dim=-1, keepdim=True)
    bent = (below & (first.square() > eps)).any(dim=-1)
    nodes = torch.maximum(nodes, least)  # below it by rounding alone, where nothing is bent
    gauss = squared * (first.square() * nodes.log()).sum(dim=-1)
    weights = first / nodes
    solution = torch.einsum("...kn,...kj,...j->...n", basis, vectors, weights) * squared.sqrt()[..., None]
    residual = last * (vectors[..., -1, :] * weights).sum(dim=-1).abs()
    # Gauss-Radau: one more row of T, whose corner makes `least` an eigenvalue
    above = (nodes - least).clamp(min=eps * nodes)
    corner = least + last.square() * (vectors[..., -1, :].square() / above).sum(dim=-1)
    edge = torch.nn.functional.pad(last[..., None], (tridiagonal.shape[-1] - 1, 0))
    bottom = torch.cat([edge, corner[..., None]], dim=-1)
    bordered = torch.cat([torch.cat([tridiagonal, edge[..., None]], dim=-1), bottom[..., None, :]], dim=-2)
    nodes, vectors = torch.linalg.eigh(bordered)
    radau = squared * (vectors[..., 0, :].square() * torch.maximum(nodes, least).log()).sum(dim=-1)
    truncation = (0.5 * (gauss - radau).abs()).masked_fill(bent, torch.inf)
    return 0.5 * (gauss + radau), truncation, solution, residual


def lanczos(product: Product, v: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return Q of shape `(*batch, m, n)`, T = Q H Q' of shape `(*batch, m, m)`, and what follows its last row.

    m is the least of `steps` and n. Every vector is made orthogonal to all before it, twice. Where the space is
    exhausted, further vectors are zero and further rows of T those of the identity. There are no branches on values, so
    that many flows can be stacked.
    """
    tiny = torch.finfo(v.dtype).eps * v.shape[-1]
    basis = (v / torch.linalg.vector_norm(v, dim=-1, keepdim=True))[..., None, :]
    diagonal, beside = [], []
    size = torch.zeros_like(v[..., 0])
    for _ in range(min(steps, v.shape[-1])):
        image = product(basis[..., -1, :]).detach()
        slope = (basis[..., -1, :] * image).sum(dim=-1)
        for _ in range(2):
            image = image - torch.einsum("...kn,...k->...n", basis, torch.einsum("...kn,...n->...k", basis, image))
        norm = torch.linalg.vector_norm(image, dim=-1)
        size = torch.maximum(size, slope + norm)
        norm = torch.where(norm > tiny * size, norm, 0.0)
        following = image / torch.where(norm > 0, norm, 1.0)[..., None] * (norm > 0)[..., None]
        diagonal.append(torch.where(slope.abs() > 0, slope, 1.0))
        beside.append(norm)
        basis = torch.cat([basis, following[..., None, :]], dim=-2)
    between = torch.stack(beside, dim=-1)[..., :-1]
    tridiagonal = torch.diag_embed(torch.stack(diagonal, dim=-1)) + sum(
        torch.diag_embed(between, offset=offset) for offset in (-1, 1)
    )
    return basis[..., :-1, :], tridiagonal, beside[-1]
