"""Training data as tensors of one type: points with values, perhaps several per context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from socicnn._arrays import as_float64
from socicnn._ranges import Ranges
from socicnn.errors import ModelError
from socicnn.training._grouping import group

PARTS = ("x", "y", "context", "gradient", "weight")


@dataclass(frozen=True, eq=False)
class Samples:
    """Points x with values y; the first axis counts contexts (or, without candidates, points).

    Args:
        x: shape `(contexts, candidates, *input_shape)`, or `(points, *input_shape)`.
        y: shape `(contexts, candidates)`, or `(points,)`.
        context: shape `(contexts, *context_shape)`, one per row of the first axis; None without contexts.
        gradient: labels of the gradient of f in x, shape of x; None if omitted.
        weight: weights >= 0 of the values, shape of y; None for equal ones.
    """

    x: Tensor
    y: Tensor
    context: Tensor | None = None
    gradient: Tensor | None = None
    weight: Tensor | None = None

    @property
    def grouped(self) -> bool:
        """Whether each context has an axis of candidates."""
        return self.y.ndim == 2

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Any) -> Samples:
        return self._each(lambda tensor: tensor[index])

    def to(self, dtype: torch.dtype, device: torch.device | None = None) -> Samples:
        """Return the same in another type, and perhaps elsewhere."""
        return self._each(lambda tensor: tensor.to(device, dtype))

    def tensors(self) -> dict[str, Tensor]:
        """Return what there is, by name."""
        return {name: tensor for name in PARTS if (tensor := getattr(self, name)) is not None}

    def balanced(self) -> Samples:
        """Return the same with weights whose mean is one."""
        return self if self.weight is None else replace(self, weight=self.weight / self.weight.mean())

    def _each(self, function: Callable[[Tensor], Tensor]) -> Samples:
        return Samples(**{name: function(tensor) for name, tensor in self.tensors().items()})

    def like(self, model: nn.Module) -> Samples:
        """Return the same in the type of a model's parameters."""
        return self.to(next(model.parameters()).dtype)

    def gathered(self) -> tuple[Samples, str]:
        """Return single points gathered by their contexts where these repeat, and in words how they are spread."""
        if self.grouped or self.context is None:
            return self, "there are no contexts"
        grouping = group(self.context.reshape(len(self), -1).numpy())
        if grouping.order is None:
            return self, grouping.layout
        rows = torch.from_numpy(grouping.order)
        return replace(self[rows], context=self.context[rows[:, 0]]), grouping.layout

    def ranges(self) -> Ranges:
        """Return the least and largest value of each entry of x and of the context."""
        axes = self.x.ndim - self.y.ndim
        return Ranges.of(
            self.x, self.context, x_axes=axes, context_axes=0 if self.context is None else self.context.ndim - 1
        )

    def aligned(self) -> Tensor | None:
        """Return the context with an axis for the candidates, ready for `model(x, context)`."""
        return self.context.unsqueeze(1) if self.context is not None and self.grouped else self.context


def joined(first: Samples, second: Samples) -> Samples:
    """Return the rows of both; rows without weights weigh one."""
    parts = []
    for samples in (first, second):
        weighted = first.weight is not None or second.weight is not None
        weight = torch.ones_like(samples.y) if weighted and samples.weight is None else samples.weight
        parts.append(replace(samples, weight=weight).tensors())
    return Samples(**{name: torch.cat([parts[0][name], parts[1][name]]) for name in parts[0]})


def as_samples(data: Any) -> Samples:
    """Return data of any accepted kind as finite float64 tensors on the CPU.

    Args:
        data: an object with x, y and perhaps context, gradient and weight, or a tuple (x, y) or (x, context, y);
            tensors or arrays.

    Raises:
        ModelError: shapes that do not agree, no rows, or an entry that is not finite.
    """
    if isinstance(data, tuple):
        if len(data) not in (2, 3):
            raise ModelError(f"data must be (x, y) or (x, context, y); received a tuple of {len(data)}")
        parts = {"x": data[0], "y": data[-1], "context": data[1] if len(data) == 3 else None}
    else:
        if not (hasattr(data, "x") and hasattr(data, "y")):
            raise ModelError(f"data must have x and y, or be a tuple (x, y); received {type(data).__name__}")
        parts = {name: getattr(data, name, None) for name in PARTS}
    for name in ("x", "y"):
        if parts[name] is None:
            raise ModelError(f"{name} of the data is None; give points x and values y")
    tensors: dict[str, Tensor] = {}
    for name, values in parts.items():
        if values is None:
            continue
        tensor = torch.from_numpy(as_float64(values, f"{name} of the data").copy())
        bad = int((~torch.isfinite(tensor)).sum())
        if bad:
            raise ModelError(f"{name} of the data has {bad} non-finite entries; remove or replace them")
        tensors[name] = tensor
    samples = Samples(**tensors)
    rows = {name: len(tensor) for name, tensor in tensors.items() if tensor.ndim}
    if len(rows) < len(tensors) or len(set(rows.values())) != 1 or not len(samples):
        raise ModelError(f"x, y and context need equally many rows, at least one; received {rows}")
    if samples.y.ndim not in (1, 2) or samples.x.shape[: samples.y.ndim] != samples.y.shape:
        shapes = tuple(samples.x.shape), tuple(samples.y.shape)
        raise ModelError(f"y must have the leading shape of x, (contexts, candidates) or (points,); received {shapes}")
    _check_labels(samples)
    return samples


def _check_labels(samples: Samples) -> None:
    """Raise a ModelError where gradients or weights do not fit the points."""
    for name, tensor, wanted in (
        ("gradient", samples.gradient, samples.x.shape),
        ("weight", samples.weight, samples.y.shape),
    ):
        if tensor is not None and tensor.shape != wanted:
            raise ModelError(f"{name} of the data must have shape {tuple(wanted)}; received {tuple(tensor.shape)}")
    weight = samples.weight
    if weight is not None and (bool((weight < 0).any()) or not bool(weight.any())):
        raise ModelError(f"weight of the data must be >= 0, not all zero; received {int((weight < 0).sum())} below 0")
