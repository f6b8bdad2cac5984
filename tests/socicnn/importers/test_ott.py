"""Parameters of ott-jax's ICNN, against values that ott-jax 0.4.7, 0.5.0 and 0.6.0 have at them (ott/make.py)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verify
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet

FILES = sorted((Path(__file__).parent / "ott").glob("*.npz"))
READOUTS = {"pos_weights relu": "relu", "pos_weights softplus": "softplus"}
CASES = ("default", "one layer", "three layers", "rank zero", "ranks a sequence", "gaussian", *READOUTS)


def original(path: Path, case: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Return the parameters, points and values of a case."""
    with np.load(path) as file:
        shapes = json.loads(str(file["layout"]))[case]
        flat = file[case]
    entries, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        entries[name] = flat[start : start + size].reshape(shape)
        start += size
    assert start == len(flat)
    x, f = entries.pop("x"), entries.pop("f")
    params: dict[str, Any] = {}
    for name, values in entries.items():
        layer, entry = name.split("/")
        params.setdefault(layer, {})[entry] = values
    return params, x, f


def test_every_version_is_there() -> None:
    assert [path.stem for path in FILES] == ["0.4.7", "0.5.0", "0.6.0"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_values_are_those_of_the_package(path: Path, case: str) -> None:
    params, x, f = original(path, case)
    net = FrozenNet.from_ott({"params": params}, readout=READOUTS.get(case), version=path.stem)
    np.testing.assert_allclose(net(x), f, rtol=2e-6, atol=2e-6 * np.abs(f).max())
    verify.equivalence(net, x, proof=True).raise_if_failed()
    other = FrozenNet.from_ott(params, readout=READOUTS.get(case), version="0.6" if path.stem == "0.4.7" else "0.4")
    assert np.abs(other(x) - f).max() > 1e-3 * np.abs(f).max(), "the case does not tell the versions apart"


def test_a_fresh_network_of_two_inputs() -> None:
    """The value that a first use has: f(1, 1) of a network of one layer of four units, as initialised."""
    for path in FILES:
        params, x, f = original(path, "fresh")
        assert FrozenNet.from_ott(params, version=path.stem)(x[0])[0] == pytest.approx(f[0], rel=1e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_check_finds_the_version(path: Path, case: str) -> None:
    params, x, f = original(path, case)
    named = FrozenNet.from_ott(params, READOUTS.get(case), version=path.stem, check=(x, f))
    found = FrozenNet.from_ott(params, READOUTS.get(case), check=(x, f))
    np.testing.assert_array_equal(found(x), named(x))
    with pytest.raises(ModelError, match=r"differs from the values given in check: at row \d it has .*version="):
        FrozenNet.from_ott(params, READOUTS.get(case), version="0.5" if path.stem == "0.4.7" else "0.4", check=(x, f))


def test_the_check_finds_what_the_parameters_do_not_say() -> None:
    params, x, f = original(FILES[-1], "act softplus")
    with pytest.raises(ModelError, match=r"differs .*was it made with act_fn relu"):
        FrozenNet.from_ott(params, check=(x, f))
    params, x, f = original(FILES[-1], "pos_weights softplus")
    positive = {k: {n: abs(v) if n == "kernel" else v for n, v in part.items()} for k, part in params.items()}
    with pytest.raises(ModelError, match=r"differs .*pos_weights=True \(readout=\)"):
        FrozenNet.from_ott(positive, version="0.6", check=(x, f))


def test_without_a_version_or_values_it_is_refused() -> None:
    params, x, f = original(FILES[-1], "default")
    with pytest.raises(ModelError, match=r"do not say which ott-jax made them.*version='0.6'.*check=\(x, f\)"):
        FrozenNet.from_ott(params)
    for version in ("0.3", "0.7.1", "1", "", 0.6):
        with pytest.raises(ModelError, match=r"version of ott-jax must be one of 0.4, 0.5, 0.6"):
            FrozenNet.from_ott(params, version=version)
    for check in ((x, f[1:]), (x[:, 1:], f), (x[:0], f[:0]), x, (x, f * np.inf), ("a", "b"), 3):
        with pytest.raises(ModelError, match="check"):
            FrozenNet.from_ott(params, version="0.6", check=check)


def changed(layer: str, **entries: Any) -> dict[str, Any]:
    params = original(FILES[-1], "default")[0]
    params[layer] = {k: v for k, v in (params[layer] | entries).items() if v is not None}
    return params


def without(layer: str) -> dict[str, Any]:
    return {name: part for name, part in original(FILES[-1], "default")[0].items() if name != layer}


@pytest.mark.parametrize(
    ("params", "readout", "message"),
    [
        ({}, None, "params hold no layer w_xs_0"),
        ([1, 2], None, "params must be a mapping of layers"),
        (changed("w_xs_1"), "exp", "unknown readout 'exp'; there are: relu, softplus"),
        (changed("w_xs_1", bias=None), None, "params lack bias of w_xs_1"),
        (changed("w_zs_0", kernel=None), None, "params lack kernel of w_zs_0"),
        (changed("w_xs_0", bias=np.zeros(7)), None, r"w_xs_0 has 4 potentials of 3 inputs .*received bias \(7,\)"),
        (without("pos_def_potentials"), None, "lack lin_kernel of pos_def"),
        ({"w_xs_0": changed("w_xs_0")["w_xs_0"]}, None, "the last layer of an ott-jax ICNN has one unit; received 4"),
        (changed("w_zs_0", kernel=np.ones((5, 5))), None, r"hidden weight W of layer 2 must have shape \(3, 4\)"),
        (changed("w_zs_0", kernel=-np.ones((4, 3))), None, r"hidden weight W of layer 2 has \d+ negative entries"),
    ],
)
def test_refusals(params: Any, readout: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        FrozenNet.from_ott(params, readout=readout, version="0.6")
