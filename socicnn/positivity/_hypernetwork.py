"""The lift around any torch module: its tagged parameters are emitted, its training loop stays the same."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from socicnn._frames import refuse_other_columns
from socicnn._integers import as_integer
from socicnn._moved import with_moved
from socicnn._registry import choose
from socicnn.errors import ModelError
from socicnn.positivity import InitialiserName
from socicnn.positivity import initialiser as make_initialiser
from socicnn.positivity._encoder import Encoder, training_points
from socicnn.positivity._initial import Initialiser
from socicnn.positivity._lift import Lift, LiftedWeight
from socicnn.positivity._readouts import Readout

TAG = "_pos_required"
EMITTED = ("constrained", "all")
RECIPE = Lift(rank=8)


@final
class _Identity(Readout):
    """What a parameter without constraint is read out with."""

    name = "identity"

    def emit(self, raw: Tensor) -> Tensor:
        return raw

    def inverse(self, values: Tensor) -> Tensor:
        return values


@final
class HyperNetwork(nn.Module):
    """Emit the non-negative parameters of a module from each batch: theta = psi(b + H code(X)) (see `Lift`).

    Mark the parameters once (`w._pos_required = True`), wrap the module, and train the wrapper in its place: it is
    called like the module, and its parameters are b, H, the encoder's and those of the module that are not emitted.
    Afterwards `finalise(train_data)` gives the module itself with plain non-negative parameters.

    Args:
        input_size: length of one point of the conditioning batch, after flattening.
        hidden_sizes: widths of the encoder.
        downstream_network: the module; it is held, not copied, and its emitted parameters no longer train themselves.
        recipe: how the batch is read and the weights are read out; its `hidden` gives way to `hidden_sizes`.
        emit: `constrained` (the tagged parameters) or `all` (the others too, without a read-out).
        initialiser: law from which a tagged parameter with negative entries is redrawn (fan-in: all axes but the
            first); one that is non-negative starts where it stands.
        generator: source of the initial values; defaults to torch's own.
        moved: settings of the recipe by keyword, deprecated.

    Raises:
        ModelError: no parameter is tagged, or an argument is invalid.

    >>> module = nn.Sequential(nn.Linear(2, 16), nn.Softplus(), nn.Linear(16, 1))
    >>> module[2].weight._pos_required = True
    >>> lifted = HyperNetwork(input_size=2, hidden_sizes=[64, 64, 96], downstream_network=module)
    >>> x = torch.randn(32, 2)
    >>> lifted(x).shape
    torch.Size([32, 1])
    >>> plain = lifted.finalise(x)
    >>> type(plain).__name__, bool((plain[2].weight >= 0).all())
    ('Sequential', True)
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int] = (64, 64, 96),
        downstream_network: nn.Module | None = None,
        *,
        recipe: Lift = RECIPE,
        emit: Literal["constrained", "all"] = "constrained",
        initialiser: Initialiser | InitialiserName = "principled",
        generator: torch.Generator | None = None,
        **moved: Any,
    ) -> None:
        super().__init__()
        if not isinstance(downstream_network, nn.Module):
            raise ModelError(f"downstream_network must be a torch module; received {type(downstream_network).__name__}")
        input_size = as_integer("input_size", input_size)
        choose("emit", emit, EMITTED)
        self.input_size = input_size
        recipe = with_moved(recipe, moved, function="HyperNetwork", argument="recipe")
        self.recipe = replace(recipe, hidden=tuple(hidden_sizes))
        law = make_initialiser(initialiser)
        named = dict(downstream_network.named_parameters())
        tagged = {name for name, parameter in named.items() if getattr(parameter, TAG, False)}
        if not tagged:
            raise ModelError(
                f"no parameter of {type(downstream_network).__name__} is tagged; mark each one that must stay "
                f"non-negative with `w.{TAG} = True` before wrapping it"
            )
        self.downstream_network = downstream_network
        self.encoder: Encoder = self.recipe.shared(input_size, generator)
        self.names = [name for name in named if emit == "all" or name in tagged]
        self.constrained_names = sorted(tagged)
        self.weights = nn.ModuleList()
        for name in self.names:
            parameter = named[name]
            if name in tagged:
                self.weights.append(self.recipe.weight(_start(parameter, law, generator), self.encoder))
            else:
                self.weights.append(self.recipe.lifted(parameter, self.encoder, _Identity()))
            parameter.requires_grad_(False)
        first = named[self.names[0]]
        self.encoder.to(device=first.device, dtype=first.dtype)

    @property
    def needs_data(self) -> bool:
        """Whether only `finalise(train_data)` gives a module that can be evaluated."""
        return self.recipe.needs_data

    def forward(self, *inputs: Any, condition: Tensor | None = None, **named: Any) -> Any:
        """Return what the module gives with the parameters that are emitted from a batch.

        Args:
            inputs: the module's own arguments.
            condition: the batch to emit from, shape `(count, ...)` with `input_size` entries per point; defaults to the
                module's first argument.
            named: the module's own keyword arguments.

        Raises:
            ModelError: the batch is empty or of another width, or the wrapper is in evaluation mode.
        """
        batch = condition if condition is not None else inputs[0] if inputs else None
        self.encoder.condition(self._points(batch))
        emitted = {name: weight() for name, weight in zip(self.names, self._holders(), strict=True)}
        return functional_call(self.downstream_network, emitted, inputs, named)

    @torch.no_grad()
    def emission(self, data: Any) -> dict[str, Tensor]:
        """Return the parameters that are emitted from the whole of `data`, by name, detached.

        Raises:
            ModelError: the data are empty, of another width or not finite.
        """
        points = training_points(data, "train_data", self._holders()[0].head)
        self.encoder.condition(self._points(points), whole=True)
        return {name: weight.final() for name, weight in zip(self.names, self._holders(), strict=True)}

    def finalise(self, train_data: Any = None) -> nn.Module:
        """Return the plain module with the parameters that the whole training set emits.

        Args:
            train_data: the conditioning points of the training set, shape `(count, ...)`, a tensor or an array; not
                needed if the conditioning is constant.

        Raises:
            ModelError: no data, empty data, data of another width or that are not finite, or a frame with other columns
                than it was trained with.
        """
        ranges = getattr(self, "ranges", None)  # of what `fit` trained it on
        refuse_other_columns(ranges, "x", train_data, "train_data")
        if train_data is None:
            if self.needs_data:
                raise ModelError("finalising a lift requires the training data: call `finalise(train_data)`")
            train_data = torch.ones((1, self.input_size))
        emitted = self.emission(train_data)
        plain: Any = copy.deepcopy(self.downstream_network)
        if ranges is not None:
            plain.ranges = ranges
        parameters = dict(plain.named_parameters())
        with torch.no_grad():
            for name, value in emitted.items():
                parameters[name].copy_(value)
                parameters[name].requires_grad_(True)
        for name in self.constrained_names:
            setattr(parameters[name], TAG, True)
        return cast(nn.Module, plain)

    def _holders(self) -> list[LiftedWeight]:
        return [weight for weight in self.weights if isinstance(weight, LiftedWeight)]

    def _points(self, batch: Any) -> Tensor:
        if not isinstance(batch, Tensor):
            raise ModelError(
                f"the conditioning batch must be a tensor; received {type(batch).__name__}: name one with `condition=`"
            )
        shape = batch.shape
        if batch.ndim and shape[-1] == self.input_size:
            points = batch.reshape(-1, self.input_size)
        elif batch.ndim > 1 and math.prod(shape[1:]) == self.input_size:
            points = batch.flatten(1)
        else:
            raise ModelError(
                f"a conditioning batch must have {self.input_size} entries per point (input_size); received shape "
                f"{tuple(shape)}: give another batch with `condition=`, or wrap with another input_size"
            )
        return points.to(self._holders()[0].head)


def _start(parameter: nn.Parameter, law: Initialiser, generator: torch.Generator | None) -> Tensor:
    """Return the values to start at: the parameter's own where they are non-negative, else drawn from the law."""
    values = parameter.detach()
    if not values.isfinite().all():
        raise ModelError("a tagged parameter has non-finite entries; initialise the module before wrapping it")
    if (values >= 0).all():
        return values.clone()
    fan_in = math.prod(values.shape[1:]) if values.ndim > 1 else values.numel()
    return law.weight(values.shape, max(fan_in, 1), "relu", generator).to(values)
