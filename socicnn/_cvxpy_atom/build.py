"""From a network, x and a context to one CVXPY expression, or to one per context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cvxpy as cp
from cvxpy.atoms.affine.reshape import reshape

from socicnn._compile import Freezable, compile_net, frozen
from socicnn._cvxpy_atom.atom import Held, NetworkCost, network_cost
from socicnn.errors import ModelError, ProgramError
from socicnn.frozen import FrozenNet

if TYPE_CHECKING:
    from socicnn._cvxpy_atom.parameters import ContextParameters


def to_cvxpy(model_or_net: Freezable, x: Any, context: Any = None) -> Any:
    """Return f(x, theta) as one convex CVXPY expression: an atom that brings its own constraints.

    Use it where CVXPY takes a convex expression: in an objective to minimise, on the left of `<=`, in sums and maxima;
    `Maximize(cost)` and `cost >= number` are refused as not DCP. `cost.value` is the network's own value at `x.value`,
    `cost.grad` a subgradient of f. Where its arrays show it, CVXPY knows that f is non-negative, or monotone in x (x
    may then be convex, or concave).

    Where x or the context is a Parameter the problem is DPP: it is compiled once, and solved again for new values. A
    Parameter as context needs a network of `socicnn.nn`, whose weights are those of this call.

    Args:
        model_or_net: a network, or a FrozenNet.
        x: a `cvxpy.Variable`, `Parameter` or affine expression of shape `(n,)`, `(n, 1)`, `(1, n)`, or the network's
            input shape; entries are read row by row.
        context: context theta of shape `context_shape`: an array, a `cvxpy.Parameter`, or an expression of Parameters.
            With one axis more, or for a FrozenNet that stacks contexts, the result is a list, one cost per context.
            `socicnn.ContextParameters` for a layer of cvxpylayers.

    Returns:
        The expression, of shape `()`, or a list of them.

    Raises:
        ModelError: the network has no conic program, or has negative hidden weights; or the context
            has another shape, or other columns than the network was trained with.
        ProgramError: x is not affine, or has another shape; or the context holds variables, or is complex.

    >>> import cvxpy as cp
    >>> from socicnn.frozen import FrozenNet, Layer, Output
    >>> net = FrozenNet([Layer(None, [[1.0]], [0.0])], Output([2.0], [-1.0]))
    >>> z = cp.Variable(1)
    >>> cost = to_cvxpy(net, z)
    >>> round(float(cp.Problem(cp.Minimize(cost + z[0] / 4), [z >= -1, z <= 1]).solve(cp.CLARABEL)), 6)
    0.0
    """
    if isinstance(context, cp.Expression):
        if context.variables():
            raise ProgramError(
                f"the context must not hold variables; received {context}: f is convex in x alone, so give the "
                "context a value, or make it a cvxpy.Parameter"
            )
        if context.is_complex():
            raise ProgramError("the context must be real; received a complex expression: give cvxpy.real(context)")
        if context.parameters():
            return _following(model_or_net, x, context)
        context = context.value
    if hasattr(context, "parameters"):  # of ContextParameters, which bring torch
        return _given(model_or_net, x, context)
    net = frozen(model_or_net, context)
    if not net.stacked:
        return _fixed(net, x)
    return [_fixed(net[i], x) for i in range(*net.batch)]


def _fixed(net: FrozenNet, x: Any) -> NetworkCost:
    """Return the cost of a network at its own context."""
    return _checked(network_cost(_flat(x, net), Held(compile_net(net))), x)


def _following(model: Any, x: Any, context: Any) -> NetworkCost | list[NetworkCost]:
    """Return the cost of a network whose context is a Parameter, or one cost per row of it."""
    from socicnn._cvxpy_atom.context_program import ContextProgram
    from socicnn._cvxpy_atom.following import following

    moving = ContextProgram.of(model)
    held = Held(moving.template, moving.moved)
    flat = _flat(x, moving.template.net)

    def cost(theta: Any) -> NetworkCost:
        return _checked(network_cost(flat, theta, *following(moving, theta), held), x)

    many = len(context.shape) == len(moving.context_shape) + 1 and tuple(context.shape[1:]) == moving.context_shape
    return [cost(context[i]) for i in range(context.shape[0])] if many else cost(context)


def _given(model: Any, x: Any, explicit: ContextParameters) -> NetworkCost:
    """Return the cost of a network whose pieces are explicit Parameters."""
    from socicnn._cvxpy_atom.parameters import ContextParameters

    if not isinstance(explicit, ContextParameters):
        raise ModelError(
            f"context must be an array, a cvxpy.Parameter or ContextParameters; received {type(explicit).__name__}"
        )
    if explicit.model is not model:
        raise ModelError("these ContextParameters belong to another network; make them of the network that you export")
    held = Held(explicit.map.template, explicit.map.moved)
    return _checked(network_cost(_flat(x, explicit.map.template.net), *explicit.parameters, held), x)


def _checked(cost: NetworkCost, x: Any) -> NetworkCost:
    """Return the cost, convex by CVXPY's rules.

    Raises:
        ProgramError: x is not affine, and f is not known to be monotone the way that x needs.
    """
    if not cost.is_convex():
        raise ProgramError(
            f"x must be affine in the problem's variables; received a {x.curvature.lower()} expression, and the "
            "network is not known to be monotone: give the inner expression a Variable of its own and constrain it"
        )
    return cost


def _flat(x: Any, net: FrozenNet) -> Any:
    """Return a CVXPY expression of x as a vector of length n, in row-major order.

    Raises:
        ProgramError: x is not a CVXPY expression, is complex, or has another shape.
    """
    n, shape = net.in_features, net.input_shape
    if not isinstance(x, cp.Expression):
        raise ProgramError(
            f"x must be a CVXPY Variable, Parameter or affine expression; received {type(x).__name__}: "
            "for the value at a number call the network, or solve value_program(network).at(x)"
        )
    if x.is_complex():
        raise ProgramError("x must be real; received a complex expression: give cvxpy.real(x)")
    allowed = list(dict.fromkeys([(n,), (n, 1), (1, n), *([tuple(shape)] if shape else []), *([()] if n == 1 else [])]))
    if x.shape not in allowed:
        raise ProgramError(f"x must have shape {' or '.join(map(str, allowed))}; received {x.shape}")
    return x if x.shape == (n,) else reshape(x, (n,), order="C")
