"""The base of every network: standardise, read the vectors at the context, evaluate; freeze, finalise, configure."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Self, get_args

import torch
from torch import Tensor, nn

from socicnn._arrays import Array, as_float64
from socicnn._frames import refuse_other_columns
from socicnn._ranges import Ranges
from socicnn._registry import choose
from socicnn.errors import ModelError
from socicnn.frozen import AffinePieces, FrozenNet
from socicnn.nn._checks import as_device, as_dtype, check_call, check_weights, one_or_many
from socicnn.nn._configuration import Blank, described, plain, shown
from socicnn.nn._context import ContextNetwork, ParameterSource, Vector, VectorSource
from socicnn.nn._options import ContextMode, NetOptions
from socicnn.nn._standardise import Standardisation
from socicnn.positivity import initialiser as make_initialiser
from socicnn.positivity import recipe as make_recipe
from socicnn.positivity._base import Shared, Weight, in_evaluation_mode
from socicnn.positivity._encoder import training_points
from socicnn.positivity._projected import Projected

CONTEXTS: tuple[ContextMode, ...] = get_args(ContextMode)


class Network(nn.Module, ABC):
    """A network f(x) or f(x, theta) that is convex in x.

    A subclass builds its weights with `self.weight`, its vectors with `self.finish`, and gives the formula twice: in
    torch (`evaluate`) and as arrays (`assemble`), both in standardised units.

    Args:
        input_shape: shape of one x.
        context_shape: shape of one context theta, or None.
        context: `joint` or `partial`, how the context enters.
        options: how it is made.
        shared_axes: axes of x (and of a context of the same rank) over which standardisation is one number.

    Attributes:
        nonnegative: whether f >= 0 by construction; y_mean is then 0.
        ranges: of the data that it was trained on, and names of columns, set by `fit`, kept by `save`; None before.
    """

    vectors: VectorSource
    renamed: ClassVar[dict[str, str]] = {}  # old names of arguments, in files, and what they are called now
    shared: Shared | None
    nonnegative: bool = False
    ranges: Ranges | None

    def __init__(
        self,
        input_shape: tuple[int, ...],
        context_shape: tuple[int, ...] | None,
        context: ContextMode,
        options: NetOptions,
        *,
        shared_axes: tuple[int, ...] = (),
    ) -> None:
        super().__init__()
        choose("context", context, CONTEXTS)
        self.input_shape = input_shape
        self.context_shape = context_shape
        self.context = context
        self.positivity = make_recipe(options.positivity)
        self.readout = self.positivity if options.readout is None else make_recipe(options.readout)
        self.initialiser = make_initialiser(options.initialiser)
        units = lambda shape: tuple(1 if axis in shared_axes else size for axis, size in enumerate(shape))  # noqa: E731 (local shorthand)
        same_rank = context_shape is not None and len(context_shape) == len(input_shape)
        self.standardisation = Standardisation(
            units(input_shape), units(context_shape) if context_shape is not None and same_rank else context_shape
        )
        points = torch.Size(input_shape).numel() + torch.Size(context_shape or (0,)).numel()
        self.shared = self.positivity.shared(points, options.generator)
        self.ranges = None
        self._options = options

    # what a subclass gives

    @abstractmethod
    def evaluate(self, x: Tensor, vectors: dict[str, Tensor]) -> Tensor:
        """Return the value at standardised x of shape `(*batch, *input_shape)`, in standardised units."""

    @abstractmethod
    def hidden(self, x: Tensor, vectors: dict[str, Tensor]) -> list[Tensor]:
        """Return z_1 .. z_L at standardised x."""

    @abstractmethod
    def assemble(self, vectors: dict[str, Array]) -> FrozenNet:
        """Return the same function of standardised x as float64 arrays.

        Raises:
            ModelError: it has no conic program.
        """

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """Return the arguments that describe the architecture, as JSON values."""

    # what a subclass builds with

    def weight(self, initial: Tensor) -> Weight:
        """Return a non-negative weight held by the network's recipe."""
        return self.positivity.weight(initial, self.shared)

    def source(self, vectors: list[Vector]) -> VectorSource:
        """Return the source of the vectors for no context, or for one that is a vector theta."""
        if self.context_shape is None or self.context == "joint":
            return ParameterSource(vectors, self.positivity, self.shared)
        (features,) = self.context_shape
        return ContextNetwork(vectors, features, self.readout, self._options.generator)

    def finish(self, source: VectorSource) -> None:
        """Take the source of the vectors, then bring every tensor to its type and device: a constructor's last act."""
        self.vectors = source
        self.to(device=as_device(self._options.device), dtype=as_dtype(self._options.dtype))

    # use

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the network."""
        return self.standardisation.x_mean.dtype

    @property
    def device(self) -> torch.device:
        """Where the network's tensors live."""
        return self.standardisation.x_mean.device

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return f(x, theta).

        Args:
            x: points of shape `(*batch, *input_shape)`.
            context: one context for all of x, shape `context_shape`; or contexts whose leading shape broadcasts
                against that of x, axis by axis. Candidates of each context, x of shape `(contexts, candidates, n)`, go
                with a context of shape `(contexts, 1, p)`: what depends on it is then computed once per context.

        Returns:
            Values of shape `(*batch,)`.

        Raises:
            ModelError: a shape or type that does not fit, or a context too few or too many.
        """
        self.check(x, context)
        units = self.standardisation
        return units.y(self.standard_value(units.x(x), None if context is None else units.context(context)))

    def standard_value(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return g, the value in standardised units, at standardised x and contexts; shapes are those of `forward`."""
        return self.evaluate(x, self.vectors(context))

    @in_evaluation_mode
    def freeze(self, context: Any = None) -> FrozenNet:
        """Return the network as float64 arrays at a context.

        Weights are read as in evaluation mode, in the network's own type, then lifted exactly; standardisation and a
        joint context are folded in float64.

        Args:
            context: shape `context_shape`; with one leading axis more, a stack of networks that share their matrices.

        Raises:
            ModelError: it cannot be exported as it is; the message says why and what to do.
        """
        check_weights(self.positivity, self.state_dict())
        theta = self.standard_context(context)
        many = theta is not None and theta.ndim > len(self.context_shape or ())
        with torch.no_grad():
            net = self.assemble(self.vectors.frozen(theta))
        return self.standardisation.fold(net, len(theta) if theta is not None and many else None)

    def max_affine(self, context: Any = None) -> AffinePieces:
        """Return a ReLU network at a context as the maximum of its affine pieces: `freeze(context).max_affine()`."""
        return self.freeze(context).max_affine()

    @torch.no_grad()
    def standard_context(self, context: Any) -> Tensor | None:
        """Return one context, or a stack of them, standardised and in the network's own type.

        Raises:
            ModelError: it is missing or superfluous, of another shape or other columns, or not finite.
        """
        refuse_other_columns(self.ranges, "context", context)
        theta = one_or_many(context, self.context_shape)
        if theta is None:
            return None
        # centred in float64, so that a float32 network loses nothing of contexts far from zero
        return self.standardisation.exact("context", theta).to(self.device, self.dtype)

    def standardise(
        self,
        *,
        x_mean: Any = None,
        x_scale: Any = None,
        context_mean: Any = None,
        context_scale: Any = None,
        y_mean: Any = None,
        y_scale: Any = None,
    ) -> None:
        """Set f(x, theta) = y_mean + y_scale g((x - x_mean) / x_scale, (theta - context_mean) / context_scale).

        It changes the function, so it belongs before training; what is left out stays. `freeze` folds it in.

        Raises:
            ModelError: a scale that is not positive, an entry that is not finite, or a shape that does not fit.
        """
        if self.nonnegative and y_mean is not None and float(as_float64(y_mean, "y_mean")) != 0:
            raise ModelError("a non-negative network keeps y_mean 0, so that f >= 0 is g >= 0; leave y_mean out")
        self.standardisation.assign("x", x_mean, x_scale)
        self.standardisation.assign("context", context_mean, context_scale)
        self.standardisation.assign("y", y_mean, y_scale)

    # training hooks

    def constrained(self) -> Iterator[tuple[str, Weight]]:
        """Yield the name and the holder of each non-negative weight."""
        return ((name, module) for name, module in self.named_modules() if isinstance(module, Weight))

    @property
    def needs_data(self) -> bool:
        """Whether only `finalise(train_data)` gives a network that can be evaluated, exported or decided with."""
        return self.positivity.needs_data

    def condition(self, x: Tensor, context: Tensor | None = None, *, whole: bool = False) -> None:
        """Give recipes whose weights depend on data the batch they are emitted from; nothing to do for the others.

        Args:
            x: points of shape `(*batch, *input_shape)`.
            context: their contexts, as in `forward`.
            whole: whether these are the whole training set, and not a batch.
        """
        if self.shared is None:
            return
        self.check(x, context)
        units = self.standardisation
        self.standard_condition(units.x(x), None if context is None else units.context(context), whole=whole)

    def standard_condition(self, x: Tensor, context: Tensor | None = None, *, whole: bool = False) -> None:
        """Do as `condition` does, at standardised x and contexts."""
        if self.shared is None:
            return
        batch = x.shape[: x.ndim - len(self.input_shape)]
        points = x.reshape(*batch, math.prod(self.input_shape))  # -1 is ambiguous for a batch of none
        if context is not None and self.context_shape is not None:
            lead = context.shape[: context.ndim - len(self.context_shape)]
            theta = context.reshape(*lead, math.prod(self.context_shape))
            points = torch.cat([points, theta.expand(*batch, theta.shape[-1])], dim=-1)
        self.shared.condition(points.reshape(-1, points.shape[-1]), whole=whole)

    def penalty(self) -> Tensor:
        """Return what the recipe adds to the loss; zero for most."""
        terms = [term for _, weight in self.constrained() if (term := weight.penalty()) is not None]
        return torch.stack(terms).sum() if terms else torch.zeros((), dtype=self.dtype, device=self.device)

    def after_step(self) -> None:
        """Let the recipe act after an optimiser step: project, update multipliers."""
        for _, weight in self.constrained():
            weight.after_step()

    def finalise(self, data: Any = None) -> Self:
        """Return a network of the same kind whose weights are plain and exactly non-negative.

        Args:
            data: x, or (x, context), of the whole training set, for recipes whose weights depend on data; tensors or
                arrays.

        Raises:
            ModelError: the recipe needs data and none was given, or data that do not fit or are not finite.
        """
        if self.positivity.needs_data:
            if data is None:
                raise ModelError(
                    f"recipe '{self.positivity.name}' can only be finalised with data: "
                    "call `model.finalise(train_data)`"
                )
            x, context = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
            refuse_other_columns(self.ranges, "x", x, "x of the training data")
            refuse_other_columns(self.ranges, "context", context, "the context of the training data")
            like = self.standardisation.x_mean
            theta = None if context is None else training_points(context, "context", like)
            self.condition(training_points(x, "x", like), theta, whole=True)
        return self.as_plain()

    def as_plain(self) -> Self:
        """Return a network of the same kind with the weights that this one emits now, plain and non-negative."""
        final = type(self).from_config({**self.config(), "positivity": described(Projected())})
        final.to(device=self.device, dtype=self.dtype)
        finals = {name: weight.final() for name, weight in self.constrained()}
        own = self.state_dict()
        state = {}
        for name in final.state_dict():
            holder, _, last = name.rpartition(".")
            state[name] = finals[holder] if holder in finals and last == "theta" else own[name]
        final.load_state_dict(state)
        final.ranges = self.ranges
        return final

    def extra_repr(self) -> str:
        """Return the arguments of the network, without those that have their defaults, and the ranges of its data."""
        entries = shown(self)
        if self.ranges is not None:
            entries["ranges"] = str(self.ranges)
        return ", ".join(f"{name}={text}" for name, text in entries.items())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def check(self, x: Tensor, context: Tensor | None = None) -> None:
        """Raise a ModelError where x or the context cannot be given to the network."""
        check_call(x, context, self.input_shape, self.context_shape, self.dtype)

    # storing

    def config(self) -> dict[str, Any]:
        """Return what makes the same network again, apart from its tensors, as JSON values."""
        return plain(
            {
                **self.architecture(),
                "positivity": described(self.positivity),
                "readout": described(self.readout),
                "initialiser": described(self.initialiser),
            }
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a network with this configuration and weights that mean nothing yet.

        Raises:
            ModelError: an entry is missing, unknown or of the wrong kind.
        """
        try:
            own = {cls.renamed.get(name, name): value for name, value in config.items()}
            law = make_initialiser(**own.pop("initialiser"))
            positivity = make_recipe(**own.pop("positivity"))
            readout = make_recipe(**own.pop("readout"))
            make: Any = cls  # the constructors differ by architecture
            draw = torch.Generator()  # its own, so that torch's generator stays as it is
            network: Self = make(**own, positivity=positivity, readout=readout, initialiser=Blank(), generator=draw)
        except (KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
            raise ModelError(f"the configuration does not describe a {cls.__name__}: {error!r}") from None
        network.initialiser = law
        return network
