"""Claims in files, honest and forged."""

from pathlib import Path

import numpy as np
from scipy import sparse

from socicnn._numpy_files import digest
from socicnn.frozen import FrozenNet, Layer, Norm, Output, Quadratic
from tests.support.frozen_nets import random_net
from verify._certify import certify


def saved(folder: Path, net: FrozenNet | None = None, count: int = 5) -> Path:
    net = random_net(3) if net is None else net
    path = folder / "claim.npz"
    certify(net, np.random.default_rng(0).normal(size=(count, net.in_features))).save(path)
    return path


def saved_sparse(folder: Path) -> Path:
    net = FrozenNet([Layer(None, sparse.csr_array(np.eye(3)), np.zeros(3))], Output(np.ones(3), np.ones(3)))
    return saved(folder, net, 2)


def rich_net() -> FrozenNet:
    """Stacked contexts, sparse matrices, groups, an input shape."""
    rng = np.random.default_rng(1)
    return FrozenNet(
        [
            Layer(None, sparse.csr_array(rng.normal(size=(3, 4))), rng.normal(size=(5, 3))),
            Layer(rng.exponential(size=(2, 3)), None, np.zeros(2)),
        ],
        Output(rng.exponential(size=(5, 2)), rng.normal(size=4), rng.normal(size=5)),
        [Quadratic(rng.exponential(size=5), rng.normal(size=(2, 4))), Quadratic(0.0, np.eye(4))],
        [Norm(2.0, sparse.csr_array(np.eye(4)), rng.normal(size=(5, 4)), group=2), Norm(1.0, np.ones((3, 4)))],
        input_shape=(2, 2),
    )


def retold(path: Path, name: str, change) -> Path:
    """Change one array of a claim and write it anew, digest and all, as a forger would."""
    with np.load(path) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays[name] = change(arrays[name])
    arrays.pop("digest")
    arrays["digest"] = np.asarray(digest(arrays))
    forged = path.with_name("forged.npz")
    np.savez_compressed(forged, **arrays)
    return forged


def nudge(array):
    array = np.array(array)
    array.reshape(-1)[0] += 1e-3
    return array
