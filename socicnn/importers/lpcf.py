"""From the weights of lpcf's parametric convex function to the parts of a frozen network at one context.

psi(theta) = (W_j, V_j, omega_j, C, d), a network of its own with skips from theta, and with s the activation
z_1 = V_1 x + omega_1,  z_{j+1} = max(W_j, 0) s(z_j) + V_{j+1} x + omega_{j+1},  f = z_L + ||C x||^2 + ||d x||^2

Reference: Schaller, Bemporad and Boyd, "Learning parametric convex functions", 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from scipy import sparse

from socicnn._arrays import Array, as_float64
from socicnn._registry import choose
from socicnn.errors import ModelError
from socicnn.frozen._bundle import Parts
from socicnn.importers._agreement import Imported, demand
from socicnn.importers._assemble import assemble
from socicnn.importers._value import Value

N = TypeVar("N", bound=Imported)
A = TypeVar("A", bound=Any)  # a NumPy array or a torch tensor

_SLOPE = 0.1  # of leaky-relu below zero
_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": lambda a: np.maximum(a, 0.0),
    "logistic": lambda a: np.logaddexp(0.0, a),
    "leaky-relu": lambda a: np.maximum(_SLOPE * a, a),
    "swish": lambda a: a * np.exp(-np.logaddexp(0.0, -a)),
}
_CONVEX = ("leaky-relu", "logistic", "relu")
_DEFAULTS: dict[str, Any] = {
    "widths": None,
    "widths_psi": None,
    "activation": "relu",
    "activation_psi": None,
    "nonneg": False,
    "increasing": False,
    "decreasing": False,
    "quadratic": False,
    "quadratic_r": None,
    "classification": False,
}
_TOLERANCE = 1e-11  # lpcf computes in float64; psi amplifies its roundings


def from_lpcf(
    make: Callable[[Parts], N],
    weights: Sequence[Any],
    context: Any,
    settings: Mapping[str, Any],
    *,
    check: tuple[Any, Any] | None = None,
) -> N:
    """Return the network that `make` builds of lpcf's weights; see `FrozenNet.from_lpcf`."""
    unknown = sorted(set(settings) - set(_DEFAULTS))
    if unknown:
        choose("setting of lpcf's PCF", unknown[0], _DEFAULTS)
    asked = {**_DEFAULTS, **settings}
    for name, known in (("activation", _CONVEX), ("activation_psi", tuple(_ACTIVATIONS))):
        if name == "activation" or asked[name] is not None:
            asked[name] = str(asked[name]).lower()
            choose(name, asked[name], known)
    arrays = [as_float64(weight) for weight in weights]
    out = _at_context(arrays, context, _ACTIVATIONS[asked["activation_psi"] or asked["activation"]])
    n, shapes = _fitting(len(out), asked)
    net = make(_parts(np.split(out, np.cumsum([int(np.prod(s)) for s in shapes])[:-1]), shapes, n, asked))
    if check is not None:
        demand(net, check, _TOLERANCE, "were the settings those of the PCF, and the context that of the values?")
    return net


def psi(weights: Sequence[A], theta: A, activation: Callable[[A], A]) -> A:
    """Return what psi emits, o_M: o_1 = V_1 theta + omega_1 and o_{j+1} = W_{j+1} s(o_j) + V_{j+1} theta + omega_{j+1}.

    Args:
        weights: lpcf's list W_2 .. W_M, V_1 .. V_M, omega_1 .. omega_M: NumPy arrays, or torch tensors.
        theta: standardised contexts of the same kind, shape `(*batch, p)`.
        activation: s.
    """
    depth = (len(weights) + 1) // 3
    W, V, omega = weights[: depth - 1], weights[depth - 1 : 2 * depth - 1], weights[2 * depth - 1 :]
    out = theta @ V[0].T + omega[0][:, 0]
    for j in range(1, depth):
        out = activation(out) @ W[j - 1].T + theta @ V[j].T + omega[j][:, 0]
    return out


