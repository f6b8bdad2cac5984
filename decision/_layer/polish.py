"""From a certified decision to the stationary point of its face: Newton's method with an active set, for a batch.

After each step what holds x without a multiplier of the right size is let go, and what x has crossed is held.
"""

from __future__ import annotations

import torch
from torch import Tensor

from decision._layer.compiled.method import polished_by_loops
from decision._layer.face import ROUGH, SMALL, ActiveRows, Face, revised
from decision._layer.objective import Objective
from decision._layer.rows import SetRows

ROUNDS = 20  # steps at most


def polished(
    objective: Objective, rows: SetRows, h: Tensor, x: Tensor, y: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return stationary points near x, shape `(contexts, columns)`, and which contexts have one.

    Args:
        objective: the functions, explored; nothing but x may require a gradient in them.
        rows: the set.
        h: its right-hand sides, shape `(contexts, rows)`.
        x: decisions with helper variables, shape `(contexts, columns)`.
        y: multipliers of the rows to start from, shape `(contexts, rows)`: where those of a face are not unique, those
            of a solver have the right signs, and the first face is the last.
    """
    y = x.new_zeros(len(x), rows.count) if y is None or rows.cones else y.to(x.device)
    quick = polished_by_loops(objective, rows, h, x, ROUNDS)
    if quick is None:
        return _batched(objective, rows, h, x, y)
    exact, done = quick
    left = (~done).nonzero()[:, 0]
    if len(left):
        exact[left], done[left] = _batched(objective.take(left), rows, h[left], x[left], y[left])
    return exact, done


def _batched(objective: Objective, rows: SetRows, h: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same by operations on the whole batch."""
    local = objective.at(x, tolerance=ROUGH)
    exact, done = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    left, size = torch.arange(len(x), device=x.device), objective.size
    face = Face.of(local, rows, h, ROUGH * size)
    mu, y = x.new_zeros(local.held().shape), torch.where(face.held, y, 0.0)
    small = torch.zeros_like(done)
    for turn in range(ROUNDS):
        gradient, slopes = local.gradients(mu)
        if turn:
            new, mu, y = revised(local, slopes, rows, h, face, mu, y, size)
            same = face.same(new)
            ended = same & small
            exact[left[ended]], done[left[ended]] = x[ended], True
            if bool(ended.all()):
                break
            face = new
            if not bool(same.all()):
                keep = (~ended).nonzero()[:, 0]
                left, objective, h, x, face = left[keep], objective.take(keep), h[keep], x[keep], face.take(keep)
                mu, y, size = mu[keep], y[keep], size[keep]
                local = objective.at(x, face.states)
                gradient = local.gradient(mu)
        held = ActiveRows.of(local, rows, h, face.held)
        slope = gradient.detach() + (y[:, None, :] @ rows.jacobian(local.at, h))[:, 0]
        H = local.hessian(mu) + rows.curvature(local.at, h, y)
        dx, dual = held.system(H).solve(-slope, -held.residual(local, rows, h).detach())
        moved = held.spread(dual)
        mu, y = mu + moved[0], y + moved[1]
        if not bool(dx.isfinite().all()):
            break
        # the first step of a set with cones, whose multipliers start from 0, lacks their curvature: it is not Newton's
        newton = turn > 0 or not rows.cones
        small = (dx.abs().amax(dim=1) <= SMALL * size[:, 0]) & newton
        x = x + dx
        local = objective.at(x, face.states)
    return exact, done
