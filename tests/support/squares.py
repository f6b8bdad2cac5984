"""Networks with quadratics inside their layers."""

import numpy as np
from scipy import sparse

from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic, Squares

N = 4


def squares(rng: np.random.Generator, h: int, rows: int, contexts: int | None = None, density: float = 1.0) -> Squares:
    F = rng.normal(size=(h * rows, N)) * (rng.uniform(size=(h * rows, N)) < density)
    g = rng.normal(size=(*(() if contexts is None else (contexts,)), h * rows))
    return Squares(rng.uniform(size=h) * (rng.uniform(size=h) < 0.8), F if density == 1 else sparse.csr_array(F), g)


def net(seed: int = 0, widths=(5, 3), rows=(2, 3), contexts: int | None = None, density: float = 1.0) -> FrozenNet:
    rng = np.random.default_rng(seed)
    lead = () if contexts is None else (contexts,)
    layers, below = [], None
    for h, k in zip(widths, rows, strict=True):
        inside = squares(rng, h, k, contexts, density) if k else None
        W = None if below is None else rng.uniform(size=(h, below))
        layers.append(Layer(W, rng.normal(size=(h, N)), rng.normal(size=(*lead, h)) - 1, inside))
        below = h
    return FrozenNet(
        layers,
        Output(rng.uniform(size=(*lead, below)), rng.normal(size=N), 0.5),
        [Quadratic(0.7, rng.normal(size=(3, N)), rng.normal(size=3))],
        [Norm(0.3, rng.normal(size=(4, N)), rng.normal(size=4), group=2)],
    )


CASES = {
    "two layers": {},
    "first layer only": {"rows": (2, 0)},
    "second layer only": {"rows": (0, 3)},
    "one unit": {"widths": (1,), "rows": (1,)},
    "sparse": {"density": 0.4, "rows": (4, 4)},
    "stacked contexts": {"contexts": 12},
}
