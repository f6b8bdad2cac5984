"""From a frozen network to its value-function program, and to the witness that proves a value.

The forward pass is a primal point v of the program, the backward pass a dual point y; together they prove f(x).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from scipy import sparse

from socicnn.arrays import Array, IntArray
from socicnn.conic.blocks import Block
from socicnn.conic.builder import Builder
from socicnn.conic.program import ValueProgram
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Norm, Quadratic, Squares
from socicnn.frozen.parts import picked
from socicnn.witness import Witness as Witness
from socicnn.witness import closed_form

if TYPE_CHECKING:
    import cvxpy


@runtime_checkable
class Freezable(Protocol):
    """Anything that gives a `FrozenNet`: the networks of `socicnn.nn`, and `FrozenNet` itself."""

    def freeze(self, context: Any = None) -> FrozenNet:
        """Return the network at this context as float64 arrays."""
        ...


def frozen(model_or_net: Freezable, context: Any = None) -> FrozenNet:
    """Return `model_or_net` as a FrozenNet at `context`.

    Raises:
        ModelError: it has no `freeze`, or its weights cannot be exported.
    """
    if not isinstance(model_or_net, Freezable):
        inner = getattr(model_or_net, "module", None)  # DataParallel, AveragedModel
        hint = "; pass its .module" if isinstance(inner, Freezable) else ""
        if getattr(model_or_net, "needs_data", False):
            hint = ", which is not finalised; pass what `finalise(train_data)` returns"
        raise ModelError(f"expected a socicnn network or a FrozenNet; received {type(model_or_net).__name__}{hint}")
    return model_or_net.freeze() if context is None else model_or_net.freeze(context)


def value_program(model_or_net: Freezable, context: Any = None) -> ValueProgram:
    """Return the conic program whose optimal value at x is f(x).

    Args:
        model_or_net: a network, or a FrozenNet.
        context: context theta of shape `(p,)`, or `(contexts, p)` for a stack that shares A and B.

    Raises:
        ModelError: the network is not second-order-cone representable, or has negative hidden weights.

    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> net = FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [1.0]))
    >>> value_program(net).row_names
    ['relu1[0]', 'nonnegative1[0]']
    """
    return compile_net(frozen(model_or_net, context)).program


def to_cvxpy(model_or_net: Freezable, x: Any, context: Any = None) -> tuple[cvxpy.Expression, list[cvxpy.Constraint]]:
    """Return f(x) as a CVXPY expression, and the constraints that belong to it.

    CVXPY knows the expression as convex: use it in an objective to minimise, or on the left of `cost <= number`;
    `Maximize(cost)` and `cost >= number` are refused as not DCP. Where x is a Parameter the problem is DPP, so that
    it is compiled once. `cost.value` is the network's value at `x.value`, before a solve and after.

    Args:
        model_or_net: a network, or a FrozenNet.
        x: a `cvxpy.Variable`, `Parameter` or affine expression of shape `(n,)`, `(n, 1)`, or the network's input shape.
        context: one context theta of shape `(p,)`.

    Returns:
        The expression and its constraints; add all of them to the problem.

    Raises:
        ModelError: the network is not second-order-cone representable, or has negative hidden weights.
        ProgramError: x is not affine, or has another shape; or several contexts were given.

    >>> import cvxpy as cp
    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> net = FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [-1.0]))
    >>> z = cp.Variable(1)
    >>> cost, constraints = to_cvxpy(net, z)
    >>> round(float(cp.Problem(cp.Minimize(cost + z[0] / 4), [*constraints, z >= -1, z <= 1]).solve(cp.CLARABEL)), 6)
    0.0
    """
    from socicnn.conic.export.cvxpy import to_cvxpy as export

    net = frozen(model_or_net, context)
    return export(compile_net(net).program, x, net.input_shape, lambda point: float(net(point)[0]))


@dataclass(frozen=True, eq=False)
class Compiled:
    """A frozen network beside its program.

    Args:
        net: the network.
        program: its value function, quadratics in the plain lift (k = 1).
        quadratics: the branches kept, those of `FrozenNet.weighted`.
        norms: the same.
    """

    net: FrozenNet
    program: ValueProgram
    quadratics: tuple[Quadratic, ...]
    norms: tuple[Norm, ...]

    def part(self, contexts: slice | IntArray) -> Compiled:
        """Return the same with some of the stacked contexts; itself where there is one context only."""
        if self.net.contexts is None:
            return self
        pick = lambda branches: tuple(picked(branch, contexts) for branch in branches)  # noqa: E731 (local shorthand)
        return Compiled(self.net[contexts], self.program[contexts], pick(self.quadratics), pick(self.norms))

    def witness(self, x: Array) -> Witness:
        """Return the closed-form primal and dual points: one forward and one backward pass, no solver.

        At a kink (a = 0, or a norm at zero) lambda = 0 and u = 0 are chosen; every valid choice would do.

        Args:
            x: points of shape `(count, n)`; with stacked contexts, row i belongs to context i.
        """
        own = self.columns(x)
        return Witness(*(np.ascontiguousarray(array) for array in (own.v, own.y, own.k)))

    def columns(self, x: Array) -> Witness:
        """Return the same as views whose transposes are contiguous: one column per point, as checks compute with."""
        return closed_form(self.net, self.quadratics, self.norms, self.program.A.shape, x)


def compile_net(net: FrozenNet) -> Compiled:
    """Assemble the program of a network; a branch without weight is left out, as `FrozenNet.weighted` says.

    Rows, in order: relu_k and nonnegative_k of each layer, the cones of the quadratics inside layers, those of the
    quadratic branches, those of the norms. A quadratic inside a layer has its own t with no cost; the row of its unit
    is -z_i + (W z)_i + rho_i t_i + s = -b_i - U_i x.
    """
    build = Builder(net.in_features, net.contexts)
    previous = None
    inside: list[tuple[str, Block, Squares]] = []
    for k, layer in enumerate(net.layers, start=1):
        h = layer.b.shape[-1]
        entries: list[tuple[Block, sparse.csr_array]] = []
        if layer.W is not None and previous is not None:
            entries.append((previous, sparse.csr_array(layer.W)))
        if layer.squares is not None:  # before z, so that every variable depends on earlier ones only
            t = build.columns(f"t_layer{k}", "square", h)
            entries.append((t, sparse.diags_array(layer.squares.rho, format="csr")))
            inside.append((f"layer{k}", t, layer.squares))
        z = build.columns(f"z{k}", "activation", h)
        identity = sparse.eye_array(h, format="csr")
        entries.append((z, -identity))
        U = None if layer.U is None else -sparse.csr_array(layer.U)
        build.nonnegative(f"relu{k}", "relu", entries, U, -layer.b)  # z_k - W_k z_{k-1} >= U_k x + b_k
        build.nonnegative(f"nonnegative{k}", "nonnegative", [(z, -identity)], None, np.zeros(h))
        previous = z
    if previous is not None:
        build.cost(previous, net.output.w)
    build.affine(net.output.v, net.output.c)
    quadratics, norms = net.weighted()
    for name, t, squares in inside:
        build.squares(name, t, sparse.csr_array(squares.F), squares.g)
    for m, quad in enumerate(quadratics, start=1):
        build.quadratic(f"quadratic{m}", quad.beta, sparse.csr_array(quad.A), quad.e)
    for r, norm in enumerate(norms, start=1):
        build.norm(f"norm{r}", norm.gamma, sparse.csr_array(norm.C), norm.d, norm.group or norm.C.shape[0])
    return Compiled(net, build.program(), tuple(quadratics), tuple(norms))
