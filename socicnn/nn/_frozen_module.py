"""A frozen network as a torch module of x, for what reads torch: exporters of graphs, other people's training code."""

from __future__ import annotations

from typing import Any, final

import torch
from scipy import sparse
from torch import Tensor, nn

from socicnn._arrays import Array
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.nn._activations import softplus
from socicnn.nn._checks import narrowed


@final
class FrozenModule(nn.Module):
    """f(x) of a frozen network, its arrays as buffers.

    Args:
        net: a network of one context.
        dtype: floating type.

    Raises:
        ModelError: the network has stacked contexts, or numbers that the type does not hold.

    >>> from socicnn.frozen import Layer, Output
    >>> module = FrozenModule(FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [1.0])))
    >>> module(torch.tensor([[3.0], [-3.0]], dtype=torch.float64)).tolist()
    [9.0, -3.0]
    """

    context_shape = None

    def __init__(self, net: FrozenNet, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        if net.stacked:
            raise ModelError(f"the network stacks {net.contexts} contexts; choose one: net[i]")
        assert net.input_shape is not None
        self.input_shape = net.input_shape
        self.dtype, self.device = dtype, torch.device("cpu")
        self._net = net
        self._count = 0
        self.layers = [
            (
                self._held(layer.W, f"W{k}") if layer.W.shape[1] else None,
                self._held(layer.U, f"U{k}"),
                self._held(layer.b[0], f"b{k}"),
                [self._term(term, term.weight, f"a term inside layer {k}") for term in layer.inner],
                layer.taus.tolist(),
            )
            for k, layer in enumerate(net.layers, start=1)
        ]
        self.output = [self._held(getattr(net.output, name)[0], name) for name in ("w", "v", "c")]
        quadratics, norms = net.weighted()
        self.terms = [self._term(term, term.weight[0], "a quadratic branch") for term in quadratics]
        self.terms += [self._term(term, term.weight[0], "a norm branch") for term in norms]
        self.smooth = [
            (*self._parts(term, term.prices[0], name), term.rows, term.KIND) for name, term in net.named_exponentials()
        ]

    def _held(self, values: Any, what: str) -> str:
        """Hold an array as a buffer and return its name."""
        dense: Array = values.toarray() if sparse.issparse(values) else values
        name = f"array{self._count}"
        self._count += 1
        self.register_buffer(name, narrowed(torch.tensor(dense), self.dtype, what))
        return name

    def _parts(self, term: Any, weight: Array, what: str) -> tuple[str, str, str]:
        """Hold the weight, the matrix and the offset of a term."""
        held = self._held
        matrix = held(term.matrix, f"the matrix of {what}")
        return held(weight, f"the weight of {what}"), matrix, held(term.offset[0], f"the offset of {what}")

    def _term(self, term: Any, weight: Array, what: str) -> tuple[str, str, str, int, bool]:
        """Hold a term: weight, matrix, offset, rows of each group, whether it is a root."""
        return *self._parts(term, weight, what), term.rows, term.ROOT

    def _values(self, x: Tensor, term: tuple[str, str, str, int, bool]) -> Tensor:
        """Return weight h(M x + o) of each group, shape `(batch, groups)`."""
        weight, matrix, offset, rows, root = term
        p = nn.functional.linear(x, self.get_buffer(matrix), self.get_buffer(offset)).unflatten(-1, (-1, rows))
        h = torch.linalg.vector_norm(p, dim=-1) if root else p.square().sum(dim=-1)
        return self.get_buffer(weight) * h

    def forward(self, x: Tensor) -> Tensor:
        """Return f at points of shape `(batch, *input_shape)`."""
        x = x.flatten(1)
        w, v, c = (self.get_buffer(name) for name in self.output)
        value = x @ v + c
        z: Tensor | None = None
        for W, U, b, inner, taus in self.layers:
            a = nn.functional.linear(x, self.get_buffer(U), self.get_buffer(b))
            if W is not None and z is not None:
                a = a + nn.functional.linear(z, self.get_buffer(W))
            for term in inner:
                a = a + self._values(x, term)
            z = _units(a, taus)
        if z is not None:
            value = value + z @ w
        for term in self.terms:
            value = value + self._values(x, term).sum(dim=-1)
        for prices, matrix, offset, rows, kind in self.smooth:
            p = nn.functional.linear(x, self.get_buffer(matrix), self.get_buffer(offset))
            h = softplus(p) if kind == "logistic" else torch.logsumexp(p.unflatten(-1, (-1, rows)), dim=-1)
            value = value + (self.get_buffer(prices) * h).sum(dim=-1)
        return value


def _units(a: Tensor, taus: list[float]) -> Tensor:
    """Return units with this smoothing, those of one number together: an exporter writes no choice of entries."""
    kinds = sorted(set(taus))
    if len(kinds) == 1:
        return _unit(a, kinds[0])
    places = [[i for i, tau in enumerate(taus) if tau == kind] for kind in kinds]
    picked = [a.index_select(-1, torch.tensor(some, device=a.device)) for some in places]
    parts = [_unit(part, kind) for part, kind in zip(picked, kinds, strict=True)]
    order = [i for some in places for i in some]
    back = torch.tensor([order.index(i) for i in range(len(taus))], device=a.device)
    return torch.cat(parts, dim=-1).index_select(-1, back)


def _unit(a: Tensor, tau: float) -> Tensor:
    return tau * softplus(a / tau) if tau else torch.relu(a)
