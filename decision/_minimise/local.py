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
LARGEST = 600  # inputs up to which a pseudoinverse is worth its n^3
LOOK, CLOSE = 10, 0.01  # conjugate gradients end where ten of them move x by less than this part of the radius,
PRODUCTS = 500  # and here at the latest
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
    wider = within(box, middle - half, middle + half, min(factor, WIDER)) if bool((half > 0).any()) else None
    return box if wider is None else wider


def on_inner_side(x: Tensor, inner: Box, box: Box) -> Tensor:
    """Return which points are on a side of the inner box that is no side of the set, shape `(contexts,)`."""
    lower, upper = inner.ends(x)
    least, most = box.ends(x)
    near = TOUCH * (upper - lower)
    return (((x <= lower + near) & (lower > least)) | ((x >= upper - near) & (upper < most))).any(dim=1)


def within(box: Box, lower: Tensor, upper: Tensor, wider: float = WIDER) -> Box | None:
    """Return the part of the set within these ends, of shape `(n,)`; None if the set is not `wider` than that."""
    least, most = box.ends(lower.cpu())
    low = torch.minimum(torch.maximum(lower.cpu(), least), most)
    high = torch.minimum(torch.maximum(upper.cpu(), least), most)
    if not bool((most / wider - least / wider > high - low).any()):
        return None
    return Box(box.n, low.numpy(), high.numpy())


def _centre(stack: Stack) -> tuple[Tensor, Tensor]:
    """Return x_0 and the radius of each context, shapes `(contexts, n)` and `(contexts,)`."""
    n = stack.in_features
    planes = stack.rows()
    if not planes:
        return torch.zeros_like(stack.v), torch.zeros_like(stack.c)
    x = _nearest(stack) if n > LARGEST and any(matrix.is_sparse for matrix, *_ in planes) else _nearest_dense(stack)
    distances = []
    for matrix, offset, width in planes:
        norm = matrix.row_norms
        away = ((matrix.apply(x) + offset).abs() + width) / norm
        rounding = 1e-9 * (offset.abs() / norm + x.abs().amax(dim=1, keepdim=True))
        distances.append(torch.where((norm > 0) & (away > rounding), away, torch.nan))
    distance = torch.cat([*distances, x.new_full((len(x), 1), torch.nan)], dim=1)
    radius = distance.nanmedian(dim=1).values
    slope, curvature = stack.v, torch.zeros_like(stack.c)
    for branch in stack.quadratics:
        slope = slope + 2.0 * branch.weight * branch.matrix.adjoint(branch.image(x))
        curvature = curvature + 2.0 * branch.weight[:, 0] * branch.matrix.row_norms.square().sum() / n
    step = torch.where(curvature > 0, torch.linalg.vector_norm(slope, dim=1) / curvature, 0.0)
    radius = torch.maximum(radius.nan_to_num(nan=0.0), step)
    return x, torch.where(radius > 0, radius, x.abs().amax(dim=1))


def _nearest_dense(stack: Stack) -> Tensor:
    """Return the point nearest to the zeros of all rows, by the pseudoinverse, shape `(contexts, n)`."""
    planes = stack.rows()
    norms = torch.cat([matrix.row_norms for matrix, *_ in planes])
    kept = norms > 0
    directions = torch.cat([matrix.dense for matrix, *_ in planes])[kept] / norms[kept, None]
    offsets = torch.cat([offset for _, offset, _ in planes], dim=1)[:, kept] / norms[kept]
    return -offsets @ torch.linalg.pinv(directions).T


def _nearest(stack: Stack) -> Tensor:
    """Return the same by conjugate gradients on the least squares, which touch no matrix but by products."""
    planes = stack.rows()
    weights = [
        torch.where(norm > 0, norm, torch.inf).reciprocal() for norm in (matrix.row_norms for matrix, *_ in planes)
    ]
    residual = [-offset * weight for (_, offset, _), weight in zip(planes, weights, strict=True)]

    def pulled(images: list[Tensor]) -> Tensor:
        parts = zip(planes, images, weights, strict=True)
        return sum((plane[0].adjoint(image * weight) for plane, image, weight in parts), torch.zeros_like(stack.v))

    x = before = torch.zeros_like(stack.v)
    slope = pulled(residual)
    direction, square = slope, slope.square().sum(dim=1, keepdim=True)
    for step in range(1, PRODUCTS + 1):
        images = [plane[0].apply(direction) * weight for plane, weight in zip(planes, weights, strict=True)]
        curvature = sum((image.square().sum(dim=1, keepdim=True) for image in images), torch.zeros_like(square))
        length = torch.where(curvature > 0, square / curvature, 0.0)
        x = x + length * direction
        residual = [part - length * image for part, image in zip(residual, images, strict=True)]
        slope = pulled(residual)
        last, square = square, slope.square().sum(dim=1, keepdim=True)
        direction = slope + torch.where(last > 0, square / last, 0.0) * direction
        if step % LOOK == 0:
            radius = torch.cat(residual, dim=1).abs().median(dim=1).values  # rows of unit length: distances
            if bool(((x - before).abs().amax(dim=1) <= CLOSE * radius).all()):
                break
            before = x
    return x
