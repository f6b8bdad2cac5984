"""Proposition 4: quadratics, norms, affine parts and maxima as a network, at values that are known exactly."""

from typing import Any

import numpy as np
import pytest

import verify
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.frozen._structure import factored


def test_every_part_has_its_exact_value() -> None:
    """Sums of integers and Pythagorean triples, so that nothing rounds."""
    net = FrozenNet.from_structure(
        [[4.0, 2.0], [2.0, 5.0]],
        [1.0, -3.0],
        7.0,
        norms=[(2.0, [[3.0, 0.0], [0.0, 4.0]], None), (1.0, [[1.0, 0.0]], [-5.0])],
        maxima=[([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [0.0, 0.0, 1.0]), ([[0.0, 2.0], [0.0, -2.0]], [0.0, 0.0])],
    )
    x = np.array([[1.0, 1.0], [0.0, 0.0], [-1.0, 1.0], [2.0, -2.0]])
    expected = [
        4 + 4 + 5 + 1 - 3 + 7 + 2 * 5 + 4 + 1 + 2,
        0 + 7 + 0 + 5 + 1 + 0,
        4 - 4 + 5 - 1 - 3 + 7 + 2 * 5 + 6 + 1 + 2,
        16 - 16 + 20 + 2 + 6 + 7 + 2 * 10 + 3 + 2 + 4,
    ]
    assert net(x).tolist() == expected
    assert (len(net.layers), len(net.quadratics), len(net.norms)) == (2, 1, 2)
    verify.equivalence(net, x, proof=True).raise_if_failed(solvers=True)


@pytest.mark.parametrize("counts", [(1,), (2, 2), (4, 1, 3), (6,)])
def test_maxima_of_different_lengths_run_side_by_side(counts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    maxima = [(rng.integers(-5, 6, size=(k, 3)).astype(float), rng.integers(-5, 6, size=k)) for k in counts]
    net = FrozenNet.from_structure(maxima=maxima)
    assert len(net.layers) == max(counts) - 1
    assert sum(layer.width for layer in net.layers) == sum(counts) - len(counts)
    x = rng.integers(-5, 6, size=(100, 3)).astype(float)
    assert net(x).tolist() == sum((x @ a.T + b).max(axis=1) for a, b in maxima).tolist()


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_factors_give_the_matrix_back(rank: int) -> None:
    B = np.random.default_rng(rank).normal(size=(rank, 5))
    F = factored(B.T @ B)
    np.testing.assert_allclose(F.T @ F, B.T @ B, atol=1e-13)
    diagonal = factored(np.diag([4.0, 0.0, 9.0]))
    assert diagonal.toarray().tolist() == [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]


def test_the_extension_is_strict() -> None:
    """||x||^2 and ||x|| are no maximum of affine pieces, which the network says."""
    for net in (
        FrozenNet.from_structure(np.eye(2)),
        FrozenNet.from_structure(norms=[(1.0, np.eye(2), None)]),
    ):
        with pytest.raises(ModelError, match="only ReLU networks are a maximum of affine pieces"):
            net.max_affine()
    assert FrozenNet.from_structure(slope=[1.0, 2.0]).max_affine().slopes.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "nothing tells the length of x"),
        ({"quadratic": [[1.0, 0.0], [0.5, 1.0]]}, "quadratic must be symmetric"),
        ({"quadratic": [[1.0, 2.0], [2.0, 1.0]]}, "positive semidefinite for f to be convex; least eigenvalue -1"),
        ({"quadratic": [[1.0, 2.0]]}, "quadratic must be a finite square matrix"),
        ({"quadratic": np.eye(2), "slope": np.zeros(3)}, "must take the same x; received lengths"),
        ({"slope": 1.0}, "slope must be a vector"),
        ({"norms": [(1.0, np.eye(2))]}, r"norms must list \(gamma, C, d\)"),
        ({"maxima": [([[1.0]], [0.0], 1.0)]}, r"maximum 1 must be \(slopes, offsets\); received 3 entries"),
        ({"norms": [(-1.0, np.eye(2), None)]}, "negative entries"),
        ({"maxima": [([[1.0], [2.0]], [0.0])]}, r"maximum 1 needs slopes of shape \(pieces, n\) and as many offsets"),
    ],
)
def test_refusals_are_one_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        FrozenNet.from_structure(**arguments)
