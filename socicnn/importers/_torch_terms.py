"""Convex functions of a traced torch module's tensors: kinks, squares, norms, smooth terms, losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from socicnn.importers._entries import averaged, broadcast, plus, summed
from socicnn.importers._norms import norms, root
from socicnn.importers._piecewise import (
    absolute,
    largest_of,
    leaky,
    log_sum_exp,
    log_sum_exp_of,
    max_pool,
    maximum,
    unit,
)
from socicnn.importers._place import affine, squared
from socicnn.importers._torch_call import Call, First, Handler, array, over, tensors
from socicnn.importers._value import Value

MINUS = np.array(-1.0)


def _power(call: Call) -> Value:
    value, exponent = call.values[0], call.option(1, "exponent", 2)
    if isinstance(exponent, Value):
        raise call.refused("has an exponent that depends on x; 2, 1 and, of a sum of squares, 0.5 are read")
    value, powers = broadcast([value, array(exponent)])
    kinds = np.unique(powers).tolist()
    if kinds == [1]:
        return value
    if kinds == [0.5]:
        return root(call, value)
    if kinds != [2]:
        listed = ", ".join(f"{kind:g}" for kind in kinds)
        raise call.refused(f"has exponent {listed}; 2, 1 and, of a sum of squares, 0.5 are read")
    return squared(call, value)


def _softplus(call: Call) -> Value:
    """Read softplus of sharpness beta by its exact formula; torch drops its tail beyond a threshold."""
    return unit(call, call.values[0], 1.0 / float(call.option(1, "beta", 1.0)))


def _log_sigmoid(call: Call) -> Value:
    """Return -log(1 + exp(-a)), which is concave: it is its negative that a convex network reads."""
    return unit(call, call.values[0].times(MINUS), 1.0).times(MINUS)


def _log_sum_exp(call: Call) -> Value:
    if call.name == "logaddexp":
        return log_sum_exp(call, broadcast(tensors(call.arguments[:2])))
    return log_sum_exp_of(call, call.values[0], *call.groups(1))


def _log_softmax(call: Call) -> Value:
    """Return a - log sum exp(a) over an axis: concave again."""
    value = call.values[0]
    return value.plus(log_sum_exp_of(call, value, *over(value, call.option(1, "dim", -1), keep=True)).times(MINUS))


def _p_relu(call: Call) -> Value:
    if isinstance(call.arguments[1], Value):
        raise call.refused("has slopes that depend on x; only constant ones keep the network convex")
    value, slope = call.values[0], array(call.arguments[1])
    if slope.ndim == 1 and slope.size > 1:  # one per channel
        slope = slope.reshape(-1, *(1 for _ in value.shape[2:]))
    return leaky(call, value, np.broadcast_to(slope, value.shape))


def _clamp(call: Call) -> Value:
    low, high = call.option(1, "min", None), call.option(2, "max", None)
    if high is not None or call.name in ("clamp_max", "relu6", "hardtanh"):
        raise call.refused("clamps from above: min(a, c) bends down, so that it is not convex")
    return maximum(call, broadcast(tensors([call.arguments[0], low])))


def _threshold(call: Call) -> Value:
    at, below = (float(call.option(place, name, 0.0)) for place, name in ((1, "threshold"), (2, "value")))
    if at != below:
        raise call.refused(f"jumps from {below:g} to {at:g} at its threshold, so that it is not convex")
    return maximum(call, broadcast([call.values[0], array(at)]))


def _maximum(call: Call) -> Any:
    """Return the maximum of two tensors, or over axes; the indices of the entries are not read."""
    other = call.option(1, "other", None)
    if call.name in ("amax", "max") and len(call.values) == 1 and not hasattr(other, "detach"):
        made = largest_of(call, call.values[0], *call.groups(1))
        return First(made) if call.name == "max" and isinstance(call.option(1, "dim", ()), int) else made
    return maximum(call, broadcast(tensors(call.arguments[:2])))


def _minimum(call: Call) -> Any:
    raise call.refused("takes a minimum, which is not convex; where its negative is meant, write -maximum(-a, -b)")


def _max_pool(call: Call) -> Any:
    value = call.values[0]
    rank = len(value.shape) - 2
    kernel, strides, pads, dilations = (
        _per_axis(call.option(at, name, default), rank)
        for at, name, default in ((1, "kernel_size", 1), (2, "stride", []), (3, "padding", 0), (4, "dilation", 1))
    )
    settings = {
        "kernel_shape": kernel,
        "strides": strides or kernel,
        "pads": [*pads, *pads],
        "dilations": dilations,
        "ceil_mode": int(bool(call.option(5, "ceil_mode", False))),
    }
    made = max_pool(call, value, settings)
    return First(made) if "indices" in call.name else made


def _per_axis(setting: Any, rank: int) -> list[int]:
    listed = [setting] if isinstance(setting, int) else list(setting)
    return listed * rank if len(listed) == 1 else listed


# norms and distances


def _length(call: Call, value: Value, order: float, axes: Any, *, keep: bool) -> Value:
    """Return the norm of this order over axes, all of them if none are named."""
    reduced = over(value, axes, keep=keep)
    if order == 2:
        return norms(call, value, *reduced)
    if order == 1:
        return summed(absolute(call, value), *reduced)
    if order == np.inf:
        return largest_of(call, absolute(call, value), *reduced)
    raise call.refused(f"is a norm of order {order:g}; those of orders 1, 2 and infinity are read")


def _vector_norm(call: Call) -> Value:
    keep = bool(call.option(3, "keepdim", False))
    return _length(call, call.values[0], float(call.option(1, "ord", 2)), call.option(2, "dim", ()), keep=keep)


def _norm(call: Call) -> Value:
    """Return what torch.linalg.norm is: of a vector, or of all entries of a matrix for the Frobenius norm."""
    options, value = call.options(), call.values[0]
    order, axes = options.get("ord"), options.get("dim", (-2, -1) if call.name == "linalg_matrix_norm" else None)
    if order is None or order == "fro":
        order = 2.0
    elif isinstance(order, str) or len(value.shape if axes is None else np.atleast_1d(axes)) > 1:
        raise call.refused(f"is a matrix norm of order {order}; of matrices the Frobenius norm is read")
    return _length(call, value, float(order), axes, keep=bool(options.get("keepdim", False)))


def _distance(call: Call) -> Value:
    """Return the distance of rows: ||a - b + eps|| of pairs, or ||a_i - b_j|| of all of them."""
    options = call.options()
    first, second = tensors(call.arguments[:2])
    order = float(options.get("p", 2))
    if call.name == "pairwise_distance":
        difference = _difference(first, second).plus(np.array(float(options.get("eps", 1e-6))))
    else:
        difference = _difference(_with_axis(first, -2), _with_axis(second, -3))
    return _length(call, difference, order, -1, keep=bool(options.get("keepdim", False)))


def _with_axis(tensor: Any, at: int) -> Any:
    return tensor.picked(np.expand_dims(tensor.index, at)) if isinstance(tensor, Value) else np.expand_dims(tensor, at)


def _difference(first: Any, second: Any) -> Value:
    made = plus(first, second.times(MINUS) if isinstance(second, Value) else -second)
    assert isinstance(made, Value)  # one of the two is
    return made


# variances and losses


def _variance(call: Call) -> Value:
    """Return the sum of squared deviations from the mean over (entries - correction), or its root."""
    options, value = call.options(), call.values[0]
    affine(call, value, "takes the variance of")
    correction = options.get("correction")
    correction = float(options.get("unbiased", True)) if correction is None else float(correction)
    axes = options.get("dim")
    together, kept = over(value, axes, keep=True)
    if together.shape[1] <= correction:
        raise call.refused(f"divides the variance of {together.shape[1]} entries by {together.shape[1] - correction:g}")
    middle = averaged(value, together, kept)
    scaled = value.plus(middle.times(MINUS)).times(np.array((together.shape[1] - correction) ** -0.5))
    made = summed(squared(call, scaled), *over(value, axes, keep=bool(options.get("keepdim", False))))
    return root(call, made) if call.name == "std" else made


def _loss(call: Call) -> Value:
    """Return the sum, the mean or all entries of (a - b)^2 or |a - b|."""
    difference = _difference(*broadcast(tensors(call.arguments[:2])))
    made = absolute(call, difference) if call.name == "l1_loss" else squared(call, difference)
    reduction = int(call.options().get("reduction", 1))  # 0 none, 1 mean, 2 sum
    reduce = {1: averaged, 2: summed}.get(reduction)
    return made if reduce is None else reduce(made, *over(made, (), keep=False))


TERMS: dict[str, Handler] = {
    **dict.fromkeys(("relu", "relu_"), lambda call: unit(call, call.values[0])),
    **dict.fromkeys(
        ("leaky_relu", "leaky_relu_"),
        lambda call: leaky(call, call.values[0], array(call.option(1, "negative_slope", 0.01))),
    ),
    **dict.fromkeys(("prelu", "_prelu_kernel"), _p_relu),
    **dict.fromkeys(("clamp", "clamp_", "clamp_min", "clamp_max", "clip", "hardtanh", "relu6"), _clamp),
    "threshold": _threshold,
    **dict.fromkeys(("maximum", "max", "amax", "fmax"), _maximum),
    **dict.fromkeys(("minimum", "min", "amin", "fmin"), _minimum),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool2d_with_indices"), _max_pool),
    **dict.fromkeys(("pow", "square"), _power),
    "softplus": _softplus,
    "log_sigmoid": _log_sigmoid,
    **dict.fromkeys(("logsumexp", "logaddexp"), _log_sum_exp),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _log_softmax),
    "sqrt": lambda call: root(call, call.values[0]),
    "linalg_vector_norm": _vector_norm,
    **dict.fromkeys(("linalg_norm", "linalg_matrix_norm"), _norm),
    **dict.fromkeys(("cdist", "pairwise_distance"), _distance),
    **dict.fromkeys(("var", "std"), _variance),
    **dict.fromkeys(("mse_loss", "l1_loss"), _loss),
    "abs": lambda call: absolute(call, call.values[0]),
}
