"""Ensembles: a mean of convex functions is convex, a sum of networks is a network, and all that follows is exact."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, final

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from socicnn._arrays import Matrix
from socicnn._ranges import Ranges
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Logistic, LogSumExp, Norm, Output, Quadratic
from socicnn.frozen._composition import joined
from socicnn.frozen._terms import Term
from socicnn.nn._network import Network


@final
class Ensemble(nn.Module):
    """The mean of networks that take the same x and context: f(x, theta) = (1/K) sum_k f_k(x, theta).

    `freeze` gives one network whose layers lie side by side, so that `decide`, `verify` and every export work on it.

    Args:
        models: networks of equal depth.

    >>> from decision import decide, surrogates, tasks
    >>> task = tasks.make("simplex_socp", features=3, seed=0)
    >>> made = [surrogates.make("soc-partial", 3, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    >>> answer = decide(Ensemble(made), task.feasible_set, task.sample_contexts(4, seed=0))
    >>> bool(answer.certified.all())
    True
    """

    def __init__(self, models: Sequence[Network]) -> None:
        super().__init__()
        if not models:
            raise ModelError("an ensemble needs at least one network")
        self.models = nn.ModuleList(models)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the mean of the values."""
        return torch.stack([model(x, context) for model in self.models]).mean(dim=0)

    @property
    def context_shape(self) -> tuple[int, ...] | None:
        """Shape of one context, as the members take it; None without contexts."""
        first: Any = self.models[0]
        shape: tuple[int, ...] | None = first.context_shape
        return shape

    @property
    def ranges(self) -> Ranges | None:
        """Ranges of the data that any member was trained on; None if one of them was never trained."""
        members: list[Any] = list(self.models)
        known = [model.ranges for model in members if model.ranges is not None]
        return reduce(Ranges.widened, known) if len(known) == len(members) else None

    def freeze(self, context: Any = None) -> FrozenNet:
        """Return the mean as float64 arrays at a context (or a stack of contexts)."""
        frozen: list[Any] = list(self.models)
        return mean_network([model.freeze(context) for model in frozen])


def mean_network(nets: Sequence[FrozenNet]) -> FrozenNet:
    """Return f(x) = (1/K) sum_k f_k(x) as one network: layers side by side, W_k block-diagonal, all branches.

    Args:
        nets: networks of equal depth and input; those with stacked contexts have equally many.

    Raises:
        ModelError: depths, inputs or contexts that differ.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> up, down = (FrozenNet([Layer(None, [[s]], [0.0])], Output([2.0], [0.0])) for s in (1.0, -1.0))
    >>> mean_network([up, down])([[3.0], [-2.0]])
    array([3., 2.])
    """
    if not nets:
        raise ModelError("there are no networks to average")
    depths, inputs = {len(net.layers) for net in nets}, {net.input_shape for net in nets}
    contexts = {net.contexts for net in nets if net.contexts is not None}
    if len(depths) > 1 or len(inputs) > 1 or len(contexts) > 1:
        raise ModelError(
            f"networks that are averaged need equal depth, input and contexts; received depths {sorted(depths)}, "
            f"inputs {sorted(map(str, inputs))} and contexts {sorted(contexts)}"
        )
    share, n, layers = 1.0 / len(nets), nets[0].in_features, []
    for k in range(depths.pop()):
        parts = [net.layers[k] for net in nets]
        W = [part.W for part in parts]
        b = joined([part.b for part in parts])
        U = _stacked([part.U for part in parts])
        hidden = sparse.csr_array(sparse.block_diag(W)) if k else None
        layers.append(Layer(hidden, U, b, **_inner(parts, n), smoothing=np.concatenate([part.taus for part in parts])))
    outputs = [net.output for net in nets]
    return FrozenNet(
        layers=layers,
        output=Output(
            share * joined([output.w for output in outputs]),
            share * sum(output.v for output in outputs),
            share * sum(output.c for output in outputs),
        ),
        quadratics=[Quadratic(share * q.beta, q.A, q.e) for net in nets for q in net.quadratics],
        norms=[Norm(share * r.gamma, r.C, r.d, r.group) for net in nets for r in net.norms],
        input_shape=nets[0].input_shape,
        logsumexps=[LogSumExp(share * s.alpha, s.G, s.o, s.group) for net in nets for s in net.logsumexps],
        logistics=[Logistic(share * s.omega, s.S, s.s) for net in nets for s in net.logistics],
        contexts=contexts.pop() if contexts else None,
    )


def _inner(parts: Sequence[Layer], n: int) -> dict[str, Any]:
    """Return the terms inside layers side by side: groups with zero rows up to one length, weight 0 without a term."""
    inner: dict[str, Any] = {}
    for name, kind in Layer.INNER.items():
        terms: list[Term] = [getattr(part, name) for part in parts]
        rows = max(term.rows for term in terms)
        if not rows:
            continue
        weights, matrices, offsets = [], [], []
        for part, term in zip(parts, terms, strict=True):
            size = part.width * rows
            M = sparse.coo_array(term.matrix)
            place = (np.arange(part.width)[:, None] * rows + np.arange(term.rows)).reshape(-1)
            offset = np.zeros((*term.offset.shape[:-1], size))
            offset[..., place] = term.offset
            weights.append(term.weight)
            matrices.append(sparse.csr_array((M.data, (place[M.row], M.col)), shape=(size, n)))
            offsets.append(offset)
        make: Any = kind
        inner[name] = make(np.concatenate(weights), sparse.csr_array(sparse.vstack(matrices)), joined(offsets))
    return inner


def _stacked(parts: Sequence[Matrix]) -> Matrix:
    if any(sparse.issparse(part) for part in parts):
        return sparse.csr_array(sparse.vstack([sparse.csr_array(part) for part in parts]))
    return np.concatenate(parts)
