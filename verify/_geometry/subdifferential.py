"""The set of subgradients at a point, known by its support function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from socicnn._arrays import Array, as_float64
from socicnn.errors import ModelError
from verify._geometry.passes import Geometry


@final
@dataclass(frozen=True, eq=False)
class Subdifferential:
    """The set of subgradients at one point, implicit: known by its support function.

    Args:
        geometry: the pieces at that point (N = 1).
        n: length of x.
    """

    geometry: Geometry
    n: int

    @property
    def kinks(self) -> int:
        """Number of units at a = 0 and of norms at zero; 0 where f is differentiable."""
        return int(self.geometry.kinks[0])

    def support(self, d: Any) -> Array:
        """Return sup of g'd over the set, shape `(*batch,)`.

        Args:
            d: directions, shape `(*batch, n)`.

        Raises:
            ModelError: another shape, or an entry that is not finite.
        """
        d = self._directions(d)
        return self.geometry.directional(d.reshape(1, -1, self.n)).reshape(d.shape[:-1])

    def maximiser(self, d: Any) -> Array:
        """Return a subgradient g that attains the support function, shape `(*batch, n)`.

        Args:
            d: directions, shape `(*batch, n)`.

        Raises:
            ModelError: another shape, or an entry that is not finite.
        """
        d = self._directions(d)
        return self.geometry.support(d.reshape(1, -1, self.n))[1].reshape(d.shape)

    def nearest(self, g: Any, tolerance: float = 1e-10) -> Array:
        """Return the subgradient nearest to `g`, by Wolfe's method for the point of least norm.

        It ends with a subgradient s such that no other is nearer by more than `tolerance * (1 + ||g||)`.

        Args:
            g: a vector of n numbers: shape `(n,)`, or a row or column of them.
            tolerance: relative accuracy.

        Raises:
            ModelError: rounding keeps the method from that accuracy; or g has not n entries, or one is not finite.

        Source: Wolfe, Finding the nearest point in a polytope (1976).
        """
        g = self._vector(g)
        corral = [self.maximiser(np.ones(self.n)) - g]
        weights = np.ones(1)
        point = corral[0]
        allowed = tolerance * (1.0 + float(np.linalg.norm(g)))
        for _ in range(50 * (self.n + 1)):
            length = float(np.linalg.norm(point))
            candidate = self.maximiser(-point) - g
            # the set lies beyond the plane through the candidate across `point`, at point'candidate / length
            if length <= allowed or float(point @ (point - candidate)) <= allowed * length:
                break
            corral.append(candidate)
            weights = np.append(weights, 0.0)
            while True:  # to the affine hull's nearest point, dropping what would get a negative weight
                affine = _affine_weights(np.stack(corral))
                if (affine > 1e-14).all():
                    weights = affine
                    break
                falling = affine < weights - 1e-300
                falling &= affine <= 1e-14
                step = float(np.min(weights[falling] / (weights[falling] - affine[falling]), initial=1.0))
                weights = np.maximum(weights + step * (affine - weights), 0.0)
                kept = weights > 1e-14
                if kept.all():
                    kept[np.argmin(weights)] = False
                corral = [entry for entry, keep in zip(corral, kept, strict=True) if keep]
                weights = weights[kept] / weights[kept].sum()
            point = weights @ np.stack(corral)
        else:
            raise ModelError(f"no nearest subgradient within {tolerance:g} was found; raise `tolerance`")
        return point + g

    def distance(self, g: Any, tolerance: float = 1e-10) -> float:
        """Return the distance of `g` from the set; the arguments are those of `nearest`."""
        g = self._vector(g)  # a column beside a vector would be a table of all differences
        return float(np.linalg.norm(self.nearest(g, tolerance) - g))

    def contains(self, g: Any, tolerance: float = 1e-7) -> bool:
        """Tell whether `g` is a subgradient: whether its distance is within `tolerance * (1 + ||g||)`."""
        return self.distance(g, 0.1 * tolerance) <= tolerance * (1.0 + float(np.linalg.norm(self._vector(g))))

    def _directions(self, d: Any) -> Array:
        """Return directions, checked."""
        directions = as_float64(d, "directions")
        if not directions.ndim or directions.shape[-1] != self.n:
            raise ModelError(f"directions must have shape (*batch, {self.n}); received {directions.shape}")
        return _finite(directions, "directions")

    def _vector(self, g: Any) -> Array:
        """Return one vector, checked."""
        vector = as_float64(g, "g")
        if max(vector.shape, default=1) != vector.size or vector.size != self.n:
            raise ModelError(f"g must be one vector of {self.n} entries; received shape {vector.shape}")
        return _finite(vector.reshape(self.n), "g")

    def generators(self, most: int = 10) -> Array:
        """Return points whose convex hull is the set, shape `(count, n)`; only for a few units at a = 0.

        Args:
            most: kinks at most; 2^kinks patterns are tried.

        Raises:
            ModelError: more kinks, or a norm at zero, whose ball has no finite set of generators.
        """
        if any(part.any() for part in self.geometry.flat):
            raise ModelError("a norm is zero at this point, so that the subdifferential is not a polytope; use support")
        kinks = self.kinks
        if kinks > most:
            raise ModelError(f"{kinks} units are at a = 0, more than {most}; use support, or raise `most`")
        patterns = (np.arange(2**kinks)[:, None] >> np.arange(kinks)) & 1
        switched, used = [], 0
        for zero in self.geometry.zero:
            on = np.zeros((len(zero), 1, 2**kinks), dtype=bool)
            where = np.flatnonzero(zero[:, 0])
            on[where, 0] = patterns[:, used : used + len(where)].T
            used += len(where)
            switched.append(on)
        return np.unique(self.geometry.gradients(switched)[0], axis=0)


def _finite(values: Array, name: str) -> Array:
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ModelError(f"{name} must hold finite numbers; {bad} of {values.size} are not")
    return values


def _affine_weights(points: Array) -> Array:
    """Return weights, summing to 1, of the point of least norm in the affine hull of the rows."""
    # from the edges, not from the Gram matrix: that would square the condition of points that nearly lie in a plane
    first, edges = points[0], points[1:] - points[0]
    weights = np.linalg.lstsq(edges.T, -first, rcond=None)[0]
    return np.concatenate([[1.0 - weights.sum()], weights])
