"""Random stacks of frozen networks: any depth, sparse and zero weights, norms with a kink in the set."""

from dataclasses import replace

import numpy as np
import torch
from scipy import sparse

from decision._minimise.stack import Dual, Stack
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from socicnn.frozen._parts import Squares


def random_stack(
    seed: int, n: int = 5, contexts: int = 4, widths: tuple[int, ...] = (9, 7), inside: bool = False, scale: float = 1.0
) -> FrozenNet:
    """Return stacked networks; some weights are zero, some matrices sparse, one layer has no passthrough."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape)

    layers: list[Layer] = []
    below = None
    for k, h in enumerate(widths):
        W = None if below is None else np.abs(draw(h, below)) / below * (rng.random((h, below)) < 0.7)
        U = None if k == 2 else draw(h, n) / np.sqrt(n)
        squares = Squares(np.abs(draw(h)), 0.3 * draw(2 * h, n), draw(contexts, 2 * h)) if inside and k == 0 else None
        layers.append(Layer(W, sparse.csr_array(U) if k == 1 else U, draw(contexts, h), squares))
        below = h
    w = scale * np.abs(draw(contexts, below or 0)) * (rng.random((contexts, below or 0)) < 0.8)
    C = draw(n, n)
    kink = -C @ np.full(n, 1.0 / n)  # C x + d = 0 at the centre of the simplex
    return FrozenNet(
        layers,
        Output(w, scale * draw(contexts, n), scale * draw(contexts)),
        [Quadratic(scale * np.abs(draw(contexts)), sparse.csr_array(draw(3, n)), draw(contexts, 3))],
        [
            Norm(scale * np.abs(draw(contexts)), C, kink),
            Norm(scale * np.abs(draw(contexts)) * (np.arange(contexts) > 0), draw(4, n), draw(contexts, 4), group=2),
        ],
    )


def softplus(net: FrozenNet, smoothing: float | np.ndarray) -> FrozenNet:
    """Return the network with softplus units of this smoothing in place of its ReLU units."""
    return replace(net, layers=[layer.changed(smoothing=smoothing) for layer in net.layers])


def random_dual(stack: Stack, seed: int) -> Dual:
    """Return a wild guess of a dual point: signs, sizes and lengths all wrong."""
    generator = torch.Generator().manual_seed(seed)

    def wild(like: torch.Tensor) -> torch.Tensor:
        size = 10.0 ** torch.empty(len(like), 1, dtype=torch.float64).uniform_(-2, 1, generator=generator)
        return size * torch.randn(like.shape, dtype=torch.float64, generator=generator)

    x = wild(stack.v)
    return Dual(
        tuple(wild(layer.b) for layer in stack.layers),
        tuple(wild(one.offset) for one in stack.norms),
        tuple(wild(p) for p in stack.images(x)),
    )
