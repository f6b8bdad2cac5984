"""A stack of networks at new contexts without building the networks: matrices stay, vectors are read off one row.

The numbers are those of `freeze`, bit by bit: the same products in the same order, on arrays that are taken apart once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from decision._minimise.stack import Branch, Stack, alike
from socicnn._arrays import Array, IntArray, transform
from socicnn.nn._dense import Dense


@dataclass(frozen=True, eq=False)
class MovingVectors:
    """The vectors of a dense network as functions of the context.

    Args:
        model: the network; its weights must stay as they are.
        stack: the stack of one context, without the constant; its matrices serve all.
        columns: where b, e and d of the stack's parts stand in the row that the network emits, one after the other; the
            length of the row where there is none.
        shift: what standardisation takes off each of them.
        prices: the same places of w, beta and gamma.
        heads: places of v and c.
        units: x_scale, x_mean / x_scale, y_mean and y_scale.
    """

    model: Dense
    stack: Stack
    columns: IntArray
    shift: Array
    prices: IntArray
    heads: tuple[IntArray, int]
    units: tuple[Array, Array, float, float]

    @classmethod
    def of(cls, model: Any, theta: Tensor) -> MovingVectors | None:
        """Return the vectors of a model with a context; None if they cannot be told apart from its matrices."""
        if not isinstance(model, Dense) or model.context_shape is None or not len(theta):
            return None
        net = model.freeze(theta[:1])  # refuses what has no program
        standard = model.standard_context(theta[:1])
        assert standard is not None, "a context was given"
        row = model.vectors.row(standard)
        raw = model.assemble(model.vectors.frozen(standard))
        mean, s, y_mean, y_scale = model.standardisation.numbers(model.input_shape)
        m = mean / s
        end = sum(row.sizes)
        places = dict(zip(row.names, np.split(np.arange(end), np.cumsum(row.sizes)[:-1]), strict=True))
        order = [("e", i) for i in range(len(raw.quadratics))]
        order += [("d", r) for some in alike(raw.norms) for r in some]
        terms = {"e": raw.quadratics, "d": raw.norms}
        parts = [(places[f"b{k + 1}"], layer.U) for k, layer in enumerate(raw.layers)]
        for letter, i in order:
            matrix = terms[letter][i].matrix
            parts.append((places.get(f"{letter}{i + 1}", np.full(matrix.shape[0], end)), matrix))
        none = np.zeros(0, dtype=np.int64)
        weights = [places[name] for name in ("w", "beta") if name in places]
        norms = [places["gamma"][[r for some in alike(raw.norms) for r in some]]] if raw.norms else []
        stack = Stack.of(net)
        return cls(
            model,
            replace(stack, c=torch.zeros_like(stack.c)),
            np.concatenate([none, *(where for where, _ in parts)]),
            np.concatenate([np.zeros(0), *(_shift(where, matrix, m) for where, matrix in parts)]),
            np.concatenate([none, *weights, *norms]),
            (places["v"], int(places["c"][0])),
            (s, m, y_mean, y_scale),
        )

    def at(self, theta: Tensor) -> tuple[Stack, Tensor]:
        """Return the networks at contexts of shape `(contexts, p)`, without their constants, and these."""
        standard = self.model.standard_context(theta)
        assert standard is not None, "a context was given"
        row = np.pad(self.model.vectors.row(standard).values, [(0, 0), (0, 1)])
        s, m, y_mean, y_scale = self.units
        offsets = torch.from_numpy(np.take(row, self.columns, axis=1) - self.shift)
        prices = torch.from_numpy(y_scale * np.take(row, self.prices, axis=1))
        v, c = np.take(row, self.heads[0], axis=1), row[:, self.heads[1]]
        constant = torch.from_numpy(y_mean + y_scale * (c - v @ m))
        stack, start = self.stack, 0
        widths = [layer.b.shape[1] for layer in stack.layers]
        used = [*widths, *(branch.offset.shape[1] for branch in (*stack.quadratics, *stack.norms))]
        pieces = iter(offsets.split(used, dim=1) if used else ())
        layers = tuple(replace(layer, b=next(pieces)) for layer in stack.layers)
        w, start = prices[:, : stack.w.shape[1]], stack.w.shape[1]

        def moved(branch: Branch) -> Branch:
            nonlocal start
            start, first = start + branch.weight.shape[1], start
            return replace(branch, weight=prices[:, first:start], offset=next(pieces))

        quadratics, norms = (tuple(moved(branch) for branch in terms) for terms in (stack.quadratics, stack.norms))
        slopes = torch.from_numpy(y_scale * v / s)
        return Stack(layers, w, slopes, torch.zeros_like(constant), quadratics, norms, stack.kept), constant


def _shift(where: IntArray, matrix: Any, m: Array) -> Array:
    """Return M (m / s), what the mean of x takes off an offset."""
    return np.zeros(len(where)) if matrix is None else np.asarray(transform(matrix, m)).reshape(-1)
