"""Decide again and again for one model and one set: what does not depend on the context is computed once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, final

from torch import Tensor
from torch.nn import Module

from decision._minimise.answers import Decision
from decision._minimise.methods import Method
from decision._minimise.moving import MovingVectors
from decision._minimise.surrogate import Surrogate
from decision._options import RTOL, DecideOptions, MethodName
from decision._over_rows import AnySet
from decision._question import Question
from decision._region import Region
from socicnn._compile import Freezable


@final
class Decider:
    """`decide` for one model and one set, prepared once.

    Matrices, the set's extents and what belongs to them are kept, and only vectors are computed for new contexts. With
    the extra `fast`, networks of at most one hidden layer are decided in compiled loops; the first decision after
    installing it waits for the compiler (about half a minute). Verdicts mean what they mean in `decide`.

    Args:
        model_or_net: a trained network, a FrozenNet, or a convex torch module; it is copied, so that later changes of
            its weights do not matter.
        feasible_set: the set X, as in `decide`.
        method: as in `decide`.
        rtol: relative accuracy.
        atol: absolute accuracy, in the units of f.
        region: where the network has learned something.
        options: as in `decide`.
        warm_start: start each context from the last answer of the same row, if a call has as many contexts as the one
            before. For contexts that move slowly, as in control: fewer iterations, the same proofs. Answers then
            depend, within their gaps, on the calls before.

    Raises:
        ModelError: an accuracy, a method or a region that is unknown or invalid.

    >>> import torch
    >>> from decision.sets import Simplex
    >>> from socicnn import SOCICNN
    >>> model = SOCICNN(2, (4,), context_features=1, context="partial", norm=(2,), generator=torch.manual_seed(0))
    >>> decider = Decider(model, Simplex(2))
    >>> [bool(decider([theta]).ok) for theta in (-1.0, 1.0)]
    [True, True]
    """

    def __init__(
        self,
        model_or_net: Freezable | Module,
        feasible_set: AnySet,
        method: MethodName | Method = "auto",
        *,
        rtol: float = RTOL,
        atol: float = 0.0,
        region: Region | Literal["stored"] | None = "stored",
        options: DecideOptions = DecideOptions(),  # noqa: B008 (frozen)
        warm_start: bool = False,
    ) -> None:
        model = copy.deepcopy(model_or_net) if isinstance(model_or_net, Module) else model_or_net
        self._question = _Prepared(model, feasible_set, method, rtol=rtol, atol=atol, region=region, options=options)
        self._question.warm = warm_start

    def __call__(self, context: Any = None, *, start: Any = None, time_limit: float | None = None) -> Decision:
        """Return the decisions for some contexts.

        Args:
            context: contexts, shape `(contexts, p)`, or one, shape `(p,)`; None for a network without.
            start: points to start from, as in `decide`.
            time_limit: seconds for the whole call.

        Raises:
            ModelError: contexts or starting points that do not fit.
        """
        return self._question.answer(context, start, time_limit)

    def __repr__(self) -> str:
        question = self._question
        return (
            f"<Decider: {type(question.model).__name__} over {question.feasible_set!r}, method {question.method.name}>"
        )


class _Prepared(Question):
    """A question whose functions are prepared."""

    _fixed: Sequence[Surrogate] | None = None  # of a model without contexts
    _moving: MovingVectors | None = None
    _asked = False  # whether its vectors have been looked for
    warm = False
    _last: Tensor | None = None  # the decisions of the call before

    def usual_start(self, count: int) -> Tensor | None:
        """Return the decisions of the call before, if they are to start from and as many."""
        return self._last if self._last is not None and len(self._last) == count else None

    def answer(self, context: Any, start: Any = None, time_limit: float | None = None) -> Decision:
        """Answer, and keep the decisions where the next call starts from them."""
        decision = super().answer(context, start, time_limit)
        if self.warm:
            self._last = decision.x if bool(decision.x.isfinite().all()) else None
        return decision

    def surrogates(self, theta: Tensor | None) -> Sequence[Surrogate]:
        """Return the functions to minimise, new vectors on the matrices that are known."""
        if theta is None:
            if self._fixed is None:
                self._fixed = super().surrogates(None)
            return self._fixed
        if not theta.ndim:  # refuses it
            return super().surrogates(theta)
        if not self._asked and len(theta) and self.options.device in (None, "cpu"):
            self._asked, self._moving = True, MovingVectors.of(self.model, theta)
        if self._moving is None or not len(theta):
            return super().surrogates(theta)
        return [self._moving.at(theta)]
