"""A stack of networks at new contexts without building the networks: matrices stay, vectors are read off one row.

The numbers are those of `freeze`, bit by bit: the same products in the same order, on arrays that are taken apart once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from decision._minimise.branch import Branch
from decision._minimise.flat import Flat, FlatRows, is_flat
from decision._minimise.stack import Stack, alike
from decision._minimise.stack_surrogate import Networks, StackSurrogate
from socicnn._arrays import Array, IntArray, transform
from socicnn.nn._dense import Dense


@dataclass(frozen=True, eq=False)
class MovingVectors:
    """The vectors of a dense network as functions of the context.

    Args:
        model: the network; its weights must stay as they are.
        stack: the stack of one context, without the constant; its matrices serve all.
        columns: where b, d and e of the stack's parts stand in the row that the network emits, one after the other; the
            length of the row where there is none.
        shift: what standardisation takes off each of them.
        prices: the same places of w, gamma and beta.
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
        if model.signs or model.nonnegative:  # their v is not what the row holds
            return None
        net = model.freeze(theta[:1])  # refuses what has no program
        # terms of exponentials: decided as a module; other activations: other layers
        if net.exponentials or any(name not in ("relu", "softplus") for name in model.activations):
            return None
        standard = model.standard_context(theta[:1])
        assert standard is not None, "a context was given"
        row = model.vectors.row(standard)
        raw = model.assemble(model.vectors.frozen(standard))
        mean, s, y_mean, y_scale = model.standardisation.numbers(model.input_shape)
        m = mean / s
        end = sum(row.sizes)
        places = dict(zip(row.names, np.split(np.arange(end), np.cumsum(row.sizes)[:-1]), strict=True))
        order = [("d", r) for some in alike(raw.norms) for r in some]
        order += [("e", i) for i in range(len(raw.quadratics))]
        terms = {"e": raw.quadratics, "d": raw.norms}
        parts = [(places[f"b{k + 1}"], layer.U) for k, layer in enumerate(raw.layers)]
        for letter, i in order:
            matrix = terms[letter][i].matrix
            parts.append((places.get(f"{letter}{i + 1}", np.full(matrix.shape[0], end)), matrix))
        none = np.zeros(0, dtype=np.int64)
        norms = [places["gamma"][[r for some in alike(raw.norms) for r in some]]] if raw.norms else []
        prices = [*(places[name] for name in ("w",) if name in places), *norms]
        prices += [places[name] for name in ("beta",) if name in places]
        stack = Stack.of(net)
        return cls(
            model,
            replace(stack, c=torch.zeros_like(stack.c)),
            np.concatenate([none, *(where for where, _ in parts)]),
            np.concatenate([np.zeros(0), *(_shift(where, matrix, m) for where, matrix in parts)]),
            np.concatenate([none, *prices]),
            (places["v"], int(places["c"][0])),
            (s, m, y_mean, y_scale),
        )

    def at(self, theta: Tensor) -> StackSurrogate:
        """Return the networks at contexts of shape `(contexts, p)`; they become tensors when a method asks for them."""
        standard = self.model.standard_context(theta)
        assert standard is not None, "a context was given"
        emitted = self.model.vectors.row(standard).values
        row = np.concatenate([emitted, np.zeros((len(emitted), 1))], axis=1)
        s, m, y_mean, y_scale = self.units
        offsets = np.take(row, self.columns, axis=1) - self.shift
        prices = y_scale * np.take(row, self.prices, axis=1)
        v, c = np.take(row, self.heads[0], axis=1), row[:, self.heads[1]]
        constant, slopes = y_mean + y_scale * (c - v @ m), y_scale * v / s
        flat = Flat(FlatRows.of(self.stack), offsets, prices, slopes) if is_flat(self.stack) else None
        networks = Networks(model=self.model, theta=theta)
        return StackSurrogate(networks, partial(self._stack, offsets, prices, slopes), torch.from_numpy(constant), flat)

    def _stack(self, offsets: Array, prices: Array, slopes: Array) -> Stack:
        """Return the networks as tensors."""
        stack, start = self.stack, self.stack.w.shape[1]
        widths = [layer.b.shape[1] for layer in stack.layers]
        used = [*widths, *(branch.offset.shape[1] for branch in (*stack.norms, *stack.quadratics))]
        pieces = iter(torch.from_numpy(offsets).split(used, dim=1) if used else ())
        layers = tuple(replace(layer, b=next(pieces)) for layer in stack.layers)
        weights = torch.from_numpy(prices)
        w = weights[:, :start]

        def moved(branch: Branch) -> Branch:
            nonlocal start
            start, first = start + branch.weight.shape[1], start
            return replace(branch, weight=weights[:, first:start], offset=next(pieces))

        norms, quadratics = (tuple(moved(branch) for branch in terms) for terms in (stack.norms, stack.quadratics))
        v = torch.from_numpy(slopes)
        return Stack(layers, w, v, v.new_zeros(len(v)), quadratics, norms, stack.kept)


def _shift(where: IntArray, matrix: Any, m: Array) -> Array:
    """Return M (m / s), what the mean of x takes off an offset."""
    return np.zeros(len(where)) if not matrix.size else np.asarray(transform(matrix, m)).reshape(-1)
