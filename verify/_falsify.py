"""Search for a violation: of midpoint convexity, of a cut, or of network = program.

A proof needs the network's arrays; a counterexample needs only its values. Fine lines through the region find kinks
that bend the wrong way at any scale, gradient ascent on the pair of end points makes the violation as large as it is.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from socicnn._arrays import Array
from socicnn._compile import Freezable
from socicnn._integers import as_integer
from socicnn._results import Result
from socicnn.errors import ModelError, SocicnnError
from verify._oracles import Counted, Points, SearchRegion, oracle_of, region_of

LINE = 4096  # points on a line, so that kinks are told apart from the curvature around them
KEPT = 48  # pairs that gradient ascent works on
STEPS = 150
SLOPES = 16  # points of a line whose cuts are tested against the whole line


@final
@dataclass(frozen=True, eq=False, repr=False)
class Falsification(Result):
    """The worst that a search found.

    Args:
        violated: whether it is a violation: more than the threshold.
        kind: `midpoint`, `cut` or `value`: which inequality comes closest to failing, or fails by most.
        violation: by how much, divided by 1 + |f|.
        threshold: what counts as a violation.
        points: `midpoint`: the two ends; `cut`: where the slope was taken, and where the cut lies above f; `value`:
            the point. Shape `(1 or 2, n)`.
        evaluations: values of f that were asked for.
        detail: one sentence, where there is more to say.
    """

    violated: bool
    kind: str
    violation: float
    threshold: float
    points: Array
    evaluations: int
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether no violation was found; that proves nothing."""
        return not self.violated

    @property
    def found(self) -> bool:
        """Whether it is a violation; deprecated, use `violated`."""
        warnings.warn("Falsification.found is now Falsification.violated", DeprecationWarning, stacklevel=2)
        return self.violated

    def summary(self) -> str:
        """Return the worst that was found, in one sentence."""
        what = {
            "midpoint": "f((x + z)/2) above (f(x) + f(z))/2",
            "cut": "f(z) below f(x) + g'(z - x)",
            "value": "network and program apart",
        }[self.kind]
        head = "violation found" if self.violated else "no violation found"
        note = f"; {self.detail}" if self.detail else ""
        return f"{head} in {self.evaluations} evaluations: {what} by {self.violation:.2e} (1 + |f|){note}"


