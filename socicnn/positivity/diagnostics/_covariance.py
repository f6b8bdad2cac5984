"""Cross-covariance of what the batch does to the weights and to their gradient, read through the slack channel.

Sigma = 1/T sum_s d theta_s d g_s',  theta_s = b + h(X_s) before the read-out, g_s the gradient of the loss with respect
to it, both centred on the window (Siahkoohi and Thatipelli, "A lift for ICNN training", equation 4). The slack's
Jacobian is the identity, so that g is the gradient of b; without a slack the reading is zero.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from socicnn.errors import ModelError
from socicnn.positivity.diagnostics._raws import ReadOut, raw_vector, read_outs, slack_of


@dataclass(frozen=True)
class Reading:
    """What the estimator gives.

    Args:
        norm: Frobenius norm of Sigma.
        trace: trace of Sigma, which the paper calls the variance sigma_Jac^2; it may be negative, and is in training.
        count: number T of pairs it is made of.
        least: least entry of theta seen, to tell whether the shoulder was entered.
    """

    norm: float
    trace: float
    count: int
    least: float


def cross_covariance(theta: Tensor, gradient: Tensor) -> tuple[float, float]:
    """Return the Frobenius norm and the trace of 1/T sum_s d theta_s d g_s'.

    ||Sigma||^2 = 1/T^2 sum_{s,t} (d theta_s . d theta_t)(d g_s . d g_t), so that no d x d matrix is formed.

    Args:
        theta: shape `(T, d)`.
        gradient: shape `(T, d)`.

    >>> x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> cross_covariance(x, 2 * x)
    (2.0, 2.0)
    """
    if theta.ndim != 2 or theta.shape != gradient.shape or not len(theta):
        raise ModelError(
            f"theta and gradient must both have shape (T, d), T >= 1; received {tuple(theta.shape)} and "
            f"{tuple(gradient.shape)}"
        )
    a, b = _centred(theta), _centred(gradient)
    norm = ((a @ a.T) * (b @ b.T)).sum().clamp(min=0).sqrt() / len(a)
    return float(norm), float((a * b).sum()) / len(a)


def probe(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    batches: Iterable[Tensor],
    others: Iterable[Tensor] | None = None,
) -> Reading:
    """Read the estimator at a fixed iterate, on fresh batches (32 are usual).

    Without slack, and where nothing reads the batch, the reading is zero identically. With `others`, theta is read
    from other batches than the gradient's: the two are then independent, and the reading is zero in expectation and of
    size O(T^-1/2). It is not enough to emit the weights of the loss from another batch than the loss's: the gradient
    is still taken at those weights, and to first order the reading is Var(theta) times the loss's curvature.

    Args:
        model: a network of `socicnn.nn`, or a `HyperNetwork`; it is left unchanged, except for the batch that it holds.
        loss: gives the loss on a batch; it conditions the model if the recipe needs that.
        batches: the batches.
        others: for each batch, the one that theta is read from instead; defaults to the same.

    Raises:
        ModelError: no batch, or a model without weights that are read out.
    """
    channels = _channels(model)
    window = []
    reread: Any = getattr(model, "condition", None) or getattr(model, "emission", None)
    apart = None if others is None else iter(others)
    for batch in batches:
        value = loss(batch)
        gradients = torch.autograd.grad(value, channels.slacks) if channels.slacks else ()
        if apart is not None:
            reread(next(apart))
        window.append(_pair(channels, gradients))
    if not window:
        raise ModelError("the probe needs at least one batch; received none")
    return _read(window)


@final
class CrossCovariance:
    """The estimator over the last steps of training.

    Call `record()` after each backward pass, before the gradient is clipped or the step is taken. The fluctuation of
    an entry is that of the part that reads the batch, b + h(X_s) less what b drifts; where nothing reads the batch,
    the reading is zero identically.

    Args:
        model: a network of `socicnn.nn`, or a `HyperNetwork`.
        window: number T of steps it is centred on.
    """

    def __init__(self, model: nn.Module, window: int = 32) -> None:
        if window < 2:
            raise ModelError(f"window must be at least 2; received {window}")
        self._channels = _channels(model)
        self._window: deque[_Pair] = deque(maxlen=window)

    def record(self) -> None:
        """Take the present fluctuation and gradient into the window.

        Raises:
            ModelError: there is no gradient; `loss.backward()` comes first.
        """
        gradients = [slack.grad for slack in self._channels.slacks]
        if any(gradient is None for gradient in gradients):
            raise ModelError("a slack has no gradient; call record() after loss.backward()")
        pair = _pair(self._channels, [gradient for gradient in gradients if gradient is not None])
        body = torch.zeros_like(pair.theta)
        if self._channels.reads_batch:
            body = pair.theta - torch.cat([slack.detach().reshape(-1) for slack in self._channels.slacks])
        self._window.append(_Pair(body, pair.gradient, pair.least))

    def reading(self) -> Reading:
        """Return the estimator on the steps in the window.

        Raises:
            ModelError: nothing was recorded.
        """
        if not self._window:
            raise ModelError("nothing was recorded yet; call record() after loss.backward()")
        return _read(list(self._window))


@dataclass(frozen=True)
class _Channels:
    """The weights that are read out, those of them with a slack, and whether any of these reads the batch."""

    every: list[tuple[str, ReadOut]]
    slack: list[tuple[str, ReadOut]]
    slacks: list[nn.Parameter]
    reads_batch: bool


def _channels(model: nn.Module) -> _Channels:
    every = read_outs(model)
    pairs = [(named, slack) for named in every if (slack := slack_of(named[1])) is not None]
    encoders = [getattr(holder, "encoder", None) for (_, holder), _ in pairs]
    reads = any(encoder is not None and encoder.conditioning != "constant" for encoder in encoders)
    return _Channels(every, [named for named, _ in pairs], [slack for _, slack in pairs], reads)


@dataclass(frozen=True)
class _Pair:
    theta: Tensor
    gradient: Tensor
    least: float


def _pair(channels: _Channels, gradients: Sequence[Tensor]) -> _Pair:
    """Return theta and g of the entries with a slack: the slack's Jacobian is zero elsewhere."""
    least = float(raw_vector(channels.every).min())
    if not channels.slack:
        return _Pair(torch.zeros(1), torch.zeros(1), least)
    flat = [gradient.detach().reshape(-1) for gradient in gradients]
    return _Pair(raw_vector(channels.slack), torch.cat(flat), least)


def _read(window: Sequence[_Pair]) -> Reading:
    theta, gradient = torch.stack([pair.theta for pair in window]), torch.stack([pair.gradient for pair in window])
    norm, trace = cross_covariance(theta, gradient)
    return Reading(norm, trace, len(window), min(pair.least for pair in window))


def _centred(rows: Tensor) -> Tensor:
    moved = rows.double() - rows[0].double()  # rows that are equal become zero, not rounding errors
    return moved - moved.mean(dim=0)
