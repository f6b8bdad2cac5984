"""Training data as tensors of one type: points with values, perhaps several per context."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from socicnn._arrays import as_float64
from socicnn._frames import agreed_columns, column_names, refuse_other_order, refuse_reordered_columns
from socicnn._ranges import Ranges, checked_names
from socicnn.errors import ModelError
from socicnn.training._grouping import group

PARTS = ("x", "context", "y", "gradient", "weight")


@dataclass(frozen=True, eq=False)
class Data:
    """Points x with values y; the first axis counts contexts theta with their candidates (or single points).

    Args:
        x: shape `(contexts, candidates, *input_shape)`, or `(points, *input_shape)`; tensors or arrays, as all below.
        context: shape `(contexts, *context_shape)`, one per row of the first axis; None without contexts.
        y: shape `(contexts, candidates)`, or `(points,)`.
        gradient: labels of the gradient of f in x, shape of x; None if they are not known.
        weight: weights >= 0 of the values, shape of y; None for equal ones.
        x_names: names of the columns of x, each a text; those of a data frame if omitted, None for arrays.
        context_names: the same of the context.

    Raises:
        ModelError: shapes that disagree, no rows, a non-finite entry, a negative weight, or names of columns that do
            not fit.

    >>> data = Data(torch.rand(5, 4, 3), torch.rand(5, 2), torch.rand(5, 4))
    >>> len(data), data.labels
    (5, 20)
    """

    x: Tensor
    context: Tensor | None
    y: Tensor
    gradient: Tensor | None = None
    weight: Tensor | None = None
    x_names: tuple[str, ...] | None = None
    context_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        refuse_other_order({name: getattr(self, name) for name in PARTS})
        frames = {part: column_names(getattr(self, part)) for part in ("x", "context")}
        for name in PARTS:
            values = getattr(self, name)
            if values is None:
                if name in ("x", "y"):
                    raise ModelError(f"{name} of the data is None; give points x and values y")
                continue
            tensor = values if isinstance(values, Tensor) else torch.tensor(as_float64(values, f"{name} of the data"))
            bad = int((~torch.isfinite(tensor)).sum())
            if bad:
                raise ModelError(f"{name} of the data has {bad} non-finite entries; remove or replace them")
            object.__setattr__(self, name, tensor)
        _check_shapes(self)
        for part, of_frame in frames.items():
            shape = self.row_shapes.get(part)
            names = checked_names(getattr(self, f"{part}_names"), shape, part)
            if shape is not None and len(shape) == 1:  # else the columns of a frame are candidates
                names = agreed_columns(of_frame, names, part)
            object.__setattr__(self, f"{part}_names", names)

    @property
    def grouped(self) -> bool:
        """Whether each context has an axis of candidates."""
        return self.y.ndim == 2

    @property
    def contexts(self) -> Tensor:
        """The contexts, of data that have some.

        Raises:
            ModelError: there are none.
        """
        if self.context is None:
            raise ModelError("the data have no contexts; give `Data(x, context, y)`")
        return self.context

    @property
    def labels(self) -> int:
        """Number of labelled points."""
        return self.y.numel()

    def __len__(self) -> int:
        """Return the number of rows: contexts, or single points."""
        return len(self.y)

    def __getitem__(self, index: Any) -> Data:
        """Return the rows of that index."""
        return self._each(lambda tensor: tensor[index])

    def to(self, *target: Any) -> Data:
        """Return the same in another floating type, on another device, or both, the device first."""
        return self._each(lambda tensor: tensor.to(*target))

    def tensors(self) -> dict[str, Tensor]:
        """Return what there is, by name."""
        return {name: tensor for name in PARTS if (tensor := getattr(self, name)) is not None}

    @property
    def row_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one point, and of one context if there are some."""
        context = {} if self.context is None else {"context": tuple(self.context.shape[1:])}
        return {"x": tuple(self.x.shape[self.y.ndim :]), **context}

    def balanced(self) -> Data:
        """Return the same with weights whose mean is one."""
        return self if self.weight is None else replace(self, weight=self.weight / self.weight.mean())

    def split(self, count: int, generator: torch.Generator) -> tuple[Data, Data]:
        """Return the rows to train on, and `count` random ones to validate on; both parts have weight.

        Raises:
            ModelError: fewer than two rows have weight.
        """
        order = torch.randperm(len(self), generator=generator)
        if self.weight is not None:
            heavy = (self.weight > 0).reshape(len(self), -1).any(dim=1)[order].nonzero()[:, 0].tolist()
            if len(heavy) < 2:
                raise ModelError(
                    f"only 1 of {len(self)} rows has a weight above 0, so that none can be held out; set validation to "
                    "0, or to data"
                )
            if heavy[0] >= count:  # the part held out has no weight: one of its rows changes place
                order[[0, heavy[0]]] = order[[heavy[0], 0]]
            elif heavy[-1] < count:
                order[[-1, heavy[-1]]] = order[[heavy[-1], -1]]
        return self[order[count:]], self[order[:count]]

    def _each(self, function: Callable[[Tensor], Tensor]) -> Data:
        part = copy(self)  # what was checked is not checked again in every batch
        for name, tensor in self.tensors().items():
            object.__setattr__(part, name, function(tensor))
        return part

    def like(self, model: nn.Module) -> Data:
        """Return the same in the type of a model's parameters."""
        return self.to(next(model.parameters()).dtype)

    def gathered(self) -> tuple[Data, str]:
        """Return single points gathered by their contexts where these repeat, and in words how they are spread."""
        if self.grouped or self.context is None:
            return self, "there are no contexts"
        grouping = group(self.context.reshape(len(self), -1).numpy())
        if grouping.order is None:
            return self, grouping.layout
        rows = torch.from_numpy(grouping.order)
        return replace(self[rows], context=self.context[rows[:, 0]]), grouping.layout

    def ranges(self) -> Ranges:
        """Return the ranges of x and of the context over what has a weight above 0, with the names of their columns."""
        x, context, axes = self.x, self.context, self.x.ndim - self.y.ndim
        if self.weight is not None:
            x, rows = x[self.weight > 0], (self.weight > 0).reshape(len(self), -1).any(dim=1)
            context = None if context is None else context[rows]
        ranges = Ranges.of(x, context, x_axes=axes, context_axes=0 if context is None else context.ndim - 1)
        return replace(ranges, x_names=self.x_names, context_names=self.context_names)

    def aligned(self) -> Tensor | None:
        """Return the context with an axis for the candidates, ready for `model(x, context)`."""
        return self.context.unsqueeze(1) if self.context is not None and self.grouped else self.context


