"""Sets as inequalities: every row is kept, fixed coordinates are equalities, and what has no interior is declined."""

import numpy as np
import pytest
import torch
from scipy import sparse

from decision import Box, Budget, Simplex
from decision._minimise.interior.polyhedron import Polyhedron
from socicnn.conic._cones import Cones
from socicnn.conic._rows import Rows


@pytest.mark.parametrize(
    "feasible_set",
    [
        Simplex(4),
        Simplex(1),
        Box(3, [0.0, -1.0, 2.0], [1.0, -1.0, 5.0]),
        Budget(5, 2.0),
        Budget(5, 2.0, equality=False),
    ],
)
def test_members_and_barrier(feasible_set) -> None:
    found = Polyhedron.of(feasible_set)
    points = feasible_set.sample(20, torch.Generator().manual_seed(0))
    assert (found.slack(points) >= -1e-12).all()
    assert (found.slack(found.centre[None]) > 0).all()
    torch.testing.assert_close((points - found.centre) @ found.E.T, torch.zeros(20, len(found.E), dtype=torch.float64))
    outside = feasible_set.centre() + 10.0
    assert (found.slack(outside[None]) < 0).any() or len(found.E) > 0
    G = torch.cat([found.bounds, found.general])
    weights = torch.rand(2, len(G), dtype=torch.float64)
    M = torch.zeros(2, feasible_set.n, feasible_set.n, dtype=torch.float64)
    found.add_barrier(M, weights)
    torch.testing.assert_close(M, G.T @ (weights[..., None] * G))
    torch.testing.assert_close(found.adjoint(weights), weights @ G)


class _Odd(Box):  # type: ignore[misc]  # a set of a user's own, for rows that the sets here do not have
    def __init__(self, rows: Rows) -> None:
        super().__init__(2)
        self._own = rows

    def rows(self) -> Rows:
        return self._own


def test_cones_and_flat_sets_are_declined() -> None:
    ball = Rows(sparse.csr_array(np.vstack([np.zeros(2), -np.eye(2)])), np.array([1.0, 0, 0]), Cones(0, 0, (3,)))
    assert Polyhedron.of(_Odd(ball)) is None
    G = np.vstack([np.eye(2), -np.eye(2)])
    flat = Rows(sparse.csr_array(G), np.array([0.5, 0.5, -0.5, -0.5]), Cones(0, 4))
    assert Polyhedron.of(_Odd(flat)) is None
