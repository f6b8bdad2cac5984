"""Sets of one's own: three members, or CVXPY constraints with helper variables and parameters."""

import cvxpy as cp
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from decision import decide
from decision.sets import Ball, CvxpySet, OracleSet, Polytope, Simplex
from socicnn.errors import ModelError, ProgramError
from socicnn.frozen import FrozenNet, Output, Quadratic

RNG = np.random.default_rng(0)


def bowl(n: int, contexts: int) -> FrozenNet:
    """Return ||x||^2 + v'x, one v per context."""
    return FrozenNet([], Output([], RNG.normal(size=(contexts, n))), [Quadratic(np.ones(contexts), np.eye(n))])


class Disc:
    """The unit disc, by the three members that a set of one's own needs."""

    n = 2

    def project(self, x: Tensor) -> Tensor:
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp(min=1.0)

    def minimise_linear(self, g: Tensor) -> Tensor:
        return -nn.functional.normalize(g, dim=-1)


def test_three_members_are_a_set() -> None:
    cost = bowl(2, 6)
    found, known = decide(cost, Disc()), decide(cost, Ball(2))
    assert found.certified.all(), found.status
    assert "taken on trust" in found.status
    torch.testing.assert_close(found.value, known.value, rtol=1e-6, atol=1e-6)


def test_the_centre_comes_in_types_and_at_places_of_torch() -> None:
    disc = OracleSet.of(Disc())
    assert disc.centre(dtype=torch.float32).dtype == torch.float32
    assert disc.centre(device="meta").is_meta
    for make in (disc.centre, lambda dtype: disc.sample(2, dtype=dtype)):
        with pytest.raises(ModelError, match="dtype must be a floating type of torch"):
            make(dtype="float32")
    with pytest.raises(ModelError, match="device must be a torch device"):
        disc.centre(device="gpu")


def test_a_module_over_a_ball_uses_its_oracles() -> None:
    class Soft(nn.Module):
        def forward(self, x: Tensor, context: Tensor) -> Tensor:
            return nn.functional.softplus(x * context).sum(dim=-1) + x.square().sum(dim=-1)

    theta = torch.tensor(RNG.normal(size=(3, 2)))
    for feasible_set in (Ball(2, 0.3, [1.0, 0.0]), Ball(2, 0.3, norm="1")):
        found = decide(Soft(), feasible_set, theta, rtol=1e-5)
        assert found.certified.all(), found.status
    with pytest.raises(ModelError, match="needs a set with exact oracles"):
        decide(Soft(), Polytope(A=[[1.0, 2.0]], b=[1.0], lower=-1.0), theta)


def test_oracles_that_are_wrong_are_named() -> None:
    with pytest.raises(ProgramError, match="project of the set must return a tensor of the shape"):
        OracleSet(2, lambda x: x[..., :1], lambda g: -g)
    with pytest.raises(ProgramError, match="the set must be bounded"):
        OracleSet(2, lambda x: x, lambda g: -torch.inf * g)
    disc = OracleSet.of(Disc())
    with pytest.raises(ProgramError, match="has no conic rows"):
        disc.rows()
    with pytest.raises(ProgramError, match="oracles alone"):
        disc.constraints(cp.Variable(2))


def test_helper_variables_of_the_size_of_x() -> None:
    """x= says which variable is x where another one has its size."""
    x, t = cp.Variable(3), cp.Variable(3)
    constraints = [cp.abs(x) <= t, cp.sum(t) <= 1]
    cost = bowl(3, 4)
    with pytest.raises(ProgramError, match=r"found 2 among 2 variables .*x=\.\.\."):
        decide(cost, constraints)
    found = decide(cost, CvxpySet(constraints, x=x))
    assert found.certified.all(), found.status
    torch.testing.assert_close(found.value, decide(cost, Ball(3, norm="1")).value, rtol=1e-6, atol=1e-6)
    with pytest.raises(ProgramError, match="x= must be a CVXPY variable"):
        decide(cost, CvxpySet(constraints, x=cp.Variable(3)))


def test_parameters_have_a_value_per_context() -> None:
    x, total, slope = cp.Variable(3), cp.Parameter(), cp.Parameter(3)
    totals, slopes = RNG.uniform(1.0, 2.0, size=4), RNG.normal(size=(4, 3))
    cost = bowl(3, 4)
    day = CvxpySet([x >= 0, cp.sum(x) == total, slope @ x <= 1], parameters={total: totals, slope: slopes})
    found = decide(cost, day)
    assert found.certified.all(), found.status
    for i in range(4):
        still = Polytope(slopes[i : i + 1], [1.0], np.ones((1, 3)), [totals[i]], lower=0.0)
        alone = decide(cost.take(i), still)
        assert float(found.value[i]) == pytest.approx(float(alone.value[0]), rel=1e-6, abs=1e-6)
    with pytest.raises(ModelError, match="values for 4 contexts; 5 are to be decided"):
        decide(bowl(3, 5), day)
    one = FrozenNet([], Output([], [0.0, 0.0, -1.0]), [Quadratic(1.0, np.eye(3))])
    repeated = decide(one, CvxpySet([x >= 0, cp.sum(x) == total], parameters={total: totals}))
    np.testing.assert_allclose(repeated.x.sum(dim=1), totals, atol=1e-9)


def test_parameters_of_other_cones_move_too() -> None:
    """An exponential cone: nothing is proven, but each context has its own set."""
    x, level = cp.Variable(2), cp.Parameter()
    found = decide(bowl(2, 2), CvxpySet([cp.log_sum_exp(x) <= level], parameters={level: [0.0, -3.0]}))
    sums = torch.logsumexp(found.x, dim=1)
    assert sums[0] <= 1e-6
    assert sums[1] <= -3 + 1e-6
    assert "Nothing is proven" in found.status


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1.0]], r"must have shape \(contexts\)"),
        ([np.nan], "must be finite"),
        ([], "at least one"),
    ],
)
def test_wrong_values_of_parameters_are_named(value: list[float], message: str) -> None:
    x, total = cp.Variable(2), cp.Parameter(name="total")
    with pytest.raises(ProgramError, match=message):
        decide(bowl(2, 1), CvxpySet([x >= 0, cp.sum(x) == total], parameters={total: value}))


def test_parameters_without_values_and_strangers_are_refused() -> None:
    x, total = cp.Variable(2), cp.Parameter(name="total")
    with pytest.raises(ProgramError, match="without a value: total"):
        decide(bowl(2, 1), [x >= 0, cp.sum(x) == total])
    with pytest.raises(ProgramError, match="not a parameter of the constraints"):
        decide(bowl(2, 1), CvxpySet([x >= 0, x <= 1], parameters={total: [1.0]}))
    total.value = 1.0
    cost = bowl(2, 30)
    found = decide(cost, [x >= 0, cp.sum(x) == total])
    torch.testing.assert_close(found.value, decide(cost, Simplex(2)).value, rtol=1e-6, atol=1e-6)