def joined(first: Data, second: Data) -> Data:
    """Return the rows of both; rows without weights weigh one.

    Raises:
        ModelError: the names of their columns differ.
    """
    parts = []
    for data in (first, second):
        weighted = first.weight is not None or second.weight is not None
        weight = torch.ones_like(data.y) if weighted and data.weight is None else data.weight
        parts.append(replace(data, weight=weight).tensors())
    whole: dict[str, Any] = {name: torch.cat([parts[0][name], parts[1][name]]) for name in parts[0]}
    for part in ("x", "context"):
        name = f"{part}_names"
        whole[name] = agreed_columns(getattr(second, name), getattr(first, name), part)
    return Data(**{"context": None, **whole})


def as_data(data: Any) -> Data:
    """Return data of any accepted kind as finite float64 tensors on the CPU.

    Args:
        data: an object with x, y and perhaps context, gradient and weight, or a tuple (x, y) or (x, context, y);
            tensors, arrays or data frames, whose names of columns are kept.

    Raises:
        ModelError: shapes that do not agree, no rows, or an entry that is not finite.
    """
    parts: dict[str, Any] = {
        name: torch.tensor(as_float64(values, f"{name} of the data")) if isinstance(values, Tensor) else values
        for name, values in _parts(data).items()
    }
    if isinstance(data, Data):
        parts |= {"x_names": data.x_names, "context_names": data.context_names}
    return Data(**parts)


