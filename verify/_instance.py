"""What is to be verified: the points, flattened, and the frozen network at the context of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from socicnn._arrays import Array, as_float64
from socicnn._compile import Freezable, frozen
from socicnn._frames import refuse_other_columns
from socicnn._points import as_points
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet


@dataclass(frozen=True, eq=False)
class Instance:
    """A network and the points it is verified at.

    Args:
        net: the frozen network; with stacked contexts, context i belongs to point i.
        x: points, shape `(count, n)`; a read-only copy.
        context: what was frozen, `(*context_shape)` or `(count, *context_shape)`; None without contexts.
    """

    net: FrozenNet
    x: Array
    context: Array | None

    @classmethod
    def of(cls, model_or_net: Freezable, x: Any, context: Any = None) -> Instance:
        """Freeze `model_or_net` at the contexts of the points.

        Args:
            model_or_net: a network, or a FrozenNet.
            x: one point or a batch, torch or NumPy, of shape `(*batch, *input_shape)` or `(*batch, n)`.
            context: one context, or one per point: its leading shape broadcasts against the batch. A single x is
                verified at every context.

        Raises:
            ModelError: shapes that do not fit, entries that are not finite, no points, frames with other columns than
                the network was trained with, or the network cannot be exported.
        """
        refuse_other_columns(getattr(model_or_net, "ranges", None), "x", x)
        refuse_other_columns(getattr(model_or_net, "ranges", None), "context", context)
        if context is None:
            net = frozen(model_or_net)
            theta = None
        else:
            context = as_float64(context, "context")
            event = getattr(model_or_net, "context_shape", None) or context.shape[-1:]
            lead = context.shape[: context.ndim - len(event)]
            count = _batch(model_or_net, x)
            if lead:
                try:
                    context = np.broadcast_to(context, (*np.broadcast_shapes(lead, count), *event))
                except ValueError:
                    raise ModelError(
                        f"context has leading shape {lead}, x {count}: give one context, or one per point"
                    ) from None
                context = np.array(context.reshape(-1, *event))
            theta = context
            net = frozen(model_or_net, context)
        assert net.input_shape is not None
        points = as_points(x, net.input_shape)
        if not len(points):
            raise ModelError("x holds no points; give at least one")
        if net.contexts is not None and net.contexts != len(points):
            if len(points) == 1:
                points = np.broadcast_to(points, (net.contexts, points.shape[1]))
            elif net.contexts == 1:
                net = net[0]
            else:
                raise ModelError(f"{net.contexts} contexts need one point each, or one for all; received {len(points)}")
        points = np.array(points)  # a copy: what was verified stays what it was when the caller's buffer is refilled
        points.flags.writeable = False
        return cls(net, points, theta)

    def part(self, rows: slice) -> FrozenNet:
        """Return the network of some of the points: its stacked contexts cut to theirs, if it has any."""
        return self.net.take(rows)


def _batch(model: Any, x: Any) -> tuple[int, ...]:
    """Return the batch shape of x, before the network is frozen."""
    shape = tuple(x.shape) if hasattr(x, "shape") else np.shape(x)
    event = getattr(model, "input_shape", None) or shape[-1:]
    flat = int(np.prod(event, dtype=np.int64))
    for tail in (tuple(event), (flat,)):
        if len(shape) >= len(tail) and shape[len(shape) - len(tail) :] == tail:
            return shape[: len(shape) - len(tail)]
    return ()  # `as_points` says what is wrong
