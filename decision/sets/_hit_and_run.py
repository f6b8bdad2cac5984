"""Hit-and-run: points all over a set of conic rows, one batch of chains per context.

A chain moves to a uniform point of the chord through it in a random direction; in the limit its points are uniform.
Source: Smith, "Efficient Monte Carlo procedures for generating points uniformly distributed over bounded regions"
(1984). Coordinates are scaled by the chords seen, so that flat sets mix as well as round ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows
from socicnn.errors import ProgramError

BURN = 4  # steps before the first point, for each dimension
THIN = 1  # steps between two points, for each dimension


def hit_and_run(
    rows: Rows, h: Tensor, start: Tensor, count: int, *, generator: torch.Generator, boundary: float = 0.0
) -> Tensor:
    """Draw points of {v : h - G v in K}, one set for each context.

    Args:
        rows: gives G and K.
        h: right-hand sides, shape `(contexts, rows)`.
        start: a point of the interior of each, shape `(contexts, variables)`.
        count: points for each context.
        generator: source of randomness.
        boundary: share of the points that are taken from the end of their chord.

    Returns:
        Points of shape `(contexts, count, variables)`.

    Raises:
        ProgramError: a set is unbounded.
    """
    cones, G = rows.cones, torch.tensor(rows.G.toarray())
    free = _null_space(G[: cones.zero], G.shape[1])
    if not free.shape[1]:
        return start[:, None].expand(-1, count, -1).clone()
    v, points, steps = start.clone(), [], free.shape[1]
    moves = free @ _shape(G, h, start, free, cones, generator)
    for step in range(steps * (BURN + THIN * count)):
        v, end = _step(G, h, v, moves, cones, generator)
        kept = step - BURN * steps
        if kept >= 0 and kept % (THIN * steps) == 0:
            on_end = torch.rand(len(v), 1, dtype=v.dtype, generator=generator) < boundary
            points.append(torch.where(on_end, end, v))
    return torch.stack(points, dim=1)


def _null_space(E: Tensor, variables: int) -> Tensor:
    """Return an orthonormal basis of {d : E d = 0}, shape `(variables, free)`."""
    if not len(E):
        return torch.eye(variables, dtype=torch.float64)
    _, size, right = torch.linalg.svd(E, full_matrices=True)
    rank = int((size > 1e-12 * size[0]).sum())
    return right[rank:].T


def _shape(G: Tensor, h: Tensor, start: Tensor, free: Tensor, cones: Cones, generator: torch.Generator) -> Tensor:
    """Return a matrix that makes the first set about round: the length of its chord along each free direction."""
    lengths = []
    for direction in free.T:
        low, high = _chord(G, h[:1], start[:1], direction[None], cones)
        lengths.append(high - low)
    return torch.diag(torch.cat(lengths))


def _step(
    G: Tensor, h: Tensor, v: Tensor, moves: Tensor, cones: Cones, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a uniform point of a random chord through each v, and one of its ends."""
    draw = torch.randn(len(v), moves.shape[1], dtype=v.dtype, generator=generator)
    d = draw @ moves.T
    low, high = _chord(G, h, v, d, cones)
    share = torch.rand(len(v), dtype=v.dtype, generator=generator)
    share = 1e-6 + (1.0 - 2e-6) * share  # a point on the boundary could not leave it
    side = torch.rand(len(v), dtype=v.dtype, generator=generator) < 0.5
    return v + (low + share * (high - low))[:, None] * d, v + torch.where(side, low, high)[:, None] * d


def _chord(G: Tensor, h: Tensor, v: Tensor, d: Tensor, cones: Cones) -> tuple[Tensor, Tensor]:
    """Return the least t <= 0 and the largest t >= 0 with v + t d in the set."""
    slack, rate = h - v @ G.T, d @ G.T
    cut, end = cones.zero, cones.zero + cones.nonnegative
    room, fall = slack[:, cut:end].clamp(min=0.0), rate[:, cut:end]
    tiny = 1e-14 * rate.abs().amax(dim=1, keepdim=True)
    ratio = room / torch.where(fall.abs() > tiny, fall, torch.nan)
    high = torch.where(fall > tiny, ratio, torch.inf).amin(dim=1) if end > cut else v.new_full((len(v),), torch.inf)
    low = torch.where(fall < -tiny, ratio, -torch.inf).amax(dim=1) if end > cut else -high
    for head, size in zip(cones.heads, cones.second_order, strict=True):
        at = slice(int(head) + 1, int(head) + size)
        least, most = _cone(slack[:, int(head)], -rate[:, int(head)], slack[:, at], -rate[:, at])
        low, high = torch.maximum(low, least), torch.minimum(high, most)
    if not bool((low.isfinite() & high.isfinite()).all()):
        raise ProgramError("points can only be drawn from a bounded set; add bounds")
    return low, high


def _cone(s: Tensor, ds: Tensor, u: Tensor, du: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ends of {t : ||u + t du|| <= s + t ds} around 0."""
    a = du.square().sum(dim=1) - ds.square()
    b = (u * du).sum(dim=1) - s * ds
    c = (u.square().sum(dim=1) - s.square()).clamp(max=0.0)
    root = (b.square() - a * c).clamp(min=0.0).sqrt()
    # the root of smaller absolute value without cancellation
    q = -(b + torch.where(b >= 0, root, -root))
    first, second = q / torch.where(a != 0, a, torch.nan), c / torch.where(q != 0, q, torch.nan)
    roots = torch.stack([first, second]).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    high = torch.where(roots >= 0, roots, torch.inf).amin(dim=0)
    low = torch.where(roots <= 0, roots, -torch.inf).amax(dim=0)
    both = (a > 0) & (roots.isfinite().all(dim=0))
    return torch.where(both, roots.amin(dim=0), low), torch.where(both, roots.amax(dim=0), high)