def refuse_reordered(data: Any, validation: Any) -> None:
    """Refuse frames of validation data whose columns are those of the training data in another order."""
    train, held = _parts(data), _parts(validation)
    for name in ("x", "context"):
        refuse_reordered_columns(held.get(name), train.get(name), name, "the validation data")


def _parts(data: Any) -> dict[str, Any]:
    """Return what data of any accepted kind consist of, as it was given."""
    if isinstance(data, tuple):
        if len(data) not in (2, 3):
            raise ModelError(f"data must be (x, y) or (x, context, y); received a tuple of {len(data)}")
        return {"x": data[0], "context": data[1] if len(data) == 3 else None, "y": data[-1]}
    if not (hasattr(data, "x") and hasattr(data, "y")):
        raise ModelError(f"data must have x and y, or be a tuple (x, y); received {type(data).__name__}")
    return {name: getattr(data, name, None) for name in PARTS}


def check_layout(data: Data, input_shape: tuple[int, ...], context_shape: tuple[int, ...] | None) -> None:
    """Raise a ModelError where the shapes of x, y and the context are not those of points of a network.

    A point on its own is a valid call of a network: one row at a time does not tell points from candidates.
    """
    rows, x, y = len(data), tuple(data.x.shape), tuple(data.y.shape)
    own, wanted = tuple(input_shape), (*y, *input_shape)
    if x != wanted and x[1:] == own:  # so that y has an axis of candidates
        mend = "give y[:, 0]" if y[1] == 1 else "fit one network per column of y"
        raise ModelError(f"y must have shape {(rows,)} for x of shape {x}; received {y}: {mend}")
    if x != wanted:
        mend = f"; give x.reshape{wanted}" if math.prod(x) == math.prod(wanted) else ""
        raise ModelError(f"x must have shape {wanted} for y of shape {y} and points of shape {own}; received {x}{mend}")
    if data.context is None or context_shape is None:
        return
    context, wanted = tuple(data.context.shape), (rows, *context_shape)
    if context != wanted:
        mend = f"; give context.reshape{wanted}" if math.prod(context) == math.prod(wanted) else ""
        raise ModelError(f"context must have shape {wanted}, one per row of x; received {context}{mend}")


def _check_shapes(data: Data) -> None:
    """Raise a ModelError where the parts do not fit each other."""
    rows = {name: len(tensor) for name, tensor in data.tensors().items() if tensor.ndim}
    if len(rows) < len(data.tensors()) or len(set(rows.values())) != 1 or not len(data):
        raise ModelError(f"x, y and context need equally many rows, at least one; received {rows}")
    if data.y.ndim not in (1, 2) or data.x.shape[: data.y.ndim] != data.y.shape:
        shapes = tuple(data.x.shape), tuple(data.y.shape)
        mend = ": give y[:, 0]" if data.y.ndim == 2 and data.y.shape[1] == 1 else ""
        raise ModelError(
            f"y must have the leading shape of x, (contexts, candidates) or (points,); received {shapes}{mend}"
        )
    for name, tensor, wanted in (("gradient", data.gradient, data.x.shape), ("weight", data.weight, data.y.shape)):
        if tensor is not None and tensor.shape != wanted:
            raise ModelError(f"{name} of the data must have shape {tuple(wanted)}; received {tuple(tensor.shape)}")
    weight = data.weight
    if weight is not None and (bool((weight < 0).any()) or not bool(weight.any())):
        raise ModelError(f"weight of the data must be >= 0, not all zero; received {int((weight < 0).sum())} below 0")


def stacked(every: Sequence[Data]) -> Data:
    """Return data of several models with an axis of models before all others; gradients and weights stay behind."""
    whole = copy(every[0])  # such data are no rows, so that nothing is checked
    for name in PARTS:
        tensors = [part.tensors()[name] for part in every if name in part.tensors()]
        kept = bool(tensors) and name not in ("gradient", "weight")
        object.__setattr__(whole, name, torch.stack(tensors) if kept else None)
    return whole


def Samples(x: Any, y: Any, context: Any = None, gradient: Any = None, weight: Any = None) -> Data:
    """Return data in the order of arguments of the class that had this name."""
    return Data(x, context, y, gradient, weight)
