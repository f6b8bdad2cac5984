"""Softplus units tau log(1 + exp(a / tau)) in real arithmetic, from float64 operations, in NumPy or in torch.

One assumption: exp, log and log1p of the platform are within 8 units in the last place (16 EPS, relative), which the
C library does not promise and `tests/verify/proof/test_softplus.py` asks of 10^6 points. Nothing else of them is used.

For p in [0, 1] and 0 <= lambda, with mu = lambda p and the entropy H(p) = -p log p - (1 - p) log(1 - p),

    lambda softplus(a) >= mu a + lambda tau H(mu / lambda)

so that mu takes the place that lambda has at a ReLU unit, and H adds a number >= 0.
"""

from __future__ import annotations

from typing import Any

from socicnn._margins import EPS, TINY

Values = Any  # an array of NumPy or of torch

FLAT = 1000.0  # exp(-t) is 0 in float64 from t = 746 on, and below 2^-1000 in truth from 694 on


def rounded_up(a: Values, smoothing: Values, xp: Any) -> Values:
    """Return upper ends of units with pre-activations of at most a.

    a / tau is rounded once, by EPS, which moves exp(-t) by t EPS; exp, log1p and the product add 33 EPS.
    """
    t = xp.clip(abs(a / _positive(smoothing, xp)), 0.0, FLAT)
    bend = smoothing * xp.log1p(xp.exp(-t)) * (1 + (2 * t + 48) * EPS) + TINY * (1 + smoothing)
    up, straight = ((a + abs(a)) / 2 + bend) * (1 + 8 * EPS), (a + abs(a)) / 2
    return up if isinstance(smoothing, float) else xp.where(smoothing > 0, up, straight)


def _positive(smoothing: Values, xp: Any) -> Values:
    """Return the smoothing to divide by: 1 in place of 0, which stands for ReLU units among others."""
    return smoothing if isinstance(smoothing, float) else xp.where(smoothing > 0, smoothing, xp.ones_like(smoothing))


def rounded_down(a: Values, smoothing: Values, xp: Any) -> Values:
    """Return lower ends of units with pre-activations of at least a; 0 or above."""
    t = xp.clip(abs(a / smoothing), 0.0, FLAT)
    bend = smoothing * xp.log1p(xp.exp(-t)) * (1 - (2 * t + 48) * EPS) - TINY * (1 + smoothing)
    low = ((a + abs(a)) / 2 + xp.clip(bend, 0.0, None)) * (1 - 8 * EPS)
    return xp.clip(low, 0.0, None)


def slope(a: Values, smoothing: Values, xp: Any) -> Values:
    """Return p = 1 / (1 + exp(-a / tau)), the best p at a; any other in [0, 1] is valid, so its rounding is free."""
    e = xp.exp(-abs(a / _positive(smoothing, xp)))
    p = xp.where(a > 0, xp.ones_like(e), e) / (1.0 + e)
    if isinstance(smoothing, float):
        return p
    return xp.where(smoothing > 0, p, xp.where(a > 0, xp.ones_like(e), xp.zeros_like(e)))


def entropy_below(mu: Values, box: Values, xp: Any) -> Values:
    """Return a lower end of H(mu / box), 0 <= mu <= box; 0 where box is 0.

    r = fl(mu / box) is off by EPS r, and |H(p) - H(r)| <= h for |p - r| <= d, h = H(d) <= d (1 - log d); the logarithms
    and products of H(r) lose 40 EPS.
    """
    inside = (box > 0) & (mu > TINY * box) & (mu < box)
    r = xp.where(inside, mu, xp.ones_like(mu)) / xp.where(inside, box, 2 * xp.ones_like(box))
    inside = inside & (r < 1.0)
    r = xp.where(inside, r, 0.5 * xp.ones_like(r))
    log = xp.log(r)
    entropy = -r * log - (1.0 - r) * xp.log1p(-r)
    low = entropy * (1 - 64 * EPS) - 8 * EPS * r * (40.0 - log)
    return xp.where(inside, xp.clip(low, 0.0, None), xp.zeros_like(low))