def sections(n: int, widths: Sequence[int], quadratic: int | None) -> list[tuple[int, ...]]:
    """Return the shapes of what psi emits, in lpcf's order: W_2 .., V_1 .., omega_1 .., C, d.

    Args:
        n: length of x.
        widths: hidden widths of the network in x.
        quadratic: rows of C, with a diagonal d; 0 for a triangular C without one; None for no quadratic term.
    """
    widths = (*widths, 1)
    shapes: list[tuple[int, ...]] = [(h, below) for below, h in pairwise(widths)]
    shapes += [(h, n) for h in widths] + [(h,) for h in widths]
    if quadratic == 0:
        shapes.append((n * (n + 1) // 2,))
    elif quadratic is not None:
        shapes += [(quadratic, n), (n,)]
    return shapes


def _at_context(arrays: list[Array], context: Any, activation: Callable[[Array], Array]) -> Array:
    """Return what psi emits at one context, shape `(size,)`."""
    depth, left = divmod(len(arrays) + 1, 3)
    if left or not depth or any(array.ndim != 2 for array in arrays):
        raise ModelError(
            "weights must be the list pcf.model.params, 3 M - 1 matrices for M layers of psi; received "
            f"{len(arrays)} arrays of shapes {[array.shape for array in arrays]}"
        )
    theta, entries = as_float64(context).reshape(-1), arrays[depth - 1].shape[1]
    if len(theta) != entries:
        raise ModelError(f"context must have {entries} entries; received shape {np.shape(context)}")
    try:
        return psi(arrays, theta, activation)
    except ValueError as error:
        raise ModelError(f"weights do not fit each other: {error}; pass the list pcf.model.params whole") from error


def _fitting(size: int, asked: Mapping[str, Any]) -> tuple[int, list[tuple[int, ...]]]:
    """Return the length of x for which psi emits `size` numbers, and their shapes."""
    quadratic = int(asked["quadratic_r"] or 0) if asked["quadratic"] else None
    for n in range(1, size + 1):
        inner = 2 * ((n + 1) // 2)
        shapes = sections(
            n, [int(h) for h in ([inner, inner] if asked["widths"] is None else asked["widths"])], quadratic
        )
        total = sum(int(np.prod(shape)) for shape in shapes)
        if total == size:
            return n, shapes
        if total > size:
            break
    raise ModelError(
        f"psi emits {size} numbers, which no x gives for widths {asked['widths']}, quadratic {asked['quadratic']} and "
        f"quadratic_r {asked['quadratic_r']}; pass the settings that the PCF was made with"
    )


def _parts(flat: list[Array], shapes: list[tuple[int, ...]], n: int, asked: Mapping[str, Any]) -> Parts:
    """Return the parts of f, written out as an expression of x."""
    arrays = [part.reshape(shape) for part, shape in zip(flat, shapes, strict=True)]
    quadratics = 0 if not asked["quadratic"] else 1 if asked["quadratic_r"] is None else 2
    depth = (len(arrays) - quadratics + 1) // 3
    W, V, omega = arrays[: depth - 1], arrays[depth - 1 : 2 * depth - 1], arrays[2 * depth - 1 : 3 * depth - 1]
    if asked["increasing"] or asked["decreasing"]:
        sign = 0.0 if asked["increasing"] and asked["decreasing"] else 1.0 if asked["increasing"] else -1.0
        V = [sign * np.maximum(part, 0.0) for part in V]
    x = Value((n,), np.zeros(n), sparse.eye_array(n, format="csr"))
    z = x.mapped(V[0], (len(V[0]),)).plus(omega[0])
    for k, (weight, own, offset) in enumerate(zip(W, V[1:], omega[1:], strict=True), start=1):
        units = z.made("relu", f"layer {k}", smoothing=1.0 if asked["activation"] == "logistic" else 0.0)
        if asked["activation"] == "leaky-relu":
            units = z.times(np.array(_SLOPE)).plus(units.times(np.array(1.0 - _SLOPE)))
        z = units.mapped(np.maximum(weight, 0.0), (len(weight),)).plus(x.mapped(own, (len(own),))).plus(offset)
    for factor in _factors(arrays[3 * depth - 1 :], n):
        squares = x.mapped(factor, (len(factor),)).made("square", "the quadratic term")
        z = z.plus(squares.mapped(np.ones((1, len(factor))), (1,)))
    if asked["nonneg"]:
        z = z.made("relu", "nonneg")
    return assemble(z, "f", (n,))


def _factors(arrays: list[Array], n: int) -> list[Array]:
    """Return the matrices whose squares are added: a triangle, or a wide matrix and a diagonal."""
    if not arrays:
        return []
    if len(arrays) == 2:
        return [arrays[0], np.diag(arrays[1])]
    triangle = np.zeros((n, n))
    triangle[np.triu_indices(n)] = arrays[0]
    return [triangle]