def falsify(
    model: Any,
    region: SearchRegion | tuple[Any, Any],
    context: Any = None,
    *,
    evaluations: int = 500_000,
    threshold: float = 1e-9,
    seed: int = 0,
) -> Falsification:
    """Search a region for a point where the model is not convex, or is not its program.

    A torch model is evaluated as a float64 copy in evaluation mode, so that neither rounding nor noise is taken for a
    violation; nor is what central differences miss of the slopes of a plain function.

    Args:
        model: a torch module on `(count, n)` (or its `input_shape`), a FrozenNet, or a function of `(count, n)` arrays.
        region: bounds `(lower, upper)`, numbers or shape `(n,)`, or a convex set with `sample` and `project`.
        context: one context theta, for a network that takes one.
        evaluations: values of f to ask for, about.
        threshold: violations up to this times 1 + |f| are put down to rounding; raise it for a plain function in which
            much larger terms cancel, whose rounding its values do not show.
        seed: of the search.

    Returns:
        The worst that was found; `.violated` tells whether it is a violation. Finding none proves nothing.

    Raises:
        ModelError: bounds that do not fit, a model that does not give one value per point, or a context for what takes
            none.

    >>> bent = lambda x: np.abs(x).sum(axis=1) - 0.01 * np.maximum(x[:, 0] - 0.3, 0)
    >>> falsify(bent, (np.full(2, -1.0), np.full(2, 1.0)), evaluations=20_000).violated
    True
    """
    evaluations, seed = as_integer("evaluations", evaluations), as_integer("seed", seed, 0)
    if evaluations < LINE:
        raise ModelError(f"evaluations must be at least {LINE}, one line; received {evaluations}")
    rng = np.random.default_rng(seed)
    points, n = region_of(model, region, rng)
    oracle = oracle_of(model, context, n)
    search = _Search(oracle, points, rng)
    line = LINE + oracle.price(SLOPES, True)
    refining = min(oracle.price(3 * KEPT * STEPS, True), evaluations // 3)
    while oracle.used + line <= evaluations - refining or not oracle.used:
        search.line()
    search.climb(evaluations)
    best = search.best()
    detail = ""
    if isinstance(model, Freezable):
        mismatch, detail = _value(model, points, context)
        if mismatch is not None and mismatch[0] > max(best[0], threshold):
            return Falsification(True, "value", mismatch[0], threshold, mismatch[1], oracle.used, detail)
    return Falsification(best[0] > threshold, best[1], best[0], threshold, best[2], oracle.used, detail)


class _Search:
    """The pairs found so far, and the two ways to find more."""

    def __init__(self, oracle: Counted, region: Points, rng: np.random.Generator) -> None:
        self._oracle, self._region, self._rng = oracle, region, rng
        self._pairs: list[tuple[float, Array, Array]] = []
        self._cut: tuple[float, str, Array] = (-np.inf, "cut", np.zeros((2, 0)))

    def line(self) -> None:
        """Scan a line at every scale for a midpoint above its chord, and for a cut above the line."""
        first, last = self._region.sample(2)
        place = np.linspace(0.0, 1.0, LINE)[:, None]
        points = first + place * (last - first)
        f, _ = self._oracle(points, False)
        size = 1.0 + float(np.abs(f).max())
        half = 1
        while 2 * half < LINE:
            violation = (f[half:-half] - (f[: -2 * half] + f[2 * half :]) / 2) / size
            for at in np.argsort(violation)[-2:]:
                self._pairs.append((float(violation[at]), points[at], points[at + 2 * half]))
            half *= 2
        self._pairs = sorted(self._pairs, key=lambda pair: -pair[0])[:KEPT]
        where = self._rng.choice(LINE, size=SLOPES, replace=False)
        values, slopes = self._oracle(points[where], True)
        assert slopes is not None
        g = slopes.value
        above = values[:, None] + g @ points.T - (g * points[where]).sum(axis=1)[:, None] - f
        if slopes.error is not None:
            above -= np.stack([np.abs(points - points[i]) @ e for i, e in zip(where, slopes.error, strict=True)])
        above /= size
        i, j = np.unravel_index(int(np.argmax(above)), above.shape)
        if above[i, j] > self._cut[0]:
            self._cut = float(above[i, j]), "cut", np.stack([points[where[i]], points[j]])

    def climb(self, evaluations: int) -> None:
        """Increase the midpoint violation of every pair kept, by Adam on both ends, inside the region."""
        ends = np.stack([np.stack([first, last]) for _, first, last in self._pairs])  # (pairs, 2, n)
        best, best_ends = np.full(len(ends), -np.inf), ends.copy()
        mean, square = np.zeros_like(ends), np.zeros_like(ends)
        size = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)[:, None, None]
        step = 0
        while step < STEPS and self._oracle.used + self._oracle.price(3 * len(ends), True) <= evaluations:
            step += 1
            middle = ends.mean(axis=1)
            points = np.concatenate([ends[:, 0], ends[:, 1], middle])
            values, slopes = self._oracle(points, True)
            assert slopes is not None
            low, high, mid = values.reshape(3, -1)
            violation = (mid - (low + high) / 2) / (
                1.0 + np.maximum(np.abs(mid), np.maximum(np.abs(low), np.abs(high)))
            )
            better = violation > best
            best[better], best_ends[better] = violation[better], ends[better]
            g_low, g_high, g_mid = slopes.value.reshape(3, len(ends), -1)
            gradient = np.stack([g_mid - g_low, g_mid - g_high], axis=1) / 2
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.99 * square + 0.01 * (gradient**2).sum(axis=(1, 2), keepdims=True)
            moved = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.99**step)) + 1e-300)
            rate = 0.1 * size * 0.03 ** (step / STEPS)
            ends = self._region.project((ends + rate * moved).reshape(-1, ends.shape[2])).reshape(ends.shape)
        self._pairs += [(float(v), *pair) for v, pair in zip(best, best_ends, strict=True) if np.isfinite(v)]

    def best(self) -> tuple[float, str, Array]:
        """Return the worst violation: how much, which kind, and where."""
        violation, first, last = max(self._pairs, key=lambda pair: pair[0])
        midpoint = violation, "midpoint", np.stack([first, last])
        return midpoint if violation >= self._cut[0] or violation > 1e-12 else self._cut


def _value(model: Freezable, region: Points, context: Any) -> tuple[tuple[float, Array] | None, str]:
    """Return the worst difference between the model and its program, relative to 1 + |f|, and where; or why not."""
    from verify._equivalence import equivalence

    x = region.sample(256)
    try:
        report = equivalence(model, x, context, solvers=())
    except SocicnnError as error:
        return None, f"without a program to compare with: {error}"
    failed = [check for check in report.checks if check.ok is False]
    if not failed:
        return None, ""
    at = failed[0].where or 0
    return (
        failed[0].worst / (1.0 + abs(float(report.forward[at]))),
        x[at : at + 1],
    ), f"the check {failed[0].name} fails"
