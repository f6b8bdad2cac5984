"""Parameters as ott-jax's ICNN holds them, against that network's formula written out."""

from itertools import pairwise

import numpy as np
import pytest

import verify
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet

N, WIDTHS, RANK = 3, (5, 4), 2


def potentials(rng: np.random.Generator, count: int, rank: int) -> dict:
    found = {
        "diag_kernel": rng.normal(size=(N, count)),
        "lin_kernel": rng.normal(size=(N, count)),
        "bias": rng.normal(size=count),
    }
    if rank:
        found["quad_kernel"] = rng.normal(size=(count, N, rank))
    return {name: values.astype(np.float32) for name, values in found.items()}


def parameters(rank: int = RANK, positive: bool = True) -> dict:
    rng, params = np.random.default_rng(0), {}
    dims = [*WIDTHS, 1]
    for k, dim in enumerate(dims):
        params[f"w_xs_{k}"] = potentials(rng, dim, rank)
    for k, (below, dim) in enumerate(pairwise(dims)):
        kernel = rng.normal(size=(below, dim)).astype(np.float32)
        params[f"w_zs_{k}"] = {"kernel": np.abs(kernel) if positive else kernel}
    params["pos_def_potentials"] = potentials(rng, 1, rank)
    return params


def quadratics(layer: dict, x: np.ndarray) -> np.ndarray:
    layer = {name: values.astype(float) for name, values in layer.items()}
    d = np.log1p(np.exp(layer["diag_kernel"]))
    found = []
    for i in range(len(layer["bias"])):
        P = np.diag(d[:, i])
        if "quad_kernel" in layer:
            P = P + layer["quad_kernel"][i] @ layer["quad_kernel"][i].T
        found.append(0.5 * x @ P @ x + layer["lin_kernel"][:, i] @ x + layer["bias"][i])
    return np.array(found)


def value(params: dict, x: np.ndarray, readout=lambda kernel: kernel) -> float:
    z = np.maximum(quadratics(params["w_xs_0"], x), 0)
    for k in range(len(WIDTHS)):
        kernel = readout(params[f"w_zs_{k}"]["kernel"].astype(float))
        z = np.maximum(z @ kernel + quadratics(params[f"w_xs_{k + 1}"], x), 0)
    return float(z[0] + quadratics(params["pos_def_potentials"], x)[0])


@pytest.mark.parametrize("rank", [0, 1, RANK])
def test_values_are_those_of_the_formula_and_are_proven(rank: int) -> None:
    params = parameters(rank)
    net = FrozenNet.from_ott({"params": params})
    x = np.random.default_rng(1).normal(size=(10, N))
    # the diagonal's softplus is evaluated in float32, as the network does it
    np.testing.assert_allclose(net(x), [value(params, point) for point in x], rtol=1e-6)
    assert net.hidden_features == (*WIDTHS, 1)
    verify.equivalence(net, x, proof=True).raise_if_failed()


def test_kernels_behind_a_read_out() -> None:
    params = parameters(positive=False)
    x = np.random.default_rng(2).normal(size=N)
    for name, readout in (("relu", lambda k: np.maximum(k, 0)), ("softplus", lambda k: np.log1p(np.exp(k)))):
        assert FrozenNet.from_ott(params, readout=name)(x)[0] == pytest.approx(value(params, x, readout), rel=1e-6)
    with pytest.raises(ModelError, match=r"hidden weight W of layer 2 has \d+ negative entries"):
        FrozenNet.from_ott(params)


def changed(layer: str, **entries) -> dict:
    params = parameters()
    params[layer] = {k: v for k, v in (params[layer] | entries).items() if v is not None}
    return params


@pytest.mark.parametrize(
    ("params", "readout", "message"),
    [
        ({}, None, "params hold no layer w_xs_0"),
        (parameters(), "exp", "unknown readout 'exp'; there are: relu, softplus"),
        (changed("w_xs_1", bias=None), None, "params lack bias of w_xs_1"),
        (changed("w_zs_0", kernel=None), None, "params lack kernel of w_zs_0"),
        (changed("w_xs_0", bias=np.zeros(7)), None, r"w_xs_0 has 5 potentials of 3 inputs .*received bias \(7,\)"),
        ({k: v for k, v in parameters().items() if k != "pos_def_potentials"}, None, "lack lin_kernel of pos_def"),
        ({"w_xs_0": parameters()["w_xs_0"]}, None, "the last layer of an ott-jax ICNN has one unit; received 5"),
        (changed("w_zs_0", kernel=np.ones((4, 4))), None, r"hidden weight W of layer 2 must have shape \(4, 5\)"),
    ],
)
def test_refusals(params, readout, message) -> None:
    with pytest.raises(ModelError, match=message):
        FrozenNet.from_ott(params, readout=readout)
