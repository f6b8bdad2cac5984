"""The contract of a recipe: how a network keeps a weight non-negative while it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import wraps
from typing import ParamSpec, TypeVar, cast

import torch
from torch import Tensor, nn

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Have a module in evaluation mode for a while; afterwards every part of it has the mode that it had."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def in_evaluation_mode(method: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """Let a method of a module read the weights as in evaluation mode, whatever mode the module is in."""

    @wraps(method)
    def run(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Made:
        with evaluation_mode(cast(nn.Module, arguments[0])):
            return method(*arguments, **keywords)

    return run


def is_batched(tensor: Tensor) -> bool:
    """Return whether `torch.func.vmap` maps over a tensor, within other transforms of `torch.func` too."""
    functorch = torch._C._functorch  # the public interface does not tell
    while not functorch.is_batchedtensor(tensor):
        # the compiler follows the question above alone
        if torch.compiler.is_compiling() or not functorch.is_functorch_wrapped_tensor(tensor):
            return False
        tensor = functorch.get_unwrapped(tensor)
    return True


class Weight(nn.Module, ABC):
    """One non-negative tensor of a network, held as its recipe holds it; call it to read the weight."""

    @abstractmethod
    def forward(self) -> Tensor:
        """Return the weight as the network uses it now."""

    def after_step(self) -> None:
        """Act after an optimiser step, without gradients: project, update multipliers."""

    def floors(self) -> dict[str, float]:
        """Return the least value of each own parameter that `after_step` projects, by name; none for most."""
        return {}

    def penalty(self) -> Tensor | None:
        """Return a term to add to the loss, or None."""
        return None

    @abstractmethod
    def final(self) -> Tensor:
        """Return the exactly non-negative tensor that training ends with, detached."""


def weights_in(module: nn.Module) -> list[Weight]:
    """Return every weight that a recipe holds in a module, those of networks inside it too."""
    return [part for part in module.modules() if isinstance(part, Weight)]


def act_after_step(model: nn.Module) -> None:
    """Let the recipes of a model act: by its own `after_step`, or, of a module around a network, weight by weight."""
    own = getattr(model, "after_step", None)
    for act in [part.after_step for part in weights_in(model)] if own is None else [own]:
        act()


def penalty_of(model: nn.Module) -> Tensor:
    """Return what the recipes of a model add to the loss: by its own `penalty`, or weight by weight."""
    if (own := getattr(model, "penalty", None)) is not None:
        return cast(Tensor, own())
    terms = [term for part in weights_in(model) if (term := part.penalty()) is not None]
    return torch.stack(terms).sum() if terms else torch.zeros(())


class Shared(nn.Module, ABC):
    """What all weights of one network share and what depends on data: the lift's encoder."""

    @abstractmethod
    def condition(self, points: Tensor, *, whole: bool = False) -> None:
        """Take the batch that the weights are emitted from, until the next call.

        Args:
            points: standardised inputs, the context appended, shape `(count, in_features)`.
            whole: whether these are the whole training set, all of which then counts, whatever part of a batch does.
        """


class Recipe(ABC):
    """A way to keep weights non-negative. A recipe is a value: it holds settings, never a network's state."""

    name: str

    def shared(self, in_features: int, generator: torch.Generator | None = None) -> Shared | None:
        """Return the part that all weights of one network share (the lift's encoder), built once; None for most.

        Args:
            in_features: length of the points that it is conditioned on: n, plus the length of the context.
            generator: source of its initial values; defaults to torch's own.
        """
        return None

    @abstractmethod
    def weight(self, initial: Tensor, shared: Shared | None = None) -> Weight:
        """Hold a non-negative tensor that starts at `initial` (entrywise >= 0)."""

    def emit(self, raw: Tensor) -> Tensor:
        """Return the non-negative read-out of what a context network emits; softplus unless the recipe has its own."""
        return nn.functional.softplus(raw)

    @property
    def needs_data(self) -> bool:
        """Whether `finalise` needs data, and using the network before that is refused (the lift)."""
        return False

    def config(self) -> dict[str, object]:
        """Return the settings as JSON values, from which `make(**config)` makes it again; its fields."""
        return asdict(self)  # type: ignore[call-overload]  # ours are dataclasses, others have a `config` of their own
