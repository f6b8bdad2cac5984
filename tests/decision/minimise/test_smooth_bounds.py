"""Decisions about softplus networks: gaps that hold in real arithmetic, whatever the search has found."""

import numpy as np
import pytest
import torch

from decision import Box, Budget, DecideOptions, Decider, Simplex, decide
from decision._minimise.bounds import net_below
from decision._minimise.smooth_bounds import _dual, proven_ends
from decision.sets._base import FeasibleSet
from socicnn import ICNN, SOCICNN, ConvSOCICNN
from socicnn._compile import value_program
from socicnn.errors import NoProgramError
from socicnn.frozen import FrozenNet
from tests.support.softplus import softplus_net
from verify._proof.columns import NetColumns
from verify._proof.network import Prover

SETS = {"simplex": Simplex(4), "box": Box(4, -1.0, 2.0), "budget": Budget(4, 2.0)}
KINDS = [(1.0, 0.25), (0.0, 1.0), (0.5, 0.0), (1e-3, 10.0)]


def minimum(net: FrozenNet, feasible_set: FeasibleSet) -> float:
    """Return a value that min_X f does not exceed: the upper end at a solver's point, moved into the set."""
    x = value_program(net).free(feasible_set.rows()).solve().v[:4]
    return float(Prover(net)(feasible_set.project(torch.tensor(x)[None]).numpy()).hi[0])


@pytest.mark.parametrize("name", SETS)
def test_any_tangent_gives_a_bound_below_the_minimum(name: str) -> None:
    """Far from the answer, at kinks, hardly smoothed or very: never above; next to the answer it is near."""
    region, generator = SETS[name], torch.Generator().manual_seed(0)
    for seed in range(12):
        net = softplus_net(seed, KINDS[seed % 4], terms=seed % 3 == 0)
        least = minimum(net, region)
        x = region.sample(30, generator)
        y = torch.cat([x[:10], 10 * x[10:20], torch.zeros(5, 4, dtype=torch.float64), x[25:]])
        width = 10.0 ** torch.linspace(-150, 1, 30, dtype=torch.float64)
        above, below = proven_ends(net, region, x, y, width)
        assert (below <= least).all()
        assert (above.numpy() >= Prover(net)(x.numpy()).lo).all()


def test_entropies_lift_the_bound() -> None:
    """Without them the tangent of a softplus unit lies log 2 lower at a = 0."""
    net = softplus_net(0)
    columns, y = NetColumns.of(net), np.zeros((4, 1))
    dual = _dual(columns, y, np.ones(1))
    point = Box(4, -1e-9, 1e-9)
    tight, size = net_below(columns, 1, point, dual)
    value = net(np.zeros((1, 4)))[0]
    assert 0 <= value - float(tight) <= 1e-7
    assert float(size) >= abs(float(tight))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("activation", ["softplus", ("relu", "softplus"), ("softplus", "relu")])
def test_decisions_are_certified_in_real_arithmetic(name: str, activation) -> None:
    draw = torch.Generator().manual_seed(1)
    settings = {"activation": activation, "generator": draw, "dtype": torch.float64}
    model = SOCICNN(4, (8, 6), (3,), (2,), context_features=2, **settings)
    theta = torch.randn(5, 2, generator=draw, dtype=torch.float64)
    found = decide(model, SETS[name], theta)
    assert bool(found.certified.all()), found.status
    assert "float64" not in found.status
    for i in range(5):
        net = model.freeze(theta[i])
        least = minimum(net, SETS[name])
        assert float(found.value[i] - found.gap[i]) <= least
        assert float(found.value[i]) >= least - 1e-6 * (1 + abs(least))


def test_what_the_arrays_do_not_prove_is_said() -> None:
    """An accuracy below what affine bounds reach, and a module that no arrays are known of."""
    model = ICNN(3, (6,), activation="softplus", generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert "float64" not in decide(model, Box(3)).status
    curved = SOCICNN(3, (8,), quadratic=(3,), activation="softplus", generator=torch.Generator().manual_seed(2))
    wide = decide(curved.double(), Box(3, -1e9, 1e9))
    assert bool(wide.certified.all()), wide.status
    assert "Some gaps are in plain float64" in wide.status
    module = torch.nn.Sequential(torch.nn.Linear(3, 1, dtype=torch.float64), torch.nn.Flatten(0))
    assert "Gaps are in plain float64" in decide(module, Box(3)).status


def test_images_jobs_and_frozen_networks() -> None:
    draw = torch.Generator().manual_seed(3)
    image = ConvSOCICNN((1, 3, 3), (2,), activation="softplus", generator=draw, dtype=torch.float64)
    assert "float64" not in decide(image, Box(9), rtol=1e-5).status
    model = ICNN(4, (6,), activation="softplus", context_features=2, generator=draw, dtype=torch.float64)
    theta = torch.randn(4, 2, generator=draw, dtype=torch.float64)
    once, again = decide(model, Simplex(4), theta), Decider(model, Simplex(4))
    assert torch.equal(again(theta).x, once.x)
    assert torch.equal(again(theta[:2]).gap, decide(model, Simplex(4), theta[:2]).gap)
    torch.testing.assert_close(decide(model, Simplex(4), theta, options=DecideOptions(jobs=2)).value, once.value)
    with pytest.raises(NoProgramError, match=r"softplus units.*pass the torch network that it was frozen from"):
        decide(softplus_net(0), Box(4))
