"""A lower bound over a box of any width from evaluations near the answer: where the rim is no lower, nothing beyond is.

Let f be convex, y in X and B a neighbourhood of y with f >= f(y) on the part of its rim that lies in X. A point z of X
beyond B is joined to y through the rim, at c = (1 - t) y + t z. There f(y) <= f(c) <= (1 - t) f(y) + t f(z), so that
f(z) >= f(y). Hence

    min_X f >= min over X and B of f >= f(y) - max over X and B of -g'(z - y),    g the slope at y

and the width of X never enters. B is {|v_k'(z - y)| <= r_k} times intervals of the coordinates that a bound of X holds.
The v_k are the eigenvectors of the Hessian in the other coordinates, r_k = sqrt(2 tau / h_k) with its eigenvalues h_k:
as tau shrinks, the tangents of f at the middles y +- r_k v_k of the sides come to be tau above f(y) all over their
sides. On the far sides of the intervals the tangent at y itself is high enough. Values are in plain float64, with a
margin for rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from decision._minimise.surrogate import Tangent
from decision.sets import Box

HEIGHTS = tuple(0.1**k for k in range(0, 10, 2))  # tau, as shares of the gap asked for
ROUNDING = 2.0**-46  # of the values compared
STEPS = 8  # of Newton's method at most, from the point of a tangent to the bottom
HELD = 0.1  # of the gap asked for, that moving a held coordinate to its bound may cost


@dataclass(frozen=True, eq=False)
class Middle:
    """What is known at y: value, shape `(contexts,)`, slope `(contexts, n)`, and where y may move.

    Args:
        at: the tangents at y.
        V: columns v_k, shape `(contexts, n, n)`; zero for those of held coordinates.
        h: eigenvalues, shape `(contexts, n)`; +inf for those of held coordinates.
        down: room towards the lower bound of held coordinates, 0 for others, shape `(contexts, n)`.
        up: the same towards the upper bound.
        low: which coordinates a lower bound holds.
        high: which coordinates an upper bound holds.
    """

    at: Tangent
    V: Tensor
    h: Tensor
    down: Tensor
    up: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, at: Tangent, hessian: Tensor, box: Box, allowed: Tensor) -> Middle:
        """Tell held coordinates from free ones."""
        lower, upper = box.ends(at.x)
        down, up, g = at.x - lower, upper - at.x, at.gradient
        cost, bend = HELD * allowed[:, None], 0.5 * hessian.diagonal(dim1=1, dim2=2)
        low = (g > 0) & ((g + bend * down) * down <= cost)
        high = (g < 0) & ((bend * up - g) * up <= cost)
        held = low | high | (lower == upper)
        both = held[:, :, None] | held[:, None, :]
        plain = torch.where(both, 0.0, hessian)
        # above every eigenvalue, also where rounding has made the Hessian of a function that is nearly flat negative
        above = 2.0 * torch.linalg.matrix_norm(plain)[:, None] + torch.finfo(g.dtype).tiny
        h, V = torch.linalg.eigh(plain + torch.diag_embed(torch.where(held, above, 0.0)))
        unheld = h <= 0.75 * above
        V = torch.where(held[:, :, None] | ~unheld[:, None, :], 0.0, V)
        down, up = torch.where(held, down, 0.0), torch.where(held, up, 0.0)
        return cls(at, V, torch.where(unheld, h, torch.inf), down, up, low, high)

    def loss(self, g: Tensor, r: Tensor, down: Tensor, up: Tensor) -> Tensor:
        """Return max over B of -g'(z - y) for slopes g, shape `(..., n)`, each term apart: free ones, then held."""
        free = (g[..., None, :] @ self.V)[..., 0, :].abs() * r
        held = g.clamp(min=0.0) * down + (-g).clamp(min=0.0) * up
        return torch.cat([free, held], dim=-1)


def polished(hessian: Callable[[Tensor], tuple[Tangent, Tensor]], y: Tensor, box: Box) -> tuple[Tangent, Tensor]:
    """Return tangents nearer to the minimum, and their Hessians: a few projected Newton steps, as long as f falls.

    Args:
        hessian: gives values, slopes and Hessians of f.
        y: points to start from, shape `(contexts, n)`.
        box: the set X.
    """
    lower, upper = box.ends(y)
    y = box.project(y)
    at, H = hessian(y)
    for _ in range(STEPS):
        g, bend = at.gradient, H.diagonal(dim1=1, dim2=2)
        # a coordinate whose own step leads across a bound goes to the bound
        low, high = (g > 0) & (bend * (at.x - lower) <= g), (g < 0) & (bend * (upper - at.x) <= -g)
        to = torch.where(low, lower, torch.where(high, upper, at.x))
        free = ~(low | high | (lower == upper))
        block = torch.where(free[:, :, None] & free[:, None, :], H, 0.0) + torch.diag_embed((~free).to(H))
        right = torch.where(free, -(g + (H @ (to - at.x)[..., None])[..., 0]), 0.0)
        step = _solved(block, right)
        there, bent = hessian(box.project(torch.where(free, at.x + step, to).nan_to_num()))
        better = there.value < at.value
        if not bool(better.any()):
            break
        at, H = _chosen(better, there, at), torch.where(better[:, None, None], bent, H)
    return at, H


