"""The mean squared error of a dense network and its gradient, written out: about half the time of autograd.

For the networks of `shapes`: ReLU or softplus units, quadratics without offsets, norms of equally many rows, a
log-sum-exp or logistic branch, weights as squares. Points lie side by side, so that all that is linear in x is one
matrix product, which the slopes overwrite.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

CHUNK = 1500  # points at a time: what they fill stays in a core's own cache
SMOOTH = {  # rows and offset of the branch
    "logsumexp": (("smooth.G.0.full", "vectors.free.o1"),),
    "logistic": (("smooth.S.0.full", "vectors.free.s1"),),
}
WEIGHT = {"logsumexp": "vectors.positive.alpha.raw", "logistic": "vectors.positive.omega1.raw"}
Named = dict[str, Tensor]


def written_out(network: Any) -> bool:
    """Return whether `MeanSquare` knows this network."""
    return bool(getattr(network, "units", ())) and len(network.smooth.maps) <= 1


class MeanSquare:
    """The mean of (f(x) - y)^2 over points, and its gradient.

    Args:
        network: gives the architecture; its weights are not read.
        x: points in standardised units, shape `(points, d)`.
        y: values there.
    """

    def __init__(self, network: Any, x: Tensor, y: Tensor) -> None:
        self.layers, self.norms = len(network.units), len(network.norms)
        self.quadratics = len(network.quadratics)
        self.softplus = "softplus" in network.activations
        self.smooth = "logsumexp" if len(network.smooth.G) else "logistic" if len(network.smooth.S) else ""
        self.sizes = {name: parameter.shape for name, parameter in network.named_parameters()}
        self.points = len(x)
        self.chunks = [
            (torch.cat([part.T, torch.ones_like(part[:, :1]).T]).contiguous(), values)
            for part, values in zip(x.split(CHUNK), y.split(CHUNK), strict=True)
        ]

    def views(self, flat: Tensor) -> Named:
        """Return the parts of a vector of all numbers, by the names of the network's parameters."""
        parts = flat.split([shape.numel() for shape in self.sizes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.sizes.items(), parts, strict=True)}

    @torch.no_grad()
    def __call__(self, flat: Tensor) -> tuple[float, Tensor]:
        """Return the mean and its gradient at a vector of all numbers."""
        at, slopes = self.views(flat), torch.zeros_like(flat)
        into = self.views(slopes)
        weights = {name: value.square() for name, value in at.items() if name.endswith(".raw")}
        rows, blocks = self._rows(at)
        slope_of_rows, total = torch.zeros_like(rows), 0.0
        for x, y in self.chunks:
            products = rows @ x
            total += self._chunk(products.split(blocks), y, weights, into)
            slope_of_rows += products @ x.T
        for name, weight in weights.items():
            if weight.numel():
                into[name] *= 2 * at[name]
        self._spread(slope_of_rows.split(blocks), into)
        return total / self.points, slopes

    def _rows(self, at: Named) -> tuple[Tensor, list[int]]:
        """Return all rows that multiply (x, 1), and how many belong to U_1 .. U_L, A, C, the smooth branch, v."""
        groups = [
            *([torch.cat([at[f"U.{k}"], at[f"vectors.free.b{k + 1}"][:, None]], dim=1)] for k in range(self.layers)),
            [nn.functional.pad(at[f"A.{m}.full"], (0, 1)) for m in range(self.quadratics)],
            [torch.cat([at[f"C.{r}.full"], at[f"vectors.free.d{r + 1}"][:, None]], 1) for r in range(self.norms)],
            [torch.cat([at[name], at[offset][:, None]], 1) for name, offset in SMOOTH.get(self.smooth, ())],
            [torch.cat([at["vectors.free.v"], at["vectors.free.c"].view(1)])[None]],
        ]
        return torch.cat([rows for group in groups for rows in group]), [sum(map(len, group)) for group in groups]

    def _spread(self, slopes: tuple[Tensor, ...], into: Named) -> None:
        """Add the slopes in the rows to those of the parameters that the rows are made of."""
        *inputs, quadratic, norm, smooth, affine = slopes
        for k, part in enumerate(inputs):
            into[f"U.{k}"] += part[:, :-1]
            into[f"vectors.free.b{k + 1}"] += part[:, -1]
        for m, part in enumerate(quadratic.chunk(self.quadratics) if self.quadratics else ()):
            into[f"A.{m}.full"] += part[:, :-1]
        for r, part in enumerate(norm.chunk(self.norms) if self.norms else ()):
            into[f"C.{r}.full"] += part[:, :-1]
            into[f"vectors.free.d{r + 1}"] += part[:, -1]
        for name, offset in SMOOTH.get(self.smooth, ()):
            into[name] += smooth[:, :-1]
            into[offset] += smooth[:, -1]
        into["vectors.free.v"] += affine[0, :-1]
        into["vectors.free.c"] += affine[0, -1]

    def _chunk(self, products: tuple[Tensor, ...], y: Tensor, weights: Named, into: Named) -> float:
        """Return the sum of squares at some points, and put the slopes of their mean in the products' place."""
        *inputs, quadratic, norm, smooth, affine = products
        w, hidden = weights["vectors.positive.w.raw"], [weights[f"W.{k}.raw"] for k in range(self.layers - 1)]
        z = list[Tensor]()
        for k, a in enumerate(inputs):
            if k:
                a.addmm_(hidden[k - 1], z[-1])
            z.append(nn.functional.softplus(a) if self.softplus else a.relu_())
        value = affine[0] + w @ z[-1]
        if self.quadratics:
            beta = weights["vectors.positive.beta.raw"]
            squares = quadratic.square().view(self.quadratics, -1, len(y)).sum(dim=1)
            value += beta @ squares
        if self.norms:
            gamma, grouped = weights["vectors.positive.gamma.raw"], norm.view(self.norms, -1, len(y))
            lengths = grouped.square().sum(dim=1).sqrt_()  # `vector_norm` is slow along this axis
            value += gamma @ lengths
        if self.smooth == "logsumexp":
            scale, sums = weights[WEIGHT["logsumexp"]], smooth.logsumexp(dim=0, keepdim=True)
            rates = (smooth - sums).exp_()
        elif self.smooth == "logistic":
            scale, sums = weights[WEIGHT["logistic"]], nn.functional.softplus(smooth)
            rates = smooth.sigmoid()
        if self.smooth:
            value += scale @ sums
        error = value - y
        slope = error * (2 / self.points)
        affine[0] = slope
        if self.quadratics:
            into["vectors.positive.beta.raw"] += squares @ slope
            quadratic.view(self.quadratics, -1, len(y)).mul_(2 * (beta[:, None] * slope)[:, None])
        if self.norms:
            into["vectors.positive.gamma.raw"] += lengths @ slope
            grouped.mul_(((gamma[:, None] * slope) / lengths.clamp_min(1e-30))[:, None])
        if self.smooth:
            into[WEIGHT[self.smooth]] += sums @ slope
            torch.mul(scale[:, None] * rates, slope, out=smooth)
        into["vectors.positive.w.raw"] += z[-1] @ slope
        passed = w[:, None] * slope
        for k in reversed(range(self.layers)):
            rate = inputs[k].sigmoid_() if self.softplus else z[k].sign()
            torch.mul(passed, rate, out=inputs[k])
            if k:
                into[f"W.{k - 1}.raw"].addmm_(inputs[k], z[k - 1].T)
                passed = hidden[k - 1].T @ inputs[k]
        return float(error.double().square().sum())
