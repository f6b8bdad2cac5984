"""Weights of lpcf's parametric convex functions, against values that lpcf 0.1.1 has at them (lpcf/make.py)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verify
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet

FILE = Path(__file__).parent / "lpcf" / "0.1.1.npz"


def original(case: str) -> tuple[dict[str, Any], list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Return the settings, weights, points, contexts and values of a case."""
    with np.load(FILE) as file:
        shapes = json.loads(str(file["layout"]))[case]
        settings = json.loads(str(file["settings"]))[case]
        flat = file[case]
    entries, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        entries[name] = flat[start : start + size].reshape(shape)
        start += size
    assert start == len(flat)
    x, theta, f = (entries.pop(name) for name in ("x", "theta", "f"))
    return settings, list(entries.values()), x, theta, f


def cases() -> list[str]:
    with np.load(FILE) as file:
        return list(json.loads(str(file["settings"])))


@pytest.mark.parametrize("case", cases())
def test_values_are_those_of_the_package(case: str) -> None:
    settings, weights, x, theta, f = original(case)
    for point, context, value in zip(x, theta, f, strict=True):
        net = FrozenNet.from_lpcf(weights, context, settings, check=(point, value))
        assert net(point)[0] == pytest.approx(value, rel=1e-12, abs=1e-12 * np.abs(f).max())
    verify.equivalence(net, x, proof=True).raise_if_failed()
    assert np.ptp(f) > 1e-2, "the case would not show anything"


def test_every_setting_of_the_function_is_there() -> None:
    assert {name for case in cases() for name in original(case)[0]} == {
        "widths", "widths_psi", "activation", "activation_psi", "nonneg", "increasing", "decreasing", "quadratic",
        "quadratic_r",
    }  # fmt: skip


def test_the_check_finds_wrong_settings() -> None:
    _, weights, x, theta, f = original("layers")
    right = {"widths": [3, 2]}
    for wrong in (
        {"increasing": True},
        {"decreasing": True},
        {"activation": "leaky-relu"},
        {"activation_psi": "swish"},
    ):
        with pytest.raises(ModelError, match="differs from the values given in check"):
            for point, context, value in zip(x, theta, f, strict=True):
                FrozenNet.from_lpcf(weights, context, {**right, **wrong}, check=(point, value))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": [3]}, r"psi emits 26 numbers, which no x gives for widths \[3\]"),
        ({"widths": [3, 2], "quadratic": True}, "psi emits 26 numbers"),
        ({"width": [3, 2]}, "unknown setting of lpcf's PCF 'width' .*widths"),
        ({"widths": [3, 2], "activation": "swish"}, "unknown activation 'swish'"),
        ({"widths": [3, 2], "activation_psi": "tanh"}, "unknown activation_psi 'tanh'"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    _, weights, _, theta, _ = original("layers")
    with pytest.raises(ModelError, match=message):
        FrozenNet.from_lpcf(weights, theta[0], settings)


def test_refusals() -> None:
    settings, weights, _, theta, _ = original("layers")
    with pytest.raises(ModelError, match=r"weights must be the list pcf.model.params, 3 M - 1 matrices"):
        FrozenNet.from_lpcf(weights[1:], theta[0], settings)
    with pytest.raises(ModelError, match=r"context must have 2 entries; received shape \(3,\)"):
        FrozenNet.from_lpcf(weights, np.zeros(3), settings)
    with pytest.raises(ModelError, match="weights do not fit each other"):
        FrozenNet.from_lpcf([weights[0].T, *weights[1:]], theta[0], settings)
