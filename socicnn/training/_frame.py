"""The units in which a run computes: data are centred and scaled in float64, before any cast to the network's type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from socicnn.errors import ModelError
from socicnn.positivity._hypernetwork import HyperNetwork
from socicnn.training._data import Data

ULPS = 8  # a column whose entries agree to this many units in the last place is constant


@final
class Frame:
    """Standardised units for a network, own units of x and the context for any other module; y is always standardised.

    Args:
        model: what is trained; its standardisation is set from the data first, if asked.
        train: the training data, float64, in the user's units.
        y_scale: unit of y, as the loss has it.
        standardise: whether to set the network's standardisation.
    """

    def __init__(self, model: nn.Module, train: Data, y_scale: Tensor, standardise: bool) -> None:
        self.model: Any = model
        self.inside = hasattr(model, "standard_value")
        parameter = next(parameter for parameter in model.parameters() if parameter.requires_grad)
        self.dtype, self.device = parameter.dtype, parameter.device
        seen = train.y if train.weight is None else train.y[train.weight > 0]
        low, high = seen.min(), seen.max()
        constant = high - low <= ULPS * torch.finfo(torch.float64).eps * torch.maximum(low.abs(), high.abs())
        self.y_mean = torch.zeros_like(low) if getattr(model, "nonnegative", False) else _mean(train.y, train.weight)
        if train.weight is not None:
            y_scale = _mean((train.y - _mean(train.y, train.weight)).square(), train.weight).sqrt()
        if not 0 < y_scale < torch.inf:  # squares that underflow, or overflow
            y_scale = high - low
        self.y_scale = torch.ones_like(y_scale) if constant else y_scale
        if standardise and hasattr(model, "standardise"):
            self._standardise(train)
        mean, scale = self.y_mean, self.y_scale
        if self.inside:  # the network's values, before its own unit of y
            own: Any = self.model.standardisation
            mean = (mean - own.exact_mean("y").cpu()) / own.y_scale.double().cpu()
            scale = scale / own.y_scale.double().cpu()
        self.mean, self.scale = (value.to(self.device, self.dtype) for value in (mean, scale))

    def _standardise(self, train: Data) -> None:
        means: dict[str, Tensor] = {"y_mean": self.y_mean, "y_scale": self.y_scale}
        for name, values in (("x", train.x), ("context", train.context)):
            if values is not None:
                axes = self.model.get_buffer(f"standardisation.{name}_mean").shape
                weight = train.weight if train.weight is None or train.weight.ndim == 1 else None
                means[f"{name}_mean"], means[f"{name}_scale"] = statistics(values, axes, weight)
        self.model.standardise(**means)
        if self.inside:  # as the network holds them, in its own type
            own = self.model.standardisation
            self.y_mean, self.y_scale = own.exact_mean("y").cpu(), own.y_scale.double().cpu()

    def samples(self, data: Data) -> Data:
        """Return data in these units, in the type and at the place of the model.

        Raises:
            ModelError: an entry is too large for the model's type.
        """
        x, context = data.x, data.context
        if self.inside:
            own = self.model.standardisation
            x = own.exact("x", x)
            context = None if context is None else own.exact("context", context)
        y = (data.y - self.y_mean) / self.y_scale
        framed = Data(x, context, y, self._gradient(data.gradient), data.weight).to(self.device, self.dtype)
        for name, tensor in framed.tensors().items():
            if not bool(torch.isfinite(tensor).all()):
                raise ModelError(f"{name} of the data has entries too large for {self.dtype}; use `model.double()`")
        return framed

    def _gradient(self, gradient: Tensor | None) -> Tensor | None:
        """Return labels of the gradient in these units: dy/dx times the scale of x over that of y."""
        if gradient is None:
            return None
        if not self.inside:
            raise ModelError(f"gradients as labels need a network of socicnn.nn; received {type(self.model).__name__}")
        return gradient * self.model.standardisation.x_scale.double().cpu() / self.y_scale

    def slope(self, batch: Data, model: Any = None) -> Tensor:
        """Return the gradient in x of the values of a model at a batch, in standardised units, differentiable."""
        with torch.enable_grad():
            x = batch.x.detach().requires_grad_()
            value = self.predict(replace(batch, x=x), model)
            (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        return slope

    def value(self, model: Any, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the values of a model (or of a copy) in the unit of y before `mean` and `scale` are taken off."""
        if self.inside:
            value: Tensor = model.standard_value(x, context)
            return value
        other: Tensor = model(x) if context is None else model(x, context)
        return other

    def predict(self, batch: Data, model: Any = None) -> Tensor:
        """Return the values of a model at a batch, in standardised units."""
        value = self.value(self.model if model is None else model, batch.x, batch.aligned())
        return (checked(value, batch.y) - self.mean) / self.scale

    def condition(self, model: Any, x: Tensor, context: Tensor | None) -> None:
        """Give a recipe whose weights depend on data the batch that they are emitted from."""
        if self.inside:
            model.standard_condition(x, context)
        elif hasattr(model, "condition"):
            model.condition(x, context)

    def finalised(self, model: Any, train: Data) -> Any:
        """Return the plain network that a model whose weights depend on data would end as."""
        if self.inside:
            model.standard_condition(train.x, train.aligned(), whole=True)
            return model.as_plain()
        context = None if isinstance(model, HyperNetwork) else train.aligned()  # it reads x alone
        return model.finalise(train.x if context is None else (train.x, context))


