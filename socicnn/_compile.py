"""From a frozen network to its value-function program, and to the witness that proves a value.

v = (z_1, .., z_L, t, s), cost w'z_L + sum_m beta_m t_m + sum_r gamma_r s_r + v'x + c, and the rows of A v + s = b + B x

    -z_k + W_k z_{k-1} + rho_k t_k + s = -b_k - U_k x,   -z_k + s = 0,   s >= 0
    ((t + 1)/2, (t - 1)/2, A_m x + e_m) in SOC:   t >= ||A_m x + e_m||^2,   inside layers too
    (s, C_r x + d_r) in SOC:   s >= ||C_r x + d_r||,   inside layers too
    sum u <= 1,   (p_j - t, 1, u_j) in Kexp:   t >= log sum_j exp(p_j),   with (-t, 1, u_0) for log(1 + exp(p))

Exact as W_k, rho_k, w and the weights of branches are >= 0: the forward pass is the least feasible point v, and with a
dual point y, the backward pass, it proves f(x).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from types import FunctionType
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, IntArray
from socicnn._witness import Witness as Witness
from socicnn._witness import closed_form
from socicnn.conic._blocks import Block
from socicnn.conic._builder import Builder, SmoothUnits
from socicnn.conic._program import ValueProgram
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Logistic, LogSumExp, Norm, Output, Quadratic
from socicnn.frozen._exponentials import ExpTerm
from socicnn.frozen._terms import Term

Piece: TypeAlias = Literal["b", "q", "d", "r"]

PIECES: tuple[Piece, ...] = ("b", "q", "d", "r")  # the vectors of a program, which a context may move


@runtime_checkable
class Freezable(Protocol):
    """Anything that gives a `FrozenNet`: the networks of `socicnn.nn`, and `FrozenNet` itself."""

    def freeze(self, context: Any = None) -> FrozenNet:
        """Return the network at this context as float64 arrays."""


def frozen(model_or_net: Freezable, context: Any = None) -> FrozenNet:
    """Return `model_or_net` as a FrozenNet at `context`.

    Raises:
        ModelError: it has no `freeze`, or its weights cannot be exported.
    """
    if not isinstance(model_or_net, Freezable):
        inner = getattr(model_or_net, "module", None)  # DataParallel, AveragedModel
        hint = "; pass its .module" if isinstance(inner, Freezable) else ""
        if isinstance(model_or_net, FunctionType):
            hint = ", which has no program; `decide` minimises a torch.nn.Module, `verify.falsify` searches functions"
        if getattr(model_or_net, "needs_data", False):
            hint = ", which is not finalised; pass what `finalise(train_data)` returns"
        raise ModelError(f"expected a socicnn network or a FrozenNet; received {type(model_or_net).__name__}{hint}")
    if context is not None:
        return model_or_net.freeze(context)
    if any(_parameters(model_or_net.freeze).values()):  # of the user's own; networks of `socicnn.nn` say it themselves
        raise ModelError(f"context is missing: {type(model_or_net).__name__}.freeze takes one")
    return model_or_net.freeze()


def takes_context(model: Any) -> bool:
    """Return whether a model takes a context, as its `context_shape` says, or its signatures if it has none.

    They say so where `freeze` needs an argument, or `forward` one more than x or one that is called `context`.
    """
    if hasattr(model, "context_shape"):
        return model.context_shape is not None
    freeze, forward = (_parameters(getattr(model, name, None)) for name in ("freeze", "forward"))
    return any(freeze.values()) or sum(forward.values()) > 1 or "context" in forward


def _parameters(method: Any) -> dict[str, bool]:
    """Return the parameters of a method that may be given by position, and whether each is needed."""
    try:
        parameters = signature(method).parameters.values()
    except (TypeError, ValueError):  # no method, or one that does not tell
        return {}
    places = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return {entry.name: entry.default is Parameter.empty for entry in parameters if entry.kind in places}


def value_program(model_or_net: Freezable, context: Any = None) -> ValueProgram:
    """Return the conic program whose optimal value at x is f(x).

    Args:
        model_or_net: a network, or a FrozenNet.
        context: context theta of shape `(p,)`, or `(contexts, p)` for a stack that shares A and B.

    Raises:
        ModelError: the network has no conic program, or has negative hidden weights.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> net = FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [1.0]))
    >>> value_program(net).row_names
    ['relu1[0]', 'nonnegative1[0]']
    """
    return compile_net(frozen(model_or_net, context)).program


@dataclass(frozen=True, eq=False)
class Compiled:
    """A frozen network and its program.

    Args:
        net: the network.
        program: its value function, quadratics in the plain lift (k = 1).
        quadratics: the branches kept, those of `FrozenNet.weighted`.
        norms: the same.
        exponentials: the terms of exponentials kept.
    """

    net: FrozenNet
    program: ValueProgram
    quadratics: tuple[Quadratic, ...]
    norms: tuple[Norm, ...]
    exponentials: tuple[ExpTerm, ...] = ()

    def part(self, contexts: slice | IntArray) -> Compiled:
        """Return the same with some of the stacked contexts; itself if there is one context only."""
        if not self.net.stacked:
            return self
        quadratics = tuple(quad.take(contexts) for quad in self.quadratics)
        norms = tuple(norm.take(contexts) for norm in self.norms)
        exponentials = tuple(term.take(contexts) for term in self.exponentials)
        return Compiled(self.net[contexts], self.program[contexts], quadratics, norms, exponentials)

    def witness(self, x: Array) -> Witness:
        """Return the closed-form primal and dual points: one forward and one backward pass, no solver.

        At a kink (a = 0, or a norm at zero) lambda = 0 and u = 0 are chosen; every valid choice would do.

        Args:
            x: points of shape `(count, n)`; with stacked contexts, row i belongs to context i.
        """
        own = self.columns(x)
        return Witness(*(np.ascontiguousarray(array) for array in (own.v, own.y, own.k)))

    def columns(self, x: Array, activations: Sequence[Array] | None = None) -> Witness:
        """Return the same as views whose transposes are contiguous: one column per point, as checks compute with.

        Args:
            x: the points.
            activations: those of a forward pass at them, as `net.values` gives them; computed if omitted.
        """
        terms = self.quadratics, self.norms, self.exponentials
        return closed_form(self.net, *terms, self.program.A.shape, x, activations)


def compile_net(net: FrozenNet) -> Compiled:
    """Assemble the program of a network; a branch without weight is left out, as `FrozenNet.weighted` says.

    Rows, in order: relu_k and nonnegative_k of each layer, the cones of the terms inside layers, those of the quadratic
    branches, those of the norms. A quadratic inside a layer has its own t with no cost, and a norm its own s; the row
    of its unit is -z_i + (W z)_i + rho_i t_i + s = -b_i - U_i x, for norms alike. Softplus units have the rows sum_k,
    u_i + u'_i <= tau_i, in place of relu_k, and the exponential cones softplus_k after all others:
    exp((a - z) / tau) + exp(-z / tau) <= 1. A layer of both has the rows relu_k of its ReLU units, then the rows sum_k
    of its softplus units, each in their order. Terms of exponentials have the rows sum u <= 1 after those of the
    layers, and their cones last.
    """
    build = Builder(net.in_features, net.batch)
    previous = None
    inside: list[tuple[Block, str, Term]] = []
    smooth: list[tuple[str, SmoothUnits, Layer]] = []
    for k, layer in enumerate(net.layers, start=1):
        h = layer.b.shape[-1]
        entries: list[tuple[Block, sparse.csr_array]] = []
        if previous is not None:
            entries.append((previous, sparse.csr_array(layer.W)))
        for part in layer.inner:  # before z, so that every variable depends on earlier ones only
            variable, cones = (f"{name}{k}" for name in part.NAMES)
            t = build.columns(variable, "length" if part.ROOT else "square", h)
            entries.append((t, sparse.diags_array(part.weight, format="csr")))
            inside.append((t, cones, part))
        z = build.columns(f"z{k}", "activation", h)
        identity = sparse.eye_array(h, format="csr")
        soft = np.flatnonzero(layer.taus)
        if len(soft) < h:
            hard = np.flatnonzero(layer.taus == 0)
            rows = _rows([*entries, (z, -identity)], hard)
            U = -sparse.csr_array(layer.U)[hard]
            build.nonnegative(f"relu{k}", "relu", rows, U, -layer.b[..., hard])  # z_k - W_k z_{k-1} >= U_k x + b_k
        if len(soft):
            u = build.columns(f"u{k}", "exponential", 2 * len(soft))
            smooth.append((f"softplus{k}", SmoothUnits(z, u, _rows(entries, soft), soft), layer))
            each = sparse.eye_array(len(soft), format="csr")
            both = sparse.hstack([each, each], format="csr")
            build.nonnegative(f"sum{k}", "softplus", [(u, both)], None, layer.taus[soft])
        build.nonnegative(f"nonnegative{k}", "nonnegative", [(z, -identity)], None, np.zeros(h))
        previous = z
    if previous is not None:
        build.cost(previous, net.output.w)
    build.affine(net.output.v, net.output.c)
    exponentials = [(name, term, *_shares(build, name, term)) for name, term in net.named_exponentials()]
    quadratics, norms = net.weighted()
    for t, name, own in inside:
        add = build.lengths if own.ROOT else build.rotated
        add(name, t, sparse.csr_array(own.matrix), own.offset)
    for m, quad in enumerate(quadratics, start=1):
        build.quadratic(f"quadratic{m}", quad.beta, sparse.csr_array(quad.A), quad.e)
    for r, norm in enumerate(norms, start=1):
        build.norm(f"norm{r}", norm.gamma, sparse.csr_array(norm.C), norm.d, norm.group)
    for name, units, layer in smooth:
        places = units.places
        build.softplus(name, units, layer.taus[places], sparse.csr_array(layer.U)[places], layer.b[..., places])
    for name, term, t, u in exponentials:
        if isinstance(term, Logistic):
            units = SmoothUnits(t, u, [], np.arange(term.groups))
            build.softplus(name, units, np.ones(term.groups), term.S, term.s)
        else:
            build.log_sum_exp(name, t, u, term.matrix, term.offset)
    terms = tuple(term for _, term, *_ in exponentials)
    return Compiled(net, build.program(), tuple(quadratics), tuple(norms), terms)


def _rows(entries: list[tuple[Block, sparse.csr_array]], places: IntArray) -> list[tuple[Block, sparse.csr_array]]:
    """Return some rows of the matrices."""
    return [(block, sparse.csr_array(matrix[places])) for block, matrix in entries]


def _shares(build: Builder, name: str, term: ExpTerm) -> tuple[Block, Block]:
    """Add t and u of a term of exponentials, and the rows sum u <= 1; u of log(1 + exp(p)): of all p, then of all 0."""
    logistic = isinstance(term, Logistic)
    t = build.columns(f"t_{name}", term.KIND, term.groups)
    u = build.columns(f"u_{name}", "exponential", term.matrix.shape[0] * (2 if logistic else 1))
    eye, run = sparse.eye_array(term.groups, format="csr"), np.ones((1, 2 if logistic else term.rows))
    both = sparse.kron(run, eye, format="csr") if logistic else sparse.kron(eye, run, format="csr")
    build.cost(t, term.prices)
    kind = "softplus" if logistic else "logsumexp"
    build.nonnegative(f"sum_{name}", kind, [(u, both)], None, np.ones(term.groups))
    return t, u


def pieces_of(program: ValueProgram) -> dict[Piece, Array]:
    """Return b, q, d and r of a program, or of the first of a stack, each as a vector; r has length 1."""
    b, q, d = (np.atleast_2d(vector)[0] for vector in (program.b, program.q, program.d))
    return {"b": b, "q": q, "d": d, "r": np.atleast_1d(program.r)[:1]}


def with_pieces(template: Compiled, pieces: Mapping[Piece, Array]) -> Compiled:
    """Return the network and the program that share the matrices of `template` and have these vectors.

    Args:
        template: a stack of networks, or one, with every branch in its program.
        pieces: b of shape `(m,)`, q of `(variables,)`, d of `(n,)`, r of `(1,)`.

    Raises:
        ModelError: a weight in q is negative, or an entry is not finite.
    """
    b, q, d, r = (np.asarray(pieces[name], dtype=np.float64).reshape(-1) for name in PIECES)
    program = replace(template.program, b=b, q=q, d=d, r=r[0])
    rows = {block.name: block for block in program.rows}
    columns = {block.name: block for block in program.columns}
    part = lambda vector, block: vector[block.start : block.stop]  # noqa: E731 (local shorthand)

    def layer(k: int, shared: Layer) -> Layer:
        own: dict[str, Any] = {}
        for name, term in shared.named_inner():
            own[name] = term.changed(g=_bodies(b, rows[f"{term.NAMES[1]}{k}"], term.rows, 1 if term.ROOT else 2))
        bias, soft = np.empty(shared.width), shared.taus > 0
        if soft.any():
            bias[soft] = part(b, rows[f"softplus{k}"])[: 3 * np.count_nonzero(soft) : 3]
        if not soft.all():
            bias[~soft] = -part(b, rows[f"relu{k}"])
        return shared.changed(b=bias, **own)

    depth = len(template.net.layers)
    w = part(q, columns[f"z{depth}"]) if depth else np.zeros(0)
    quadratics = tuple(
        Quadratic(q[columns[f"t_quadratic{m}"].start], quad.A, _bodies(b, rows[f"quadratic{m}"], quad.rows, 2))
        for m, quad in enumerate(template.quadratics, start=1)
    )
    norms = tuple(
        Norm(q[columns[f"s_norm{i}"].start], norm.C, _bodies(b, rows[f"norm{i}"], norm.group), norm.group)
        for i, norm in enumerate(template.norms, start=1)
    )
    layers = [layer(k, shared) for k, shared in enumerate(template.net.layers, start=1)]
    logsumexps, logistics = [], []
    for i, smooth in enumerate((term for term in template.exponentials if isinstance(term, LogSumExp)), start=1):
        heads = part(b, rows[f"logsumexp{i}"])[::3]
        logsumexps.append(LogSumExp(q[columns[f"t_logsumexp{i}"].start], smooth.G, heads, smooth.group))
    for i, soft in enumerate((term for term in template.exponentials if isinstance(term, Logistic)), start=1):
        heads = part(b, rows[f"logistic{i}"])[: 3 * soft.groups : 3]
        logistics.append(Logistic(part(q, columns[f"t_logistic{i}"]), soft.S, heads))
    net = FrozenNet(layers, Output(w, d, r[0]), quadratics, norms, template.net.input_shape, logsumexps, logistics)
    return Compiled(net, program, tuple(net.quadratics), tuple(net.norms), net.exponentials)


def _bodies(b: Array, block: Block, rows: int, top: int = 1) -> Array:
    """Return the offsets of terms from their cones (s, p), or ((t + 1)/2, (t - 1)/2, p), of `top` rows before p."""
    return b[block.start : block.stop].reshape(-1, rows + top)[:, top:].reshape(-1)
