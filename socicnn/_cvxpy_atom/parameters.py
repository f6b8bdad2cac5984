"""The context of a network as explicit Parameters of CVXPY, fed by a function of torch: for layers of cvxpylayers."""

from __future__ import annotations

from typing import Any, final

import cvxpy as cp
import numpy as np
import torch
from torch import Tensor

from socicnn._cvxpy_atom.context_program import ContextProgram
from socicnn._frames import refuse_other_columns
from socicnn.errors import ModelError


@final
class ContextParameters:
    """What a context moves in the program of a network, as Parameters, and the function of theta that gives values.

    A layer of cvxpylayers knows plain Parameters only:

        given = socicnn.ContextParameters(model)
        cost = socicnn.to_cvxpy(model, x, given)
        layer = CvxpyLayer(cp.Problem(cp.Minimize(cost), [...]), parameters=given.parameters, variables=[x])
        (best,) = layer(*given(theta))

    Gradients flow to theta and to the weights that emit what the context moves. The other weights (W, U, A, C) are
    those of the moment in which this object was made.

    Args:
        model: a network with a context.

    Raises:
        ModelError: it has no context, or no conic program.

    Attributes:
        model: the network.
        map: the program of the network as a function of its context.
        parameters: the Parameters, in the order in which a call returns their values.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.map = ContextProgram.of(model, live=True)
        moved = zip(self.map.moved, self.map.sizes, strict=True)
        self.parameters = [cp.Parameter(size, name=name) for name, size in moved]

    def __call__(self, context: Tensor) -> tuple[Tensor, ...]:
        """Return a float64 tensor per Parameter, with gradients.

        Args:
            context: shape `(*batch, *context_shape)`.

        Raises:
            ModelError: a shape that does not fit.
        """
        shape = self.map.context_shape
        if not isinstance(context, Tensor) or tuple(context.shape[context.ndim - len(shape) :]) != shape:
            received = tuple(context.shape) if isinstance(context, Tensor) else type(context).__name__
            raise ModelError(
                f"context must be a tensor of shape (*batch, {', '.join(map(str, shape))}); received {received}"
            )
        return tuple(self.map.differentiable(context).values())

    @torch.no_grad()
    def assign(self, context: Any) -> None:
        """Give the Parameters their values at one context, for a solve without a layer.

        Args:
            context: shape `context_shape`, any array.

        Raises:
            ModelError: a shape that does not fit, or a row of a frame with other columns than the network was trained
                with.
        """
        refuse_other_columns(self.model.ranges, "context", context)
        shape, received = self.map.context_shape, np.shape(context)
        if received != shape and not (received == () and shape == (1,)):
            raise ModelError(f"context must have shape {shape}; received {received}: assign one context at a time")
        for parameter, value in zip(self.parameters, self.map.at(context).values(), strict=True):
            parameter.value = value
