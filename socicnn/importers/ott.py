"""From the parameters of ott-jax's ICNN to a frozen network; JAX itself is not needed.

That network holds low-rank plus diagonal quadratics in every layer (Vesseron and Cuturi, 2024):

z_1 = relu(P_1(x)),  z_k = relu(W_k z_{k-1} + P_k(x)),  f(x) = z_L + P(x),  z_L a single unit
P_i(x) = 1/2 x'(A_i A_i' + diag(d_i)) x + b_i'x + c_i
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from socicnn.arrays import Array, as_float64
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic, Squares
from socicnn.registry import choose

_READOUTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "relu": lambda raw: np.maximum(raw, 0),
    "softplus": lambda raw: np.logaddexp(raw.dtype.type(0), raw),
}


def from_ott(params: Mapping[str, Any], readout: str | None = None) -> FrozenNet:
    """Return the network of `ott.neural.networks.icnn.ICNN` with relu activation as arrays.

    Read-outs are evaluated in the parameters' own type, then lifted exactly.

    Args:
        params: its flax parameters, `state.params` or `{"params": ...}`; any nested mapping of arrays.
        readout: `rectifier_fn` of a network with `pos_weights=True`, `relu` or `softplus`; None for one whose hidden
            kernels are non-negative as they are.

    Raises:
        ModelError: an entry is missing, of another shape, or a hidden weight is negative.
    """
    if readout is not None:
        choose("readout", readout, _READOUTS)
    own = params.get("params", params)
    count = sum(name.startswith("w_xs_") for name in own)
    if not count:
        raise ModelError(f"params hold no layer w_xs_0 of an ott-jax ICNN; received {sorted(own)[:8]}")
    layers = []
    for k in range(count):
        F, b, c = _potentials(own, f"w_xs_{k}")
        W = None
        if k:
            kernel = np.asarray(_entry(own, f"w_zs_{k - 1}", "kernel"))
            W = as_float64(kernel if readout is None else _READOUTS[readout](kernel)).T
        layers.append(Layer(W, b, c, Squares(np.full(len(c), 0.5), F)))
    if layers[-1].b.shape != (1,):
        raise ModelError(f"the last layer of an ott-jax ICNN has one unit; received {layers[-1].b.shape[0]}")
    F, v, constant = _potentials(own, "pos_def_potentials")
    return FrozenNet(layers, Output(np.ones(1), v[0], constant[0]), [Quadratic(0.5, F)])


def _entry(params: Mapping[str, Any], layer: str, name: str) -> Any:
    try:
        return params[layer][name]
    except (KeyError, TypeError):
        raise ModelError(f"params lack {name} of {layer}; pass the parameters of an ott-jax ICNN whole") from None


def _potentials(params: Mapping[str, Any], layer: str) -> tuple[sparse.csr_array, Array, Array]:
    """Return F (the rows A_i' and diag(sqrt d_i) of each unit), b and c of a layer of quadratics."""
    b = as_float64(np.asarray(_entry(params, layer, "lin_kernel"))).T
    h, n = b.shape
    c = as_float64(np.asarray(_entry(params, layer, "bias")))
    d = as_float64(_READOUTS["softplus"](np.asarray(_entry(params, layer, "diag_kernel")))).T
    A = as_float64(np.asarray(params[layer].get("quad_kernel", np.zeros((h, n, 0)))))
    if c.shape != (h,) or d.shape != (h, n) or A.shape[:2] != (h, n):
        raise ModelError(
            f"{layer} has {h} potentials of {n} inputs by lin_kernel; received bias {c.shape}, diag_kernel "
            f"{d.T.shape}, quad_kernel {A.shape}"
        )
    parts = [part for i in range(h) for part in (sparse.csr_array(A[i].T), sparse.diags_array(np.sqrt(d[i])))]
    return sparse.csr_array(sparse.vstack([part for part in parts if part.shape[0]])), b, c
