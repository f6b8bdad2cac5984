"""A dual point that is feasible in real arithmetic, from any guess, in NumPy or in torch.

From the top layer down lambda_k := min(max(lambda_k, 0), W_{k+1}'lambda_{k+1}), w for the last layer, the product
rounded down; then u := u / max(1, ||u||), rounded down. omega may be anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from verify._proof.columns import NetColumns, Values, positive


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Multipliers 0 <= lambda_k <= W_{k+1}'lambda_{k+1}.

    Args:
        lam: of each layer, first to last, shape `(h, N)`.
        feasible: whether there are any, shape `(N,)`; True if W >= 0.
    """

    lam: list[Values]
    feasible: Values


def multipliers(net: NetColumns, count: int, guess: Callable[[int, Values], Values]) -> Multipliers:
    """Return multipliers that are feasible in real arithmetic.

    Args:
        net: the network.
        count: number of columns N.
        guess: gives lambda_k of layer k, from 0, and its upper bound, shape `(h, N)`.
    """
    xp = net.xp
    lam: list[Values] = []
    feasible: Values = True
    box = xp.broadcast_to(net.w, (len(net.w), count))
    for k in reversed(range(len(net.layers))):
        layer = net.layers[k]
        lam.insert(0, xp.minimum(positive(guess(k, box)), box))
        if layer.W is not None:
            raw, box = layer.box(lam[0])
            if layer.absolute is not None:  # a negative weight: 0 <= lambda <= W'lambda may be empty
                feasible = feasible & (raw >= 0).all(0)
    return Multipliers(lam, feasible)
