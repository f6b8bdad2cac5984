"""Singular face systems against the formula of their least-norm solution, written out with whole pseudoinverses."""

import numpy as np
import pytest
import torch

from decision._layer.least_norm import SINGULAR
from decision._layer.system import FaceSystem
from socicnn._arrays import Array


def by_the_formula(H: Array, A: Array, b1: Array, b2: Array) -> tuple[Array, Array]:
    """Return dx and dy of one context from singular values of all rows together."""
    price, length = np.abs(H).max() or 1.0, np.linalg.norm(A, axis=1)
    length = np.where(length > 0, length, 1.0)
    H, A, b1, b2 = H / price, A / length[:, None], b1 / price, b2 / length
    _, size, right = np.linalg.svd(A, full_matrices=True)
    Z = right[int((size > SINGULAR * size.max(initial=0.0)).sum()) :].T
    K = Z @ np.linalg.pinv(Z.T @ H @ Z, rcond=1e-9, hermitian=True) @ Z.T
    pseudo = np.linalg.pinv(A, rcond=SINGULAR)
    dx = pseudo @ b2 + K @ (b1 - H @ pseudo @ b2)
    return dx, price * (pseudo.T @ (b1 - H @ dx)) / length


def face(seed: int, n: int = 9) -> tuple[Array, Array, Array]:
    """Return H and A of a face, with dependent rows, coordinates fixed (some twice) and padding, and the columns."""
    rng = np.random.default_rng(seed)
    independent = rng.normal(size=(rng.integers(0, 4), n)) * 10.0 ** rng.integers(-3, 4)
    dependent = rng.normal(size=(rng.integers(0, 3), len(independent))) @ independent
    fixed = rng.choice(n, size=rng.integers(0, n + 1), replace=False)
    short = np.zeros((2, n))  # a row among fixed coordinates alone
    short[0, fixed[:2]] = [3.0, -2.0][: len(fixed)]
    columns = np.concatenate([fixed, fixed[:1], fixed[:1]]).astype(np.int64)
    single = np.zeros((len(columns), n))
    single[np.arange(len(columns)), columns] = rng.choice([-1.0, 1.0, 0.3], size=len(columns))
    others = np.vstack([independent, dependent, short])
    A = np.vstack([others, single])
    root = np.linalg.qr(rng.normal(size=(n, n)))[0][: rng.integers(0, n + 1)] * 10.0 ** rng.integers(-3, 4)
    if np.count_nonzero(short[0]) == 1:  # it fixes a coordinate itself
        A, others = A[len(others) :], others[:0]
    return root.T @ root, A, np.concatenate([np.full(len(others), n), columns])


def test_least_norm_solutions_are_those_of_whole_pseudoinverses() -> None:
    faces = [face(seed) for seed in range(60)]
    n, most = 9, max(len(A) for _, A, _ in faces)
    A = np.stack([np.pad(A, ((0, most - len(A)), (0, 0))) for _, A, _ in faces])
    columns = np.stack([np.pad(own, (0, most - len(own)), constant_values=n) for _, _, own in faces])
    H = np.stack([H for H, _, _ in faces])
    rng = np.random.default_rng(0)
    b1, b2 = rng.normal(size=(60, n)), rng.normal(size=(60, most))  # rows that contradict each other as well
    system = FaceSystem(*(torch.from_numpy(values) for values in (H, A, columns)))
    assert len(system.singular) > 40
    found = system.solve(torch.from_numpy(b1), torch.from_numpy(b2))
    for i in system.singular.tolist():
        for own, right in zip(found, by_the_formula(H[i], A[i], b1[i], b2[i]), strict=True):
            assert own[i].numpy() == pytest.approx(right, rel=1e-7, abs=1e-7 * np.abs(right).max(initial=0.0))
    alone = [FaceSystem(*(torch.from_numpy(values[i : i + 1]) for values in (H, A, columns))) for i in range(60)]
    for i, one in enumerate(alone):  # a context does not depend on its batch
        again = one.solve(torch.from_numpy(b1[i : i + 1]), torch.from_numpy(b2[i : i + 1]))
        for own, other in zip(found, again, strict=True):
            assert torch.allclose(own[i], other[0], rtol=1e-7, atol=float(1e-7 * own[i].abs().max()))
