"""Where to search a box that is far wider than what the network sees: near the zeros of its rows, and on from there.

The network changes its course where its rows are zero, softplus units tau to each side of it. The point x_0 nearest to
all these zeros (least squares over rows of unit length) and a radius (their median distance from it, or the Newton step
of the quadratics there, the larger) move and scale as x does.
The search begins in a box around x_0; contexts that end on a side that is no side of
the set go on in a box sixteen times as wide (wider still after fifteen boxes). What is found is judged over the whole
set: this is no assumption.
"""

from __future__ import annotations

import torch
from torch import Tensor

from decision._minimise.stack import Stack
from decision.sets import Box

REACH = 8.0  # radii that the first box reaches to each side
WIDER = 16.0  # from one box to the next; a set that is not wider than this is searched as it is
NARROWEST = 2.0**-24  # of the largest coordinate: a narrower box has no interior that floats can use
TOUCH = 1e-4  # of the width: nearer to a side than this is on it


def first_box(stack: Stack, box: Box) -> Box | None:
    """Return the box to begin with; None if the set itself is no wider, or the network has no size of its own."""
    x, radius = _centre(stack)
    if not bool((radius > 0).all() & radius.isfinite().all() & x.isfinite().all()):
        return None
    reach = torch.maximum(REACH * radius, NARROWEST * x.abs().amax(dim=1))[:, None]
    return within(box, (x - reach).amin(dim=0), (x + reach).amax(dim=0))


def wider_box(inner: Box, box: Box, factor: float = WIDER) -> Box:
    """Return a box `factor` times as wide around the same middle, or the set itself if that is no wider.

    It is no narrower than `NARROWEST` allows: a box that rounding has shrunk to a point would never grow.
    """
    lower, upper = inner.ends(torch.empty(0, dtype=torch.float64))
    middle, half = lower / 2 + upper / 2, upper / 2 - lower / 2
    half = torch.maximum(factor * torch.where(half > 0, half, half.amax()), NARROWEST * middle.abs().amax())
    wider = within(box, middle - half, middle + half) if bool((half > 0).any()) else None
    return box if wider is None else wider


def on_inner_side(x: Tensor, inner: Box, box: Box) -> Tensor:
    """Return which points are on a side of the inner box that is no side of the set, shape `(contexts,)`."""
    lower, upper = inner.ends(x)
    least, most = box.ends(x)
    near = TOUCH * (upper - lower)
    return (((x <= lower + near) & (lower > least)) | ((x >= upper - near) & (upper < most))).any(dim=1)


def within(box: Box, lower: Tensor, upper: Tensor) -> Box | None:
    """Return the part of the set within these ends, of shape `(n,)`; None if that is not much less than the set."""
    least, most = box.ends(lower.cpu())
    low = torch.minimum(torch.maximum(lower.cpu(), least), most)
    high = torch.minimum(torch.maximum(upper.cpu(), least), most)
    if not bool((most / WIDER - least / WIDER > high - low).any()):
        return None
    return Box(box.n, low.numpy(), high.numpy())


def _centre(stack: Stack) -> tuple[Tensor, Tensor]:
    """Return x_0 and the radius of each context, shapes `(contexts, n)` and `(contexts,)`."""
    n = stack.in_features
    planes = [(matrix.dense, matrix.row_norms, offset, width) for matrix, offset, width in stack.rows()]
    if not planes:
        return torch.zeros_like(stack.v), torch.zeros_like(stack.c)
    norms = torch.cat([norm for _, norm, *_ in planes])
    kept = norms > 0
    directions = torch.cat([dense for dense, *_ in planes])[kept] / norms[kept, None]
    offsets = torch.cat([offset for _, _, offset, _ in planes], dim=1)[:, kept] / norms[kept]
    widths = (
        torch.cat([torch.as_tensor(width, device=norm.device).expand(norm.shape) for _, norm, _, width in planes])[kept]
        / norms[kept]
    )
    x = -offsets @ torch.linalg.pinv(directions).T
    distance = (x @ directions.T + offsets).abs() + widths
    distance = torch.where(distance > 1e-9 * (offsets.abs() + x.abs().amax(dim=1, keepdim=True)), distance, torch.nan)
    radius = torch.cat([distance, distance.new_full((len(x), 1), torch.nan)], dim=1).nanmedian(dim=1).values
    slope, curvature = stack.v, torch.zeros_like(stack.c)
    for branch in stack.quadratics:
        slope = slope + 2.0 * branch.weight * branch.matrix.adjoint(branch.image(x))
        curvature = curvature + 2.0 * branch.weight[:, 0] * branch.matrix.row_norms.square().sum() / n
    step = torch.where(curvature > 0, torch.linalg.vector_norm(slope, dim=1) / curvature, 0.0)
    radius = torch.maximum(radius.nan_to_num(nan=0.0), step)
    return x, torch.where(radius > 0, radius, x.abs().amax(dim=1))
