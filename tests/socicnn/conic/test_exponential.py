"""Exponential cones: distances, programs over sets, CVXPY, and who says that it has none."""

from dataclasses import replace
from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest
from scipy import sparse

from socicnn._cvxpy_atom.atom import canonicalise
from socicnn._cvxpy_atom.monotone import decreasing, increasing
from socicnn.conic._cones import Cones
from socicnn.conic._program import ValueProgram
from socicnn.conic._rows import Rows
from socicnn.conic._violation import exponential
from socicnn.conic.export import export
from socicnn.errors import ProgramError
from tests.support.conic_cases import EXPONENTIAL, random_pair
from verify._core.structure import monotone
from verify._proof.program import ProgramProver


def softplus_program(slope: float = 2.0) -> ValueProgram:
    """3 log(1 + exp(slope x - 1)) + x / 2: z >= softplus(a) as exp(a - z) + exp(-z) <= 1."""
    A = np.zeros((8, 3))  # z, u1, u2
    A[0, 1:] = 1.0
    A[1, 0] = -1.0
    A[2, 0] = A[5, 0] = 1.0
    A[4, 1] = A[7, 2] = -1.0
    b = np.array([1.0, 0, -1, 1, 0, 0, 1, 0])
    B = sparse.csr_array(([slope], ([2], [0])), shape=(8, 1))
    q = np.array([3.0, 0, 0])
    return ValueProgram(sparse.csc_array(A), B, b, q, np.array([0.5]), np.array(0.0), Cones(0, 2, (), 2))


def truth(x: float, slope: float = 2.0) -> float:
    return 3 * float(np.logaddexp(0.0, slope * x - 1)) + x / 2


def test_distances_are_upper_bounds_that_vanish_in_the_cone_alone() -> None:
    """The nearest point by CVXPY is at most as far; what lies inside by more than rounding has distance 0."""
    rng = np.random.default_rng(0)
    ratio, height = rng.normal(size=200), rng.exponential(size=200)
    inside = np.stack([height * ratio, height, height * np.exp(ratio) * (1 + 1e-12)], axis=1)
    normal = np.stack([-np.exp(ratio), -np.exp(ratio) * (1 - ratio), np.ones(200) * (1 + 1e-12)], axis=1)
    assert not exponential(inside, dual=False).any()
    assert not exponential(normal, dual=True).any()
    assert (np.einsum("ij,kj->ik", inside, normal) >= -1e-9).all(), "points of a cone and its dual"
    for points, dual in ((inside, False), (normal, True)):
        outside = points - np.array([0, 0, 0.1])
        assert (exponential(outside, dual=dual) > 0).all()
    points = rng.normal(size=(12, 3)) * 2
    for point, far in zip(points, exponential(points, dual=False), strict=True):
        z = cp.Variable(3)
        nearest = cp.Problem(cp.Minimize(cp.norm(z - point)), [cp.ExpCone(z[0], z[1], z[2])]).solve(cp.CLARABEL)
        assert nearest <= far + 1e-6
        assert far < 1e-6 or nearest > 1e-8
    faces = np.array([[-1.0, 0, 2], [0, 0, 0], [1e5, 1e-9, 1.0], [0.0, -1, 3]])
    assert exponential(faces, dual=False)[:2].tolist() == [0.0, 0.0]
    assert np.isfinite(exponential(faces, dual=False)).all()
    assert exponential(np.array([[0.0, 2, 3], [0, -1, 0], [-1, 0, -1]]), dual=True)[0] == 0.0
    assert np.isnan(exponential(np.array([[np.nan, 1, 1]]), dual=True)).all()


def test_value_at_points_and_over_a_set() -> None:
    """Prepared once, moved in x; over a box the least value, with the rows of the set between those of the network."""
    program = softplus_program()
    prepared = program.prepare("clarabel")
    for x in (-3.0, 0.0, 0.7, 20.0):
        assert prepared.solve([x]).value == pytest.approx(truth(x), rel=1e-6, abs=1e-6)
        assert program.at([x]).solve("ecos").value == pytest.approx(truth(x), rel=1e-6, abs=1e-6)
        assert program.at([x]).solve("scs", eps=1e-9).value == pytest.approx(truth(x), rel=1e-6, abs=1e-6)
    box = Rows(
        sparse.csr_array([[1.0], [-1.0], [0.0], [1.0]]), np.array([5.0, -0.25, 3.0, 0.0]), Cones(0, 2, (2,))
    )  # 1/4 <= x <= 5, |x| <= 3
    free = program.free(box)
    assert free.cones == Cones(0, 4, (2,), 2)
    assert free.solve().value == pytest.approx(truth(0.25), rel=1e-6)
    assert "2 exponential cones" in repr(free)


def test_cvxpy_has_the_same_value() -> None:
    program, x = softplus_program(), cp.Variable(1)
    pieces = {name: np.atleast_1d(getattr(program, name)) for name in "bqdr"}
    cost, constraints = canonicalise(program, x, pieces)
    value = cp.Problem(cp.Minimize(cost), [*constraints, x >= 0.25, x <= 5]).solve(cp.CLARABEL)
    assert value == pytest.approx(truth(0.25), rel=1e-6)


def test_the_direction_follows_the_slope_inside_the_cone() -> None:
    """A negative slope decreases, whatever the sign of the row; the linear term has to agree."""
    for slope, up in ((2.0, True), (-2.0, False)):
        program = softplus_program(slope)
        assert increasing(program, x_nonneg=True) is up
        assert not decreasing(program, x_nonpos=True)


def test_sets_and_linear_files_say_that_they_have_none(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="a set takes linear rows and second-order cones; received 1 exponential"):
        Rows(sparse.csr_array((3, 1)), np.zeros(3), Cones(exponential=1))
    program = EXPONENTIAL["mixed_0"].program
    with pytest.raises(ProgramError, match="and 4 exponential cones; choose the format cbf"):
        export(program, tmp_path / "p.mps")
    with pytest.raises(ProgramError, match="must be non-negative"):
        Cones(exponential=-1)


def test_cones_that_are_not_understood_prove_nothing() -> None:
    """A softplus unit is read off the arrays; other exponential cones are named, and no bracket is finite."""
    program = softplus_program()
    empty = replace(program, A=sparse.csc_array(([-1.0], ([1], [0])), shape=(8, 3)))  # no variable in the cones
    bracket = ProgramProver(program)(np.array([[0.3]]))
    assert bracket.lo[0] <= truth(0.3) <= bracket.hi[0] <= bracket.lo[0] + 1e-12
    assert not monotone(program)
    bracket = ProgramProver(empty)(np.array([[0.3]]))
    assert (bracket.lo[0], bracket.hi[0]) == (-np.inf, np.inf)
    assert any("2 exponential cones of no log-sum-exp" in sentence for sentence in monotone(empty))


def test_residuals_of_a_random_pair() -> None:
    known = random_pair(3, 1, 2, (3,), 4, exponential=3)
    assert known.program.solve().value == pytest.approx(known.value, abs=1e-6)
