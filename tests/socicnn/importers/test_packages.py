"""Networks of other packages, as torch exports them, against the packages' own values (packages/make.py)."""

from pathlib import Path

import numpy as np
import pytest

import verify
from socicnn.frozen import FrozenNet

pytestmark = pytest.mark.extra

FILES = sorted((Path(__file__).parent / "packages").glob("*.onnx"))
NAMES = [
    "cpflows-0.1.2",
    "cpflows_augmented-0.1.2",
    "deepinv-0.5.0",
    "hessQuik-0.0.6",
    "neuromancer_leaky-1.5.6",
    "neuromancer_relu-1.5.6",
    "neuromancer_softplus-1.5.6",
]


def test_every_package_is_there() -> None:
    assert [path.stem for path in FILES] == NAMES


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_values_are_the_package_s_own_and_proven(path: Path) -> None:
    """Attributes of a graph, such as slopes, are float32: the file is that far from the module."""
    pytest.importorskip("onnx")
    net = FrozenNet.from_onnx(path)
    with np.load(path.with_suffix(".npz")) as held:
        x, f = held["x"].reshape(len(held["x"]), -1), held["f"]
    np.testing.assert_allclose(net(x), f, rtol=1e-7, atol=1e-7)
    verify.equivalence(net, x, proof=True).raise_if_failed()
