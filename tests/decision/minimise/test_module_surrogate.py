"""Bounds of modules without a program: proven gaps, kinks, and values that overflow."""

import math

import pytest
import torch
from torch import nn

from decision import surrogates
from decision._deciding import decide
from decision._minimise import central_path, methods
from decision._minimise.smoothing import Smoothing, smooth_relu
from decision.baselines import StructuredDCP
from decision.sets import Box, Budget, FeasibleSet, Simplex
from socicnn.nn import ICNN
from socicnn.nn._activations import softplus
from tests.support.cases import generator
from tests.support.modules import Kinked, Opaque, contexts

SETS = [Simplex(4), Box(4, -1.0, 1.0), Budget(4, 1.5)]
WAYS = ["newton", "projected gradient"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Decide by Newton's method, or as if there were too many inputs for it."""
    if request.param != "newton":
        monkeypatch.setattr(methods, "LARGEST_HESSIAN", 0)
    return str(request.param)


@pytest.mark.parametrize("feasible_set", SETS, ids=repr)
@pytest.mark.parametrize("name", ["relu-joint", "soc-joint", "soc-partial"])
def test_bounds_agree_with_those_of_the_conic_program(name: str, feasible_set: FeasibleSet, way: str) -> None:
    size = {"hidden_features": (9, 7)}
    model = surrogates.make(name, 4, 3, generator=generator(0), dtype=torch.float64, **size)
    mine = decide(Opaque(model), feasible_set, contexts(), rtol=1e-4)
    exact = decide(model, feasible_set, contexts(), method="exact", rtol=1e-6)
    assert "plain float64" in mine.status
    assert "on trust" in mine.status
    assert bool(mine.certified.all()), mine.status
    assert feasible_set.contains(mine.x).all()
    assert (mine.value >= exact.value - exact.gap).all()
    assert (mine.value - mine.gap <= exact.value + 1e-12).all()


@pytest.mark.parametrize("feasible_set", SETS, ids=repr)
def test_smooth_surrogates_are_certified(feasible_set: FeasibleSet, way: str) -> None:
    model = StructuredDCP(4, 3, rows=3, generator=generator(2), dtype=torch.float64)
    mine = decide(model, feasible_set, contexts(), rtol=1e-4)
    exact = model.minimise(feasible_set, contexts())
    at = model(exact, contexts()).detach()
    assert bool(mine.certified.all()), mine.status
    assert (mine.value <= at + 1e-4 * (1 + at.abs())).all()
    assert (mine.value - mine.gap <= at + 1e-12).all()


@pytest.mark.parametrize("feasible_set", [*SETS, Simplex(1), Simplex(9), Box(1), Budget(9, 2.0)], ids=repr)
@pytest.mark.parametrize("name", ["softplus-joint", "softplus-partial", "soc-joint"])
def test_newton_proves_tight_gaps(name: str, feasible_set: FeasibleSet) -> None:
    model = surrogates.make(
        name, feasible_set.n, 3, generator=generator(0), dtype=torch.float64, hidden_features=(12, 8)
    )
    tight = decide(Opaque(model), feasible_set, contexts(), rtol=1e-8)
    loose = decide(Opaque(model), feasible_set, contexts(), rtol=1e-3)
    assert bool(tight.certified.all()), tight.status
    assert (tight.value <= loose.value + 1e-12).all()
    assert (loose.value - loose.gap <= tight.value + 1e-12).all()
    assert (feasible_set.violation(tight.x) <= 1e-12).all()
    assert (tight.iterations >= loose.iterations).all()


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("n", [2, 3, 8])
def test_newton_ends_at_kinks_of_every_size(n: int, size: float) -> None:
    theta = contexts(40)
    found = decide(Kinked(n, size), Box(n), theta, rtol=1e-7)
    assert found.certified.all()
    assert (found.gap <= 1e-6 * size * n).all()  # f varies by a few sizes in each coordinate
    x = Box(n).sample(4000, generator(3))
    for row in range(3):
        sampled = Kinked(n, size)(x, theta[row].expand(len(x), -1)).min()
        assert found.value[row] - found.gap[row] <= sampled
        assert found.value[row] <= sampled + found.gap[row]


def test_units_that_switch_in_many_places_do_not_catch_newtons_method() -> None:
    """A rounding whose curvature jumps left half of these contexts without a gap."""
    net = ICNN(20, (64, 64), activation=("relu", "softplus"), context_features=4, generator=generator(0)).double()

    class Steep(nn.Module):
        in_features = 20

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
            return 30 * self.net(30 * x, theta)

    assert decide(Steep(), Box(20), contexts(12, 4), rtol=1e-6).certified.all()


def test_contexts_of_very_different_sizes_are_decided_beside_each_other() -> None:
    class Sized(nn.Module):
        def forward(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
            far = torch.linalg.vector_norm(x - theta[:, :3].abs() / 3, dim=-1)
            return 10.0 ** theta[:, 3] * (far + torch.relu(x[:, 0] - 0.2))

    theta = contexts(60, 4)
    theta[:, 3] *= 4  # 1e-9 to 1e9
    found = decide(Sized(), Box(3), theta, rtol=1e-9)
    assert (found.gap <= 1e-8 * 10.0 ** theta[:, 3] + 1e-9).all()


def test_slopes_without_bound_at_the_faces() -> None:
    class Steep(nn.Module):
        def forward(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
            return (theta * x).sum(dim=-1) - x.sqrt().sum(dim=-1)

    theta = contexts(20, 4)
    for feasible_set in (Simplex(4), Box(4), Budget(4, 1.5)):
        found = decide(Steep(), feasible_set, theta, rtol=1e-7)
        assert bool(found.certified.all()), found.status
        others = Steep()(feasible_set.sample(500, generator(2))[:, None], theta)
        assert (others >= found.value - found.gap).all()


def test_a_linear_module_and_no_context_at_all() -> None:
    class Linear(nn.Module):
        def forward(self, x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
            return (x * theta).sum(dim=-1)

    theta = contexts(5, 4)
    for feasible_set in SETS:
        found = decide(Linear(), feasible_set, theta, rtol=1e-7)
        assert bool(found.certified.all()), found.status
        exact = (feasible_set.minimise_linear(theta) * theta).sum(dim=-1)
        assert (found.value - exact).abs().max() <= 1e-6
        assert len(decide(Linear(), feasible_set, theta[:0])) == 0


def test_sets_without_an_interior_are_decided_by_projected_gradient() -> None:
    feasible_set = Box(4, [0.0, 0.5, -1.0, 0.0], [1.0, 0.5, 1.0, 1.0])
    model = surrogates.make("softplus-joint", 4, 3, generator=generator(0), hidden_features=(9, 7))
    found = decide(model, feasible_set, contexts(), rtol=1e-4)
    assert bool(found.certified.all()), found.status
    assert bool((found.x[:, 1] == 0.5).all())


def test_contexts_are_followed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = surrogates.make("softplus-joint", 4, 3, generator=generator(0), hidden_features=(9, 7))
    whole = decide(model, Simplex(4), contexts(7), rtol=1e-6)
    monkeypatch.setattr(central_path, "PRODUCTS", 12)
    parts = decide(model, Simplex(4), contexts(7), rtol=1e-6)
    assert bool(parts.certified.all()), parts.status
    assert (whole.value - parts.value).abs().max() <= 2e-6 * (1 + whole.value.abs().max())


def test_what_is_left_open_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(central_path, "LEVELS", 2)
    model = surrogates.make("softplus-joint", 4, 3, generator=generator(0), hidden_features=(9, 7))
    found = decide(Opaque(model), Simplex(4), contexts(7), rtol=1e-9)
    assert not bool(found.certified.any())
    assert found.status.startswith("7 of 7 decisions are not certified to a relative gap of 1e-09 (worst ")


def test_a_bound_above_the_minimum_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    # relu rounded from above, not below: the bounds then exceed the minimum, and the comparison above must fail
    def above(self: Smoothing, func: object, types: object, args: tuple[torch.Tensor, ...] = (), kwargs: object = None):
        if func is torch.relu:
            return smooth_relu(args[0], self.delta[:, None])[0]
        return func(*args, **(kwargs or {}))  # type: ignore[operator]

    model = surrogates.make("relu-joint", 4, 3, generator=generator(0), dtype=torch.float64, hidden_features=(9, 7))
    exact = decide(model, Simplex(4), contexts(), method="exact", rtol=1e-6)
    monkeypatch.setattr(Smoothing, "__torch_function__", above)
    wrong = decide(Opaque(model), Simplex(4), contexts(), rtol=1e-4)
    found = wrong.value - wrong.gap > exact.value - 1e-9
    assert bool(found.any()) or "lies above the value" in wrong.status  # the decision itself may notice it
    assert not wrong.ok


def test_nothing_is_certified_where_the_value_overflows() -> None:
    class Underflowing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (800 * x).exp().sum(dim=1).log()

    answer = decide(Underflowing(), Box(2, -1, 1), rtol=0.5)
    assert not answer.certified.any()
    assert answer.relative_gap.tolist() == [torch.inf]
    assert answer.status.startswith("The decision is not certified")


@pytest.mark.parametrize("weight", [1e2, 1e3, 1e6])
def test_softplus_is_convex_where_it_turns_linear(weight: float) -> None:
    """f = w (softplus(x) - x) + s (x - 20), whose minimum lies between 19 and 21: torch's softplus jumps at 20."""

    class Ridge(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            slope = weight * math.exp(-19.5)
            return (weight * (softplus(x) - x) + slope * (x - 20)).sum(dim=1)

    answer = decide(Ridge(), Box(1, 19, 21), rtol=1e-9)
    points = torch.linspace(19, 21, 2001, dtype=torch.float64)[:, None]
    noise = 1e-15 * weight * 21
    assert (Ridge()(points) >= answer.value - answer.gap - noise).all()


class Hill(nn.Module):
    """A concave function: it is not what it is taken for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one value per row."""
        return -(x - 0.1).square().sum(dim=-1)


def test_a_bound_above_the_value_is_no_certificate() -> None:
    answer = decide(Hill(), Box(2, -1.0, 1.0))
    assert answer.gap.tolist() == [torch.inf]
    assert not answer.ok
    assert "lies above the value" in answer.status
