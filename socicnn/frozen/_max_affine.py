"""A ReLU network as the maximum of its affine pieces: all of them where they are few, else those met on a sample.

f(x) = max_k (a_k'x + b_k);   at x: a = v + sum_k U_k'y_k, b = c + sum_k b_k'y_k, y_k = 1[z_k > 0] W_{k+1}'y_{k+1}

A convex f lies above each of its pieces, so that pieces with an interior are the maximum (Proposition 2 of "SOC-ICNN:
From Polyhedral to Conic Geometry"). A piece is left out where the others reach it everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from socicnn._arrays import Array, as_float64, read_only
from socicnn._integers import as_integer
from socicnn._points import as_points
from socicnn._results import Result
from socicnn.errors import ModelError
from socicnn.frozen._cells import THIN, HalfSpaces, ball, cells
from socicnn.frozen._network import ConvexNet

SAMPLE = 10_000
EQUAL = 1e-10  # difference of equal pieces, relative to the terms that they add up


@final
@dataclass(frozen=True, eq=False, repr=False)
class AffinePieces(Result):
    """The pieces of a network, f(x) = max_k (a_k'x + b_k) where they are all of them, and less elsewhere.

    Args:
        slopes: a_k, shape `(pieces, n)`.
        offsets: b_k, shape `(pieces,)`.
        points: a point of each piece, shape `(pieces, n)`.
        complete: whether all others are proven to be active only where no ball of 1e-6 times the distance of the kinks
            fits; otherwise these are the pieces that a sample met.
    """

    slopes: Array
    offsets: Array
    points: Array
    complete: bool

    @property
    def ok(self) -> bool:
        """Whether they are all of them."""
        return self.complete

    def __len__(self) -> int:
        return len(self.offsets)

    def __call__(self, x: Any) -> Array:
        """Return max_k (a_k'x + b_k) at points x of shape `(*batch, n)`, flattened."""
        values: Array = (as_points(x, self.slopes.shape[1:]) @ self.slopes.T + self.offsets).max(axis=1)
        return values

    def summary(self) -> str:
        """Return how many there are, and how they are known."""
        how = "all of them, enumerated" if self.complete else "met on a sample; there may be more"
        return f"{len(self)} affine pieces: {how}"


def max_affine(net: ConvexNet, box: tuple[Any, Any] | None, most: int, points: Any, seed: int) -> AffinePieces:
    """Return the pieces; arguments and errors are those of `FrozenNet.max_affine`."""
    most = as_integer("most", most)
    _refuse_curved(net)
    region = _region(net, box)
    listed = None if points is not None else cells(net, region, most)
    if listed is not None:
        parts, complete = listed
        at = np.array([cell.point for cell in parts])
    else:
        assert net.input_shape is not None
        at = _sample(region, seed) if points is None else as_points(points, net.input_shape, "points")
        complete = False
    slopes, offsets, size = pieces(net, at)
    kept = _distinct(slopes, offsets, size)
    slopes, offsets, at = slopes[kept], offsets[kept], at[kept]
    if not complete:
        kept = _undominated(slopes, offsets, at, region)
        slopes, offsets, at = slopes[kept], offsets[kept], at[kept]
    return AffinePieces(read_only(slopes), read_only(offsets), read_only(at), complete)


def pieces(net: ConvexNet, x: Array) -> tuple[Array, Array, Array]:
    """Return slope and offset of the piece at each point, and the terms that they add up, `(n + 1,)`."""
    z: list[Array] = []
    net.values(x, z)
    slopes = np.broadcast_to(net.output.v, (len(x), net.in_features)).copy()
    offsets = np.full(len(x), float(net.output.c[0]))
    size = np.append(np.abs(net.output.v), np.abs(net.output.c))
    largest = net.output.w[0]
    y = np.broadcast_to(largest, (len(x), len(largest)))
    for layer, units in zip(reversed(net.layers), reversed(z), strict=True):
        y = y * (units > 0)
        slopes += y @ layer.U
        offsets += y @ layer.b[0]
        size += np.append(largest @ abs(layer.U), largest @ np.abs(layer.b[0]))
        y, largest = y @ layer.W, largest @ layer.W
    return slopes, offsets, size


def _refuse_curved(net: ConvexNet) -> None:
    quadratics, norms = net.weighted()
    curved = [f"{len(quadratics)} quadratic branches"] * bool(quadratics) + [f"{len(norms)} norms"] * bool(norms)
    curved += [f"{len(net.exponentials)} log-sum-exp and logistic branches"] * bool(net.exponentials)
    curved += ["softplus units"] * any(layer.smooth for layer in net.layers)
    curved += ["quadratics and norms inside layers"] * any(bool(layer.inner) for layer in net.layers)
    if curved:
        raise ModelError(f"only ReLU networks are a maximum of affine pieces; this one has {', '.join(curved)}")
    if net.stacked:
        raise ModelError(f"this network has {net.contexts} contexts; take one of them, as in net[0].max_affine()")


def _region(net: ConvexNet, box: tuple[Any, Any] | None) -> HalfSpaces:
    """Return a box as rows, or everywhere; the length is the box's, or the median distance of first-layer kinks."""
    n = net.in_features
    if box is not None:
        ends = [as_float64(end, "box") for end in box]
        fits = len(ends) == 2 and all(end.shape in ((), (1,), (n,)) for end in ends)
        if not (fits and all(np.isfinite(end).all() for end in ends) and (ends[0] < ends[1]).all()):
            raise ModelError(
                f"box must be two finite ends, numbers or of shape ({n},), the lower one below the upper one in every "
                f"entry; received shapes {[end.shape for end in ends]}"
            )
        lower, upper = (np.broadcast_to(end, (n,)) for end in ends)
        rows = np.vstack([np.eye(n), -np.eye(n)])
        return HalfSpaces(rows, np.concatenate([upper, -lower]), float((upper - lower).min()))
    length = 1.0
    if net.layers:
        first = net.layers[0]
        norms = np.sqrt(np.asarray((abs(first.U) ** 2).sum(axis=1)).reshape(-1))
        far = np.abs(first.b[0, norms > 0]) / norms[norms > 0]
        length = float(np.median(far[far > 0])) if (far > 0).any() else 1.0
    return HalfSpaces(np.zeros((0, n)), np.zeros(0), length)


def _sample(region: HalfSpaces, seed: int) -> Array:
    """Return points of the box, or about the kinks: normal, of a tenth to ten times their distance."""
    draw, n = np.random.default_rng(seed), region.G.shape[1]
    if len(region.g):
        upper, lower = region.g[:n], -region.g[n:]
        return np.asarray(lower + (upper - lower) * draw.random((SAMPLE, n)))
    spread = region.length * 10.0 ** draw.uniform(-1.0, 1.0, size=(SAMPLE, 1))
    return np.asarray(spread * draw.normal(size=(SAMPLE, n)))


def _distinct(slopes: Array, offsets: Array, size: Array) -> list[int]:
    """Return the places of pieces that differ from all earlier ones."""
    planes = np.column_stack([slopes, offsets])
    left = np.unique(planes, axis=0, return_index=True)[1]
    kept: list[int] = []
    while len(left):
        kept.append(int(left[0]))
        left = left[(np.abs(planes[left] - planes[left[0]]) > EQUAL * size).any(axis=1)]
    return sorted(kept)


def _undominated(slopes: Array, offsets: Array, at: Array, region: HalfSpaces) -> list[int]:
    """Return the places of pieces that lie above all others on a ball: at their own point, or by a linear program."""
    own = (at * slopes).sum(axis=1) + offsets
    kept = np.ones(len(own), dtype=bool)
    doubtful = []
    for k, (point, value) in enumerate(zip(at, own, strict=True)):
        rest = np.delete(slopes @ point + offsets, k).max(initial=-np.inf)
        doubtful += [k] * bool(value - rest <= EQUAL * abs(value))
    for k in doubtful:
        others = kept & (np.arange(len(kept)) != k)
        rows, ends = slopes[others] - slopes[k], offsets[k] - offsets[others]
        norms = np.linalg.norm(rows, axis=1)
        above = norms > 0
        parallel = ends[~above]
        rows, ends = rows[above] / norms[above, None], ends[above] / norms[above]
        inside = ball(HalfSpaces(np.vstack([region.G, rows]), np.concatenate([region.g, ends]), region.length))
        kept[k] = inside.radius > THIN * region.length and (parallel > 0).all()
    return [int(k) for k in np.flatnonzero(kept)]