def _solved(block: Tensor, right: Tensor) -> Tensor:
    """Return the steps of Newton's method; no step where f is not finite, which ends in an error of torch."""
    usable = block.isfinite().all(dim=2).all(dim=1) & right.isfinite().all(dim=1)
    block = torch.where(usable[:, None, None], block, torch.eye(block.shape[1], dtype=block.dtype, device=block.device))
    right = torch.where(usable[:, None], right, 0.0)
    return torch.linalg.lstsq(block, right[..., None]).solution[..., 0]


def _chosen(these: Tensor, new: Tangent, old: Tangent) -> Tangent:
    """Return the new tangents where `these` is true, the old ones elsewhere; multipliers are not kept up."""

    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(these.reshape(-1, *(1,) * (a.ndim - 1)), a, b)

    return Tangent(
        pick(new.x, old.x),
        pick(new.value, old.value),
        pick(new.gradient, old.gradient),
        pick(new.minorant, old.minorant),
        pick(new.above, old.above),
        new.multipliers,
    )


def rim_bound(smooth: Callable[[Tensor], Tangent], at: Tangent, hessian: Tensor, box: Box, allowed: Tensor) -> Tensor:
    """Return a lower bound of min_X f for each context, shape `(contexts,)`; -inf where no rim is high enough.

    Args:
        smooth: gives values and slopes of f at points of shape `(contexts, n)`.
        at: the tangents at y.
        hessian: at y, shape `(contexts, n, n)`.
        box: the set X.
        allowed: the gap asked for, shape `(contexts,)`.
    """
    best = torch.full_like(at.value, -torch.inf)
    usable = hessian.isfinite().all(dim=(1, 2)) & at.value.isfinite() & (allowed > 0) & allowed.isfinite()
    if not bool(usable.any()):
        return best
    middle = Middle.of(at, torch.where(usable[:, None, None], hessian, 0.0), box, allowed)
    for share in HEIGHTS:
        best = torch.where(usable, torch.maximum(best, _bound(smooth, middle, box, share * allowed)), best)
        if bool((at.value - best <= HELD * allowed).all()):
            break
    return best


def _bound(smooth: Callable[[Tensor], Tangent], middle: Middle, box: Box, tau: Tensor) -> Tensor:
    """Return the bound of the neighbourhood that is about tau deep."""
    at, g = middle.at, middle.at.gradient
    free = middle.h < torch.inf
    r = torch.where(free, (2.0 * tau[:, None] / middle.h.clamp(min=0.0)).sqrt(), 0.0)
    flat = (free & ~(middle.h > 0)).any(dim=1)
    # far sides of held coordinates: the slope there makes up for all else
    near = middle.loss(g, r, middle.down * middle.low, middle.up * middle.high).sum(dim=-1)
    far = (near + tau)[:, None] / g.abs()
    down = torch.where(middle.high, torch.minimum(middle.down, far), middle.down)
    up = torch.where(middle.low, torch.minimum(middle.up, far), middle.up)
    ok = ~flat & r.isfinite().all(dim=1) & (tau > ROUNDING * (at.value.abs() + near))
    n = g.shape[1]
    for k in range(n):
        for sign in (1.0, -1.0):
            middle_of_side = at.x + sign * (r[:, k, None] * middle.V[:, :, k])
            side = smooth(box.project(middle_of_side))  # f may be convex over X alone
            moved = side.gradient * (middle_of_side - side.x)
            loss = middle.loss(side.gradient, r, down, up)
            others = loss.sum(dim=-1) - loss[:, k]
            margin = ROUNDING * (side.value.abs() + at.value.abs() + others + moved.abs().sum(dim=-1))
            ok = ok & (~free[:, k] | (side.value + moved.sum(dim=-1) - others >= at.value + margin))
    bound = at.value - near - ROUNDING * (at.value.abs() + near)
    return torch.where(ok & bound.isfinite(), bound, -torch.inf)
