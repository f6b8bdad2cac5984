"""Sets that are invalid, empty or unbounded, and contexts that do not fit: each refused with the reason."""

from collections.abc import Callable
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from decision import decide
from decision.sets import (
    Affine,
    Ball,
    Box,
    CvxpySet,
    Ellipsoid,
    Horizon,
    Intersection,
    Polytope,
    Product,
    Simplex,
)
from socicnn.errors import ModelError, ProgramError, SolverError
from socicnn.frozen import FrozenNet, Layer, Output, Quadratic
from tests.support.small_costs import net


def test_an_empty_set_is_proven_empty() -> None:
    empty = Polytope(A=np.ones((1, 3)), b=[[-1.0], [1.0]], lower=0.0)
    found = decide(net(3, 2), empty)
    assert "1 of 2 contexts: the feasible set is empty, which is proven" in found.status
    assert found.certified.tolist() == [False, True]
    assert found.x[0].isnan().all()
    with pytest.raises(SolverError, match="is empty, which is proven"):
        decide(net(3), Intersection([Simplex(3), Ball(3, 0.5)]))


@pytest.mark.parametrize(
    ("feasible_set", "slope"),
    [
        (Polytope(E=[[1.0, 1.0, 0.0]], f=[1.0], lower=[-np.inf, -np.inf, 0.0]), [1.0, -1.0, 0.0]),
        (Polytope(A=[[1.0, -3.0, 0.0]], b=[1.0], lower=0.0), [-1.0, 0.0, 0.0]),
        (Product([Simplex(2), Polytope(lower=0.0, n=1)]), [0.0, 0.0, -1.0]),
        (CvxpySet([cp.SOC((x := cp.Variable(3))[0], x[1:])]), [-2.0, 1.0, 0.0]),
    ],
)
def test_a_cost_that_falls_without_end_is_proven_to(feasible_set: Any, slope: list[float]) -> None:
    plain = FrozenNet([Layer(None, [[-1.0, 0.0, -1.0]], [2.0])], Output([0.1], slope))
    with pytest.raises(SolverError, match="f falls without end along a direction, which is proven"):
        decide(plain, feasible_set)
    grown = FrozenNet(plain.layers, plain.output, [Quadratic(1.0, np.eye(3))])  # what grows everywhere has a minimum
    assert decide(grown, feasible_set).certified.all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Polytope(), "length of x is not known"),
        (lambda: Polytope(A=[[1.0, 2.0]]), "A and b .* belong together"),
        (lambda: Polytope(A=[[1.0, 2.0]], b=[1.0, 2.0]), r"b must have shape \(1,\)"),
        (lambda: Polytope(A=[[1.0, np.nan]], b=[1.0]), "A of a Polytope has 1 non-finite entries"),
        (lambda: Polytope(lower=[0.0, 2.0], upper=[1.0, 1.0]), "empty: lower exceeds upper in coordinate 1"),
        (lambda: Polytope(lower=[[0.0, np.nan]]), "lower holds NaN"),
        (lambda: Ball(2, -1.0), "radius of a Ball must be a finite number >= 0"),
        (lambda: Ball(2, norm="3"), "norm of a Ball"),
        (lambda: Ellipsoid(np.ones((2, 2, 2))), "B must be a matrix"),
        (lambda: Product([]), "a Product needs a sequence of sets"),
        (lambda: Product(Box(2)), "a Product needs a sequence of sets .* received Box"),  # type: ignore[arg-type]
        (lambda: Intersection(None), "needs a sequence of sets .* received NoneType"),  # type: ignore[arg-type]
        (lambda: Product([1]), "received int"),
        (lambda: Intersection([Box(2), Box(3)]), r"must have one length; received \[2, 3\]"),
        (lambda: Intersection([Ball(2, np.ones((3, 1))), Ball(2, np.ones((4, 1)))]).system, "same contexts"),
        (lambda: Horizon(Box(2)), "number of steps"),
        (lambda: Horizon([Box(2), Box(3)]), "must have one length"),
        (lambda: Horizon(Box(2), 3, link=([[1.0]], [[1.0]], [0.0])), "P and Q must have shape"),
        (lambda: Horizon(Box(2), 3, inputs=[2]), "inputs must be distinct indices"),
        (lambda: Horizon(Box(2), 3, inputs=[0.5]), "inputs must be distinct indices"),  # type: ignore[list-item]
        (lambda: Horizon(Box(2), 3, inputs=[True]), "inputs must be distinct indices"),
        (lambda: Horizon(Box(2), 3, inputs=["0"]), "inputs must be distinct indices"),  # type: ignore[list-item]
        (lambda: Horizon(Box(2), 3, inputs=1), "inputs must be distinct indices"),  # type: ignore[arg-type]
        (lambda: Horizon(Box(2), 3, link=([[1.0, 1.0]], [[1.0, 1.0]])), r"link must be \(P, Q, r\); received 2 parts"),  # type: ignore[arg-type]
        (lambda: Horizon(Box(2), 3, first=[[1.0, 1.0]]), r"first must be \(E, f\); received 1 parts"),  # type: ignore[arg-type]
        (lambda: Horizon(None, 3), "needs a set of `decision.sets`"),  # type: ignore[arg-type]
        (lambda: Horizon.storage(3, capacity=1.0, power=1.0, initial=0.0, efficiency=1.5), "efficiency"),
        (lambda: Affine([1.0], [[1.0], [2.0]]), "an Affine needs a bias"),
    ],
)
def test_invalid_sets_are_refused_with_the_reason(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        make()


def test_an_efficiency_that_is_text_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"efficiency must hold real numbers; received text"):
        Horizon.storage(3, capacity=1.0, power=1.0, initial=0.0, efficiency="1")  # type: ignore[arg-type]


def test_contexts_that_do_not_fit_are_refused() -> None:
    moving = Ball(3, np.ones((4, 1)))
    with pytest.raises(ProgramError, match="for 4 contexts; 5 are to be decided"):
        decide(net(3, 5), moving)
    with pytest.raises(ProgramError, match="give contexts"):
        decide(net(3, 5), Ball(3, Affine(1.0, [1.0])))
    with pytest.raises(ModelError, match="2 coordinates, the network 3 inputs"):
        decide(net(3), Ball(2, 1.0))
    with pytest.raises(ProgramError, match="finite in all contexts"):
        decide(net(3, 2), Polytope(upper=np.array([[1.0, 1.0, 1.0], [1.0, np.inf, 1.0]]), lower=0.0))
