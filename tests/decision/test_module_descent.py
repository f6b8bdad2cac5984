import pytest
import torch

from decision import surrogates
from decision.baselines import StructuredDCP
from decision.deciding import decide
from decision.module_descent import Rounded, decide_module
from decision.region import Region
from decision.sets import Box, Budget, FeasibleSet, Simplex
from socicnn.errors import ModelError
from tests.support.cases import generator

SETS = [Simplex(4), Box(4, -1.0, 1.0), Budget(4, 1.5)]


def contexts(count: int = 6, p: int = 3) -> torch.Tensor:
    return torch.randn(count, p, generator=generator(1), dtype=torch.float64)


@pytest.mark.parametrize("delta", [1e-6, 0.1, 3.0])
def test_rounding_never_exceeds_and_costs_at_most_delta(delta: float) -> None:
    a = torch.linspace(-5, 5, 2001, dtype=torch.float64)
    u = a.reshape(-1, 3)
    exact = torch.relu(a), torch.linalg.vector_norm(u, dim=-1)
    with Rounded(delta):
        rounded = [torch.relu(a), torch.linalg.vector_norm(u, dim=-1)]
        assert torch.equal(rounded[0], torch.nn.functional.relu(a))
        assert torch.equal(rounded[0], a.relu())
    for low, value, cost in zip(rounded, exact, (delta / 2, delta), strict=True):
        assert (low <= value + 1e-15).all()
        assert (low >= value - cost - 1e-15).all()


def test_other_norms_are_refused() -> None:
    with Rounded(0.1), pytest.raises(ModelError, match=r"received further arguments \['ord'\]"):
        torch.linalg.vector_norm(torch.ones(3), ord=1)


@pytest.mark.parametrize("feasible_set", SETS, ids=repr)
@pytest.mark.parametrize("name", ["relu-joint", "soc-joint", "soc-partial"])
def test_bounds_agree_with_those_of_the_conic_program(name: str, feasible_set: FeasibleSet) -> None:
    size = {"hidden_features": (9, 7)}
    model = surrogates.make(name, 4, 3, generator=generator(0), dtype=torch.float64, **size)
    mine = decide_module(model, feasible_set, contexts(), gap=1e-4)
    exact = decide(model, feasible_set, contexts(), method="exact", gap=1e-6)
    assert bool(mine.certified.all()), mine.status
    assert feasible_set.contains(mine.x).all()
    assert (mine.value >= exact.value - exact.gap).all()
    assert (mine.value - mine.gap <= exact.value + 1e-12).all()


@pytest.mark.parametrize("feasible_set", SETS, ids=repr)
def test_smooth_surrogates_are_certified(feasible_set: FeasibleSet) -> None:
    model = StructuredDCP(4, 3, rows=3, generator=generator(2), dtype=torch.float64)
    mine = decide_module(model, feasible_set, contexts(), gap=1e-4)
    exact = model.minimize(feasible_set, contexts())
    at = model(exact, contexts()).detach()
    assert bool(mine.certified.all()), mine.status
    assert (mine.value <= at + 1e-4 * (1 + at.abs())).all()
    assert (mine.value - mine.gap <= at + 1e-12).all()


def test_the_surrogate_is_left_as_it_was() -> None:
    model = surrogates.make("softplus-joint", 3, 2, generator=generator(0), hidden_features=(5, 5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    region = Region.of(Box(3).sample(50, generator(0)) * 0.2)
    found = decide_module(model, Box(3), contexts(4, 2), gap=1e-4, region=region)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert found.outside is not None
    assert torch.equal(found.outside, region.outside(found.x))


def test_what_cannot_be_is_refused() -> None:
    model = surrogates.make("softplus-partial", 3, 2, hidden_features=(4,))
    with pytest.raises(ModelError, match=r"context must have shape \(contexts, p\); received \(2,\)"):
        decide_module(model, Simplex(3), torch.zeros(2))
    with pytest.raises(ModelError, match="gap must be a positive number; received 0"):
        decide_module(model, Simplex(3), torch.zeros(1, 2), gap=0)
