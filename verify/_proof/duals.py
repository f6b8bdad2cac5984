"""Lower bounds from any dual vector, a solver's included: what it says about the multipliers, repaired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from socicnn._arrays import Array
from socicnn._compile import Compiled, Freezable, compile_net
from socicnn._points import as_points
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from verify._instance import Instance
from verify._proof.columns import Image, TermColumns
from verify._proof.minorant import in_ball
from verify._proof.network import Low, Prover


@dataclass(frozen=True, eq=False)
class Guess:
    """A guess of the dual point; anything is allowed; None takes the closed form.

    Args:
        lambdas: multiplier of the pre-activations of each layer, shape `(N, h_k)`.
        omegas: of each quadratic branch, shape `(N, rows)`; the optimum is 2 (A x + e).
        us: of each norm branch, shape `(N, rows)`; the optimum is (C x + d) / ||C x + d||, group by group.
    """

    lambdas: Sequence[Array | None] = ()
    omegas: Sequence[Array | None] = ()
    us: Sequence[Array | None] = ()


class GuessProver(Prover):
    """Brackets the value of a network with the lower end of a guess of the dual point, repaired.

    A quadratic adds omega'p - ||omega||^2 / 4, a norm u'p with ||u|| <= 1, p the image of the branch.

    Args:
        net: the network.
        guess: dual points, one per point that is asked for.
    """

    def __init__(self, net: FrozenNet, guess: Guess) -> None:
        super().__init__(net)
        self._lambdas = guess.lambdas
        omegas, us = (
            [*some, *[None] * (len(terms) - len(some))]
            for some, terms in ((guess.omegas, net.quadratics), (guess.us, net.norms))
        )
        self._branches = [*omegas, *us]

    def _multiplier(self, k: int, box: Array, active: Array) -> Array:
        guess = self._lambdas[k] if k < len(self._lambdas) else None
        return super()._multiplier(k, box, active) if guess is None else _columns(guess)

    def _branch(self, index: int, term: TermColumns, image: Image) -> Low:
        guess = self._branches[index]
        if guess is None:
            return super()._branch(index, term, image)
        own, count = _columns(guess), len(image.y) + 4
        if term.root:
            u = in_ball(term, own)
            value = term.weight * (u * image.y).sum(axis=0)
            return value, term.weight * (np.abs(u) * image.size).sum(axis=0), term.weight, count
        value = term.weight * (own * (image.y - own / 4)).sum(axis=0)
        size = term.weight * (np.abs(own) * (image.size + np.abs(own) / 4)).sum(axis=0)
        return value, size, term.weight * (1 + np.abs(own).sum(axis=0)), count


def _columns(guess: Array) -> Array:
    """Return a guess features first; NaN becomes 0; any guess is allowed."""
    return np.nan_to_num(np.asarray(guess, dtype=np.float64).T, nan=0.0, posinf=1e300, neginf=-1e300)


def dual_guess(compiled: Compiled, y: Array) -> Guess:
    """Return what a dual vector says about the multipliers; it need not be feasible.

    Args:
        compiled: the network and its program; y belongs to its rows, in the plain or a balanced lift.
        y: dual points, shape `(N, m)`, for instance a solver's.
    """
    rows = {block.name: slice(block.start, block.stop) for block in compiled.program.rows}
    net = compiled.net
    lambdas = []
    for k, layer in enumerate(net.layers, start=1):
        lam, soft = np.empty((len(y), layer.width)), layer.taus > 0
        if soft.any():  # the first entries of the cones (a - z, tau, u) are -lambda p; those of (-z, tau, u) follow
            lam[:, soft] = -y[:, rows[f"softplus{k}"]][:, : 3 * np.count_nonzero(soft) : 3]
        if not soft.all():
            lam[:, ~soft] = y[:, rows[f"relu{k}"]]
        lambdas.append(lam)
    kept = [np.any(quad.beta) for quad in net.quadratics]
    omegas: list[Array | None] = []
    for index, quad in enumerate(net.quadratics):
        part = y[:, rows[f"quadratic{sum(kept[: index + 1])}"]][:, 2:] if kept[index] else None
        omegas.append(None if part is None else _divided(-part, quad.beta))
    kept = [np.any(norm.gamma) for norm in net.norms]
    us: list[Array | None] = []
    for index, norm in enumerate(net.norms):
        group = norm.group
        part = y[:, rows[f"norm{sum(kept[: index + 1])}"]] if kept[index] else None
        if part is not None:
            part = part.reshape(len(y), -1, group + 1)[:, :, 1:].reshape(len(y), -1)
        us.append(None if part is None else _divided(-part, norm.gamma))
    return Guess(lambdas, omegas, us)


def lower_bound(model_or_net: Freezable, x: Any, y: Any, context: Any = None) -> Array:
    """Return a proven lower bound on f(x) from any dual vector, a solver's included.

    The guess is repaired into a dual point that is feasible in real arithmetic: from the top layer down
    lambda_k := min(max(lambda_k, 0), W_{k+1}' lambda_{k+1}), then u := u / max(1, ||u||); omega stays.

    Args:
        model_or_net: a network, or a FrozenNet.
        x: points of shape `(*batch, n)` or `(*batch, *input_shape)`.
        y: dual vectors, one multiplier per row of the network's program, shape `(*batch, m)`.
        context: one context, or one per point.

    Returns:
        Bounds of shape `(N,)`; -inf where the arithmetic overflowed.

    Raises:
        ModelError: shapes that do not fit, or the network cannot be exported.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> net = FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [0.0]))
    >>> bool(lower_bound(net, [1.5], [7.0, -3.0])[0] <= 3.0)
    True
    """
    instance = Instance.of(model_or_net, x, context)
    compiled = compile_net(instance.net)
    y = as_points(y, (compiled.program.A.shape[0],), "y")
    if len(y) != len(instance.x):
        raise ModelError(f"{len(instance.x)} points need one dual vector each; received {len(y)}")
    return GuessProver(instance.net, dual_guess(compiled, y))(instance.x).lo


def _divided(values: Array, weight: Array) -> Array:
    """Return values / weight, 0 where the weight is 0."""
    weight = np.broadcast_to(weight[:, None], values.shape)
    with np.errstate(all="ignore"):
        return np.where(weight > 0, values / weight, 0.0)
