"""Networks with softplus layers and terms of exponentials, and their values by balls of 1,000 bits, written anew."""

from typing import Any

import numpy as np

from socicnn.frozen import FrozenNet, Layer, Logistic, LogSumExp, Norm, Output, Quadratic, Squares


def softplus_net(
    seed: int, smoothing: tuple[Any, ...] = (1.0, 0.25), *, terms: bool = False, scale: float = 1.0
) -> FrozenNet:
    """Return a network with layers of this smoothing, 0 for ReLU, and with every other term if asked.

    A tuple stands for a layer of several kinds, repeated from unit to unit.
    """
    rng, n = np.random.default_rng(seed), 4
    layers, width = [], 0
    for h, tau in enumerate(smoothing, start=5):
        W = np.abs(rng.normal(size=(h, width))) / width if width else None
        inner = Squares(rng.exponential(size=h), rng.normal(size=(2 * h, n)), rng.normal(size=2 * h)) if terms else None
        taus = np.resize(tau, h) if isinstance(tau, tuple) else tau
        layers.append(Layer(W, scale * rng.normal(size=(h, n)), scale * rng.normal(size=h), inner, taus))
        width = h
    output = Output(np.abs(rng.normal(size=width)), rng.normal(size=n), rng.normal())
    quadratics = [Quadratic(0.5, rng.normal(size=(3, n)), rng.normal(size=3))] if terms else []
    norms = [Norm(2.0, rng.normal(size=(2, n)))] if terms else []
    return FrozenNet(layers, output, quadratics, norms)


def exponential_net(seed: int, *, layers: bool = True, scale: float = 1.0) -> FrozenNet:
    """Return a network with log-sum-exp and logistic branches, groups among them, beside every other term or alone."""
    rng, n = np.random.default_rng(seed), 4
    draw = lambda *shape: scale * rng.normal(size=shape)  # noqa: E731 (local shorthand)
    below = softplus_net(seed, (0.0, 0.5), terms=True, scale=scale)
    if not layers:
        below = FrozenNet([], Output(np.zeros(0), below.output.v, below.output.c))
    smooth = [
        LogSumExp(rng.exponential(), draw(6, n), draw(6), 2),
        LogSumExp(0.5, draw(3, n)),
        LogSumExp(2.0, draw(1, n)),
    ]
    logistic = [Logistic(rng.exponential(size=5), draw(5, n), draw(5)), Logistic([0.0, 2.0], draw(2, n))]
    return FrozenNet(below.layers, below.output, below.quadratics, below.norms, logsumexps=smooth, logistics=logistic)


def log_sum_exp(p: list) -> Any:
    """Return log sum exp of balls whose radii are tiny, the largest taken out."""
    import flint

    at = max(range(len(p)), key=lambda i: float(p[i].mid()))
    return p[at] + sum(((entry - p[at]).exp() for i, entry in enumerate(p) if i != at), flint.arb(0)).log1p()


class HighPrecision:
    """The value of a network at one point, as a ball of 1,000 bits."""

    def __init__(self, net: FrozenNet) -> None:
        self._net = net

    @staticmethod
    def unit(a: Any, tau: float) -> Any:
        """Return tau log(1 + exp(a / tau)) of a ball, whose radius is tiny."""
        import flint

        t = a / flint.arb(tau)
        return a + tau * ((-t).exp()).log1p() if a > 0 else tau * t.exp().log1p()

    def __call__(self, point: np.ndarray) -> Any:
        import flint

        before, flint.ctx.prec = flint.ctx.prec, 1000
        try:
            return self._value(flint, point)
        finally:
            flint.ctx.prec = before

    def _value(self, flint: Any, point: np.ndarray) -> Any:
        net, arb = self._net, flint.arb
        x = [arb(value) for value in point.tolist()]

        def image(matrix: Any, values: list, offset: np.ndarray) -> list:
            rows = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix).tolist()
            return [
                sum((arb(entry) * value for entry, value in zip(row, values, strict=True)), arb(start))
                for row, start in zip(rows, offset.tolist(), strict=True)
            ]

        def squares(term: Any) -> list:
            p = image(term.matrix, x, term.offset[0])
            return [sum(entry * entry for entry in p[i : i + term.rows]) for i in range(0, len(p), term.rows)]

        def inside(term: Any) -> list:
            return [square.sqrt() if term.ROOT else square for square in squares(term)]

        z: list = []
        for layer in net.layers:
            a = image(layer.U, x, layer.b[0])
            if z:
                a = [first + second for first, second in zip(a, image(layer.W, z, np.zeros(len(a))), strict=True)]
            for term in layer.inner:
                a = [v + arb(w) * s for v, w, s in zip(a, term.weight.tolist(), inside(term), strict=True)]
            taus = np.broadcast_to(layer.smoothing, len(a)).tolist()
            z = [self.unit(v, tau) if tau else v.max(arb(0)) for v, tau in zip(a, taus, strict=True)]
        total = arb(float(net.output.c[0])) + sum(
            arb(v) * value for v, value in zip(net.output.v[0].tolist(), x, strict=True)
        )
        total += sum(arb(w) * value for w, value in zip(net.output.w[0].tolist(), z, strict=True))
        total += sum((arb(float(quad.beta[0])) * sum(squares(quad)) for quad in net.quadratics), arb(0))
        for term in net.logsumexps:
            p = image(term.matrix, x, term.offset[0])
            groups = [p[i : i + term.rows] for i in range(0, len(p), term.rows)]
            total += arb(float(term.alpha[0])) * sum((log_sum_exp(group) for group in groups), arb(0))
        for term in net.logistics:
            units = [self.unit(entry, 1.0) for entry in image(term.matrix, x, term.offset[0])]
            total += sum((arb(w) * unit for w, unit in zip(term.omega[0].tolist(), units, strict=True)), arb(0))
        return total + sum((arb(float(norm.gamma[0])) * squares(norm)[0].sqrt() for norm in net.norms), arb(0))
