"""From the parameters of ott-jax's ICNN to the parts of a frozen network; JAX itself is not needed.

That network holds low-rank plus diagonal quadratics in every layer (Vesseron and Cuturi, 2024):

z_1 = relu(P_1(x)),  z_k = relu(W_k z_{k-1} + P_k(x)),  f(x) = z_L + P(x),  z_L a single unit
P_i(x) = 1/2 x'(A_i A_i' + diag(r(d_i))) x + b_i'x + c_i

The rectifier r of the diagonals is relu in P, in every version. In the layers P_k it is relu up to ott-jax 0.4 and
softplus from 0.5 on. The parameters do not say which version made them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from socicnn._arrays import Array, as_float64
from socicnn._registry import choose
from socicnn.errors import ModelError
from socicnn.frozen._bundle import Parts
from socicnn.frozen._parts import Layer, Output, Quadratic, Squares
from socicnn.importers._agreement import TOLERANCES, Imported, demand, disagreement, points_and_values

N = TypeVar("N", bound=Imported)
Rectifier: TypeAlias = Literal["relu", "softplus"]

_RECTIFIERS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "relu": lambda raw: np.maximum(raw, 0),
    "softplus": lambda raw: np.logaddexp(raw.dtype.type(0), raw),
}
# the rectifier of the diagonals inside layers, by version; compared with values of 0.4.7, 0.5.0 and 0.6.0
VERSIONS: dict[str, Rectifier] = {"0.4": "relu", "0.5": "softplus", "0.6": "softplus"}


def diagonals(version: str) -> Rectifier:
    """Return the rectifier of the diagonals inside layers in this version of ott-jax.

    Raises:
        ModelError: the version is not one that was compared.

    >>> diagonals("0.4.7"), diagonals("0.6")
    ('relu', 'softplus')
    """
    match = re.fullmatch(r"(\d+\.\d+)(\.\w+)*", version) if isinstance(version, str) else None
    if match is None or match[1] not in VERSIONS:
        raise ModelError(
            f"version of ott-jax must be one of {', '.join(VERSIONS)} (or e.g. '0.4.7'); received {version!r}. For "
            "another one pass check=(x, f) instead, its values at some points"
        )
    return VERSIONS[match[1]]


def from_ott(
    make: Callable[[Parts], N],
    params: Mapping[str, Any],
    *,
    readout: Rectifier | None = None,
    version: str | None = None,
    check: tuple[Any, Any] | None = None,
) -> N:
    """Return the network that `make` builds of ott-jax's parameters; see `FrozenNet.from_ott`."""
    if readout is not None:
        choose("readout", readout, _RECTIFIERS)
    if not isinstance(params, Mapping):
        raise ModelError(f"params must be a mapping of layers, e.g. state.params; received {type(params).__name__}")
    if version is None and check is None:
        raise ModelError(
            "the parameters do not say which ott-jax made them, and its versions mean different functions by them; "
            "pass version='0.6' (or '0.5', '0.4'), or check=(x, f) with its values at some points"
        )
    tried = sorted(set(VERSIONS.values())) if version is None else [diagonals(version)]
    nets = [make(_parts(params, rectifier, readout)) for rectifier in tried]
    if check is None:
        return nets[0]
    x, f = points_and_values(check, nets[0].in_features)
    agreeing = [net for net in nets if disagreement(net, x, f, TOLERANCES["float32"]) is None]
    if not agreeing:
        demand(
            nets[-1], check, TOLERANCES["float32"],
            "was it made with act_fn relu, with pos_weights=True (readout=), by another version (version=)?",
        )  # fmt: skip
    return agreeing[0]


def _parts(params: Mapping[str, Any], rectifier: Rectifier, readout: Rectifier | None) -> Parts:
    """Return the parts; rectifiers are evaluated in the parameters' own type, then lifted exactly."""
    own = params.get("params", params)
    count = sum(name.startswith("w_xs_") for name in own)
    if not count:
        raise ModelError(f"params hold no layer w_xs_0 of an ott-jax ICNN; received {sorted(own)[:8]}")
    layers = []
    for k in range(count):
        F, b, c = _potentials(own, f"w_xs_{k}", rectifier)
        W = None
        if k:
            kernel = np.asarray(_entry(own, f"w_zs_{k - 1}", "kernel"))
            W = as_float64(kernel if readout is None else _RECTIFIERS[readout](kernel)).T
        layers.append(Layer(W, b, c, Squares(np.full(len(c), 0.5), F)))
    if layers[-1].width != 1:
        raise ModelError(f"the last layer of an ott-jax ICNN has one unit; received {layers[-1].width}")
    F, v, constant = _potentials(own, "pos_def_potentials", "relu")
    return Parts(layers, Output(np.ones(1), v[0], constant[0]), [Quadratic(0.5, F)])


def _entry(params: Mapping[str, Any], layer: str, name: str) -> Any:
    try:
        return params[layer][name]
    except (KeyError, TypeError):
        raise ModelError(f"params lack {name} of {layer}; pass the parameters of an ott-jax ICNN whole") from None


def _potentials(params: Mapping[str, Any], layer: str, rectifier: Rectifier) -> tuple[sparse.csr_array, Array, Array]:
    """Return F (the rows A_i' and diag(sqrt r(d_i)) of each unit), b and c of a layer of quadratics."""
    b = as_float64(np.asarray(_entry(params, layer, "lin_kernel"))).T
    h, n = b.shape
    c = as_float64(np.asarray(_entry(params, layer, "bias")))
    d = as_float64(_RECTIFIERS[rectifier](np.asarray(_entry(params, layer, "diag_kernel")))).T
    A = as_float64(np.asarray(params[layer].get("quad_kernel", np.zeros((h, n, 0)))))
    if c.shape != (h,) or d.shape != (h, n) or A.shape[:2] != (h, n):
        raise ModelError(
            f"{layer} has {h} potentials of {n} inputs by lin_kernel; received bias {c.shape}, diag_kernel "
            f"{d.T.shape}, quad_kernel {A.shape}"
        )
    parts = [part for i in range(h) for part in (sparse.csr_array(A[i].T), sparse.diags_array(np.sqrt(d[i])))]
    F = sparse.csr_array(sparse.vstack([part for part in parts if part.shape[0]]))
    F.eliminate_zeros()  # diagonals that relu cut off
    return F, b, c
