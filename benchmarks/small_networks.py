"""One small network of each architecture, by name; those of other packages from the files that tests read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from decision.baselines import StructuredDCP, StructuredPCF
from decision.learning import Ensemble
from socicnn import ICKAN, ICNN, SOCICNN
from socicnn.frozen import FrozenNet, Layer, Norms, Output, Squares
from socicnn.nn import AveragePool, Conv, ConvSOCICNN, RecurrentSOCICNN

PACKAGES = Path(__file__).parents[1] / "tests" / "socicnn" / "importers" / "packages"
Make = Callable[[torch.Generator], Any]


def _normal(draw: torch.Generator) -> Callable[..., Any]:
    """Return a function that draws normal float64 arrays of a shape."""
    return lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64).numpy()


def _squares(draw: torch.Generator) -> FrozenNet:
    """Return a network with quadratics inside its units."""
    normal = _normal(draw)
    inside = Squares(np.full(4, 0.5), normal(8, 3), normal(8))
    layers = [Layer(None, normal(4, 3), normal(4), inside), Layer(np.abs(normal(3, 4)), normal(3, 3), normal(3))]
    return FrozenNet(layers, Output(np.abs(normal(3)), normal(3)))


def _norms(draw: torch.Generator) -> FrozenNet:
    """Return a network with norms inside its units, beside quadratics."""
    normal = _normal(draw)
    squares = Squares(np.full(4, 0.5), normal(8, 3), normal(8))
    norms = [Norms(np.abs(normal(h)), normal(2 * h, 3), normal(2 * h)) for h in (4, 3)]
    layers = [
        Layer(None, normal(4, 3), normal(4), squares, norms=norms[0]),
        Layer(np.abs(normal(3, 4)), normal(3, 3), normal(3), norms=norms[1]),
    ]
    return FrozenNet(layers, Output(np.abs(normal(3)), normal(3)))


def _several_kinds(draw: torch.Generator) -> FrozenNet:
    """Return a network whose layers have ReLU units and softplus units of several sharpness."""
    normal = _normal(draw)
    layers = [
        Layer(None, normal(4, 3), normal(4), smoothing=[0.0, 1.0, 0.0, 0.25]),
        Layer(np.abs(normal(3, 4)), normal(3, 3), normal(3), smoothing=[0.5, 0.0, 1.0]),
    ]
    return FrozenNet(layers, Output(np.abs(normal(3)), normal(3)))


def _module(draw: torch.Generator) -> FrozenNet:
    """Return somebody's torch module, read: softplus units above leaky ones, a norm, a maximum."""
    from torch import nn

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.skip = nn.Linear(3, 5), nn.Linear(5, 4), nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = nn.functional.leaky_relu(self.first(x), 0.2)
            z = nn.functional.softplus(nn.functional.linear(z, self.second.weight.exp() / 5) + self.skip(x))
            return z.sum(dim=-1) + torch.linalg.vector_norm(x, dim=-1) + x.amax(dim=-1)

    torch.manual_seed(0)
    return FrozenNet.from_torch(Own(), torch.zeros(1, 3))


def _ott(draw: torch.Generator) -> FrozenNet:
    """Return an ICNN of ott-jax, of parameters drawn here."""
    normal = _normal(draw)

    def potentials(h: int) -> dict[str, Any]:
        lines = {"lin_kernel": normal(3, h), "bias": normal(h), "diag_kernel": normal(3, h)}
        return {**lines, "quad_kernel": normal(h, 3, 1)}

    params = {"w_xs_0": potentials(4), "w_xs_1": potentials(1), "pos_def_potentials": potentials(1)}
    return FrozenNet.from_ott({**params, "w_zs_0": {"kernel": np.abs(normal(4, 1))}}, version="0.6")


def _file(name: str) -> Make:
    """Return a reader of a graph of another package."""
    return lambda draw: FrozenNet.from_onnx(next(PACKAGES.glob(f"{name}-*.onnx")))


NETWORKS: dict[str, Make] = {
    "ICNN": lambda g: ICNN(3, (5, 4), generator=g),
    "SOC-ICNN": lambda g: SOCICNN(3, (5, 4), (2,), (2, 2), generator=g),
    "SOC-ICNN, partial context": lambda g: SOCICNN(3, (5, 4), (2,), (2,), context_features=2, generator=g),
    "SOC-ICNN, joint context": lambda g: SOCICNN(3, (5,), (2,), (2,), context_features=2, context="joint", generator=g),
    "monotone": lambda g: ICNN(3, (5, 4), monotone=(1, -1, 0), generator=g),
    "softplus": lambda g: SOCICNN(3, (5, 4), (2,), (2,), activation="softplus", generator=g),
    "leaky_relu": lambda g: SOCICNN(3, (5, 4), (2,), (2,), activation="leaky_relu", negative_slope=0.2, generator=g),
    "maxout": lambda g: SOCICNN(3, (5, 4), (2,), (2,), activation="maxout", generator=g),
    "softplus, leaky and maxout layers": lambda g: ICNN(
        3, (5, 4, 3), activation=("maxout", "softplus", "leaky_relu"), generator=g
    ),
    "log-sum-exp and logistic branches": lambda g: SOCICNN(
        3, (4,), (2,), (2,), logsumexp=(3,), logistic=(2,), context_features=2, generator=g
    ),
    "ReLU and softplus units in one layer": _several_kinds,
    "quadratics inside layers": _squares,
    "norms inside layers": _norms,
    "ICKAN": lambda g: ICKAN(3, (4,), segments=3, generator=g),
    "convolutional": lambda g: ConvSOCICNN((1, 4, 4), (2, AveragePool(2), 2), (2,), (Conv(4, group=2),), generator=g),
    "convolutional, softplus": lambda g: ConvSOCICNN((1, 4, 4), (2,), (2,), (2,), activation="softplus", generator=g),
    "recurrent": lambda g: RecurrentSOCICNN((4, 2), 3, (2,), (2,), generator=g),
    "recurrent, leaky_relu": lambda g: RecurrentSOCICNN((4, 2), 3, (2,), (2,), activation="leaky_relu", generator=g),
    "ensemble": lambda g: Ensemble([SOCICNN(3, (4,), (2,), (2,), context_features=2, generator=g) for _ in range(2)]),
    "structured PCF": lambda g: StructuredPCF(3, 2, rows=2, generator=g),
    "structured DCP": lambda g: StructuredDCP(3, 2, rows=2, generator=g),
    "your own torch module": _module,
    "ott-jax": _ott,
    "deepinv": _file("deepinv"),
    "neuromancer": _file("neuromancer_softplus"),
    "hessQuik": _file("hessQuik"),
    "cpflows": _file("cpflows_augmented"),
}
