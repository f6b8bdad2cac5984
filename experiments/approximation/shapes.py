"""The shapes of the networks: the paper's, two others with equal or fewer parameters, larger and smaller ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from socicnn.nn import ICKAN, ICNN, SOCICNN

NETWORKS = ("relu", "softplus", "quad", "norm", "soc")
SMOOTH = ("logistic", "logsumexp")  # SOC with that branch in the place of its norm; not in the paper
WIDTHS = {5: 16, 10: 20, 20: 24, 50: 32}
PAPER: dict[str, dict[int, int]] = {  # parameters of the paper's networks, and of ours of that size
    "relu": {5: 822, 10: 1491, 20: 2709, 50: 9683},
    "softplus": {5: 822, 10: 1491, 20: 2709, 50: 9683},
    "quad": {5: 848, 10: 1592, 20: 3110, 50: 9528},
    "norm": {5: 853, 10: 1602, 20: 3130, 50: 9578},
    "soc": {5: 527, 10: 1083, 20: 2451, 50: 9423},
    "ickan": {5: 694, 10: 1379, 20: 2749},
    "logistic": {5: 531, 10: 1092, 20: 2470, 50: 9472},
    "logsumexp": {5: 527, 10: 1083, 20: 2451, 50: 9423},
}
CHOICE = ("paper", "wide", "other")  # what is chosen from on validation data
FRONTIER = {"x0.5": 0.5, "paper": 1.0, "x1.5": 1.5, "x2": 2.0}  # widths beside the paper's


@dataclass(frozen=True)
class Shape:
    """The sizes of a network.

    Args:
        hidden: widths of the layers; of an additive P1-ICKAN its one width.
        quadratic: rows of the quadratic branches, without offsets.
        norm: rows of the norm branches.
        smooth: rows of the logistic or log-sum-exp branches, by name.
        activation: of the layers.
        segments: pieces of each function of a P1-ICKAN; None for the other networks.
    """

    hidden: tuple[int, ...]
    quadratic: tuple[int, ...] = ()
    norm: tuple[int, ...] = ()
    smooth: tuple[tuple[str, int], ...] = ()
    activation: Any = "relu"
    segments: int | None = None

    def parameters(self, d: int) -> int:
        """Return the number of trained numbers at d inputs."""
        if self.segments is not None:
            return self.hidden[0] * (d * (2 * self.segments + 1) + 1) + d + 1
        layers = sum(h * (d + 1) for h in self.hidden)
        layers += sum(h * below for below, h in zip(self.hidden, self.hidden[1:], strict=False))
        ends = (self.hidden[-1] if self.hidden else 0) + d + 1
        branches = sum(r * d + 1 for r in self.quadratic) + sum(r * (d + 1) + 1 for r in self.norm)
        # a logistic branch has a weight per row
        branches += sum(r * (d + 1) + (r if name == "logistic" else 1) for name, r in self.smooth)
        return layers + ends + branches

    def network(self, d: int, **settings: Any) -> Any:
        """Return an untrained network of this shape.

        Args:
            d: number of inputs.
            settings: how it is made, see `NetOptions`.
        """
        if self.segments is not None:
            return ICKAN(d, self.hidden, segments=self.segments, **settings)
        for name, rows in self.smooth:
            settings[name] = (*settings.get(name, ()), rows)
        if not self.quadratic and not self.norm:
            return ICNN(d, self.hidden, activation=self.activation, **settings)
        return SOCICNN(d, self.hidden, self.quadratic, self.norm, quadratic_offset=False, **settings)


def shape(model: str, d: int, name: str) -> Shape:
    """Return the shape of a network by name.

    `paper` is the paper's. `wide` has one hidden layer; `other` has one hidden layer more than the paper's (ReLU,
    softplus, quad), or one narrow layer beside many norms of two rows (norm, soc) or a branch of many rows (logistic,
    logsumexp). P1-ICKAN has 8 functions of each
    input with 8 pieces in the paper; `wide` has more functions, `other` two with more pieces. Both are as large as the
    largest of the paper's networks at this d allows. `x0.5` and the like scale the paper's widths.
    """
    if model == "ickan":
        return _additive(d, name)
    activation = "softplus" if model == "softplus" else "relu"
    branches: dict[str, Any] = {
        "quadratic": (d,) if model in ("quad", "soc", *SMOOTH) else (),
        "norm": (d,) if model in ("norm", "soc") else (),
        "smooth": ((model, d),) if model in SMOOTH else (),
        "activation": activation,
    }
    depth = 2 if model in ("soc", *SMOOTH) else (4 if d == 50 and model in ("relu", "softplus") else 3)
    if name in FRONTIER:
        return Shape((int(FRONTIER[name] * WIDTHS[d]),) * depth, **branches)
    if name == "wide":
        return _largest(lambda size: Shape((size,), **branches), d)
    if model in SMOOTH:
        return _largest(lambda size: Shape((WIDTHS[d],), branches["quadratic"], smooth=((model, size),)), d)
    if model in ("norm", "soc"):
        return _largest(lambda size: Shape((WIDTHS[d],), branches["quadratic"], (2,) * size), d)
    return _largest(lambda size: Shape((size,) * (depth + 1), **branches), d)


def _additive(d: int, name: str) -> Shape:
    if name in FRONTIER:
        return Shape((int(8 * FRONTIER[name]),), segments=8)
    if name == "wide":
        return _largest(lambda size: Shape((size,), segments=8), d)
    return _largest(lambda size: Shape((2,), segments=1 + size), d)


def most(d: int) -> int:
    """Return the parameters of the largest of the paper's networks at this d."""
    return max(counts.get(d, 0) for counts in PAPER.values())


def _largest(made: Callable[[int], Shape], d: int) -> Shape:
    size = 1
    while made(size + 1).parameters(d) <= most(d):
        size += 1
    return made(size)
