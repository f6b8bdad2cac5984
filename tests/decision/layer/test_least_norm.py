"""Singular face systems against the formula of their least-norm solution, written out with whole pseudoinverses."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decision import DecisionLayer, Polytope
from decision._layer import face as faces
from decision._layer.least_norm import SINGULAR
from decision._layer.system import FaceSystem
from socicnn._arrays import Array
from socicnn.frozen import FrozenNet, Output, Quadratic


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


class Cost(nn.Module):
    """context'x + ||x||^2 / 2."""

    context_shape = (24,)

    def forward(self, x: Tensor, theta: Tensor) -> Tensor:
        """Return f(x, theta)."""
        return (theta * x).sum(dim=-1) + 0.5 * x.square().sum(dim=-1)

    def freeze(self, theta: Any) -> FrozenNet:
        """Return the same as arrays."""
        return FrozenNet([], Output(np.zeros(0), np.asarray(theta)), [Quadratic(0.5, np.eye(24), np.zeros(24))])


def test_paths_through_a_grid_are_exact_at_their_first_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow rows depend on each other, and those of nodes off the path on the bounds of their arcs."""
    arcs = [(i, i + 1) for i in range(16) if i % 4 < 3] + [(i, i + 4) for i in range(12)]
    E, f = np.zeros((16, 24)), np.zeros(16)
    for place, (a, b) in enumerate(arcs):
        E[a, place], E[b, place] = -1.0, 1.0
    f[[0, -1]] = -1.0, 1.0
    systems = list[int]()

    class Counted(FaceSystem):
        def __init__(self, H: Tensor, A: Tensor, columns: Tensor) -> None:
            super().__init__(H, A, columns)
            systems.append(len(H))
            assert len(self.singular) == len(H)

    monkeypatch.setattr(faces, "FaceSystem", Counted)
    layer = DecisionLayer(Cost(), Polytope(E=E, f=f, lower=0.0, upper=1.0))
    theta = torch.rand(6, 24, dtype=torch.float64, generator=torch.manual_seed(0)).requires_grad_()
    x = layer(theta)
    assert layer.polished is not None
    assert bool(layer.polished.all())
    assert sum(systems) <= 2 * len(theta)
    slope = torch.randn(x.shape, dtype=torch.float64, generator=torch.manual_seed(1))
    (found,) = torch.autograd.grad((slope * x).sum(), theta)
    direction, step = torch.randn(theta.shape, dtype=torch.float64, generator=torch.manual_seed(2)), 1e-5
    with torch.no_grad():
        high, low = (layer(theta + sign * step * direction) for sign in (1.0, -1.0))
    differences = (slope * (high - low)).sum(dim=1) / (2.0 * step)
    assert torch.allclose((found * direction).sum(dim=1), differences, rtol=1e-6, atol=1e-7)