def checked(value: Any, y: Tensor) -> Tensor:
    """Return a model's values, which have the shape of y; others would broadcast to a loss of every value with every y.

    Raises:
        ModelError: another shape, or no tensor.
    """
    if isinstance(value, Tensor) and value.shape == y.shape:
        return value
    if isinstance(value, Tensor) and value.numel() == y.numel() == 1:  # a module's squeeze() of a batch of one row
        return value.reshape(y.shape)
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    raise ModelError(
        f"the model must give one value per point, shape {tuple(y.shape)} for this batch; received {shape}: a last "
        "axis of one goes with value[..., 0], or nn.Flatten(-2) at the end of an nn.Sequential"
    )


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean, weighted if there are weights."""
    return values.mean() if weight is None else (weight * values).sum() / weight.sum()


def statistics(values: Tensor, shape: torch.Size, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over all axes but those that a network standardises one by one.

    A column that is constant to rounding has its value as mean. Its scale is 1, or its own size if it is not constant
    to the last bit, so that a change of unit changes nothing.

    Args:
        values: float64, shape `(*batch, *own)`.
        shape: of the network's means; an axis of size one is averaged over.
        weight: of each entry of the first axis; equal if omitted.
    """
    lead = values.ndim - len(shape)
    axes = [*range(lead), *(lead + axis for axis, size in enumerate(shape) if size == 1)]
    seen = values if weight is None else values[weight > 0]
    low, high = seen.amin(dim=axes, keepdim=True), seen.amax(dim=axes, keepdim=True)
    size = torch.maximum(low.abs(), high.abs())
    constant = high - low <= ULPS * torch.finfo(torch.float64).eps * size
    if weight is None:
        centre, spread = values.mean(dim=axes, keepdim=True), values.std(dim=axes, unbiased=False, keepdim=True)
    else:
        share = (weight / weight.mean()).reshape(-1, *[1] * (values.ndim - 1))
        centre = (share * values).mean(dim=axes, keepdim=True)
        spread = (share * (values - centre).square()).mean(dim=axes, keepdim=True).sqrt()
    spread = torch.where((spread > 0) & spread.isfinite(), spread, high - low)  # squares that underflow, or overflow
    mean = torch.where(constant, low, centre)
    fixed = torch.where(high > low, size, torch.ones_like(size))
    scale = torch.where(constant, fixed, spread)
    return mean.reshape(shape), scale.reshape(shape)
