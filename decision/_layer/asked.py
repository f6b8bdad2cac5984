"""The question that a layer asks `decide`: it keeps the functions that were minimised, and their numbers' graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor, nn

from decision._layer.network_tensors import NetworkTensors
from decision._minimise.judging import Judged
from decision._minimise.module_surrogate import ModuleSurrogate
from decision._minimise.reference import Reference, own_length
from decision._minimise.stack import Stack
from decision._minimise.stack_surrogate import Networks, StackSurrogate
from decision._minimise.surrogate import Surrogate
from decision._over_rows import resolved
from decision._question import Question
from decision.sets import FeasibleSet
from socicnn._compile import Freezable


@final
class AskedQuestion(Question):
    """A question that keeps the functions that were minimised: Newton's method needs their arrays, too."""

    asked: Sequence[Surrogate] = ()
    numbers: NetworkTensors | None = None  # of the model, if its arrays can be read off
    leaf: Tensor | None = None  # contexts, in which gradients may be asked for
    graph = False  # whether they are, or may be in the weights
    multipliers: Tensor | None = None  # of the set's rows, where a solver gave them
    known: dict[str, tuple[object, object, Reference]]  # the reference points of the last set, kept by the layer

    @property
    def module(self) -> nn.Module:
        """The model."""
        assert isinstance(self.model, nn.Module)  # the layer takes nothing else
        return self.model

    def _reference_over(self, feasible_set: FeasibleSet) -> Reference:
        last = self.known.get("last")
        if last is None or last[0] is not feasible_set or last[1] is not self.ranges:
            last = self.known["last"] = feasible_set, self.ranges, super()._reference_over(feasible_set)
        return last[2]

    def length(self, count: int, place: torch.device) -> Tensor | None:
        """Return the functions' own length in each context, shape `(contexts,)`; None if it is not known."""
        if len(self.asked) != 1:
            return None
        asked, where = self.asked[0], resolved(self.feasible_set, self.method, proves=self.asked[0].proves)
        if isinstance(asked, StackSurrogate):
            return own_length(asked.stack).to(place).expand(count)
        if isinstance(asked, ModuleSurrogate) and isinstance(where, FeasibleSet):
            own = asked.measured(where, self._reference_over(where).reach).own
            return None if own is None else own.length.to(place).expand(count)
        return None

    def found(self, judged: Judged) -> None:
        """Keep the multipliers."""
        self.multipliers = judged.multipliers

    def surrogates(self, theta: Tensor | None) -> Sequence[Surrogate]:
        """Return the functions to minimise."""
        if self.options.device in (None, "cpu"):
            with torch.set_grad_enabled(self.graph):
                self.numbers = NetworkTensors.of(self.model, self.leaf)
        if self.numbers is None:
            self.asked = super().surrogates(theta)
        else:
            stack = self.numbers.stack()
            short = replace(stack, c=torch.zeros_like(stack.c))
            assert isinstance(self.model, Freezable)  # it has arrays
            self.asked = [StackSurrogate(Networks(model=self.model, theta=theta), short, stack.c)]
        return self.asked


def stack_of(surrogates: Sequence[Surrogate], count: int, place: torch.device) -> Stack | None:
    """Return a network as arrays; None if it has none, softplus units, or other matrices in each context."""
    if len(surrogates) != 1 or not isinstance(surrogates[0], StackSurrogate):
        return None
    asked = surrogates[0]
    if asked.device != place:  # it was decided elsewhere
        asked = StackSurrogate.of(asked.net, place)
    stack = replace(asked.stack, c=asked.constant)
    if stack.smooth or stack.roots:  # pieces of arrays are those of ReLU units
        return None
    return stack if len(stack) == count else stack.take(torch.zeros(count, dtype=torch.int64, device=place))
