"""Parts of a network that `FrozenNet` has not yet checked: what importers return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from socicnn.frozen._exponentials import Logistic, LogSumExp
from socicnn.frozen._parts import Layer, Norm, Output, Quadratic


@dataclass(frozen=True, eq=False)
class Parts:
    """What a network is made of, before `FrozenNet` checks it: what importers and readers of files return.

    Args:
        layers: ReLU layers, first to last.
        output: the read-out.
        quadratics: quadratic branches.
        norms: Euclidean-norm branches.
        input_shape: shape of x; `(n,)` if omitted.
        logsumexps: log-sum-exp branches.
        logistics: logistic branches.
    """

    layers: Sequence[Layer]
    output: Output
    quadratics: Sequence[Quadratic] = ()
    norms: Sequence[Norm] = ()
    input_shape: tuple[int, ...] | None = None
    logsumexps: Sequence[LogSumExp] = ()
    logistics: Sequence[Logistic] = ()
