"""The wrapper around anybody's module: its figure-5 signature, its options, its end."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import verify
from socicnn._compile import Freezable
from socicnn.errors import ModelError
from socicnn.nn import ICNN
from socicnn.positivity import HyperNetwork, Lift, Softplus


class Convex(nn.Module):
    """Somebody's own convex network, with nothing from this package in it."""

    def __init__(self, n: int = 3, width: int = 8, tag: bool = True) -> None:
        super().__init__()
        self.first = nn.Linear(n, width)
        self.inner = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, 1)])
        self.skips = nn.ModuleList([nn.Linear(n, width, bias=False), nn.Linear(n, 1, bias=False)])
        self.register_buffer("scale", torch.tensor(2.0))
        if tag:
            for w in self.constrained_weights:
                w._pos_required = True

    @property
    def constrained_weights(self) -> list[nn.Parameter]:
        return [layer.weight for layer in self.inner]

    def forward(self, x: Tensor, shift: float = 0.0) -> Tensor:
        z = nn.functional.softplus(self.first(x))
        for layer, skip in zip(self.inner, self.skips, strict=True):
            z = nn.functional.softplus(layer(z) + skip(x))
        return self.scale * z.squeeze(-1) + shift


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(64, 3, generator=generator(1))


@pytest.fixture
def module() -> Convex:
    torch.manual_seed(0)
    return Convex()


def moved(lifted: HyperNetwork) -> HyperNetwork:
    """The same with heads off zero, so that the batch matters."""
    with torch.no_grad():
        for weight in lifted.weights:
            weight.head.add_(0.3 * torch.randn(weight.head.shape, generator=generator(2)))
    return lifted


def test_signature_of_the_paper(module: Convex, x: Tensor) -> None:
    lifted = HyperNetwork(input_size=3, hidden_sizes=[64, 64, 96], downstream_network=module)
    assert lifted(x).shape == (64,)
    assert lifted(x, shift=1.0).shape == (64,)
    assert lifted.names == ["inner.0.weight", "inner.1.weight"]
    trained = {name for name, p in lifted.named_parameters() if p.requires_grad}
    assert {"downstream_network.first.weight", "downstream_network.inner.0.bias", "weights.0.b"} <= trained
    assert not {"downstream_network.inner.0.weight", "downstream_network.inner.1.weight"} & trained


@pytest.mark.parametrize("emit", ["constrained", "all"])
@pytest.mark.parametrize("conditioning", ["batch", "single", "independent", "constant"])
@pytest.mark.parametrize("readout", ["softplus", "exp"])
def test_trains_and_ends_plain(module: Convex, x: Tensor, emit, conditioning, readout: str) -> None:
    recipe = Lift(conditioning=conditioning, rank=8, readout=readout)
    lifted = HyperNetwork(3, [16, 16], module, emit=emit, recipe=recipe, generator=generator())
    target = x.square().sum(dim=1)

    def error(plain: nn.Module) -> float:
        return (plain(x) - target).square().mean().item()

    before = error(lifted.finalise(x))
    optimiser = torch.optim.Adam(lifted.parameters(), lr=3e-2)
    for step in range(60):
        batch = x[torch.randperm(64, generator=generator(step))[:32]]
        loss = (lifted(batch) - batch.square().sum(dim=1)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    plain = lifted.finalise(x)
    assert type(plain) is Convex
    assert error(plain) < 0.5 * before
    assert all((w >= 0).all() and w._pos_required and w.requires_grad for w in plain.constrained_weights)
    assert all(p.requires_grad for p in plain.parameters())
    assert set(plain.state_dict()) == set(Convex().state_dict())
    a, b = x[:32], x[32:]
    assert (plain((a + b) / 2) - (plain(a) + plain(b)) / 2).max() <= 1e-5  # float32 rounding


@pytest.mark.parametrize("settings", [{}, {"rank": None}, {"normalise": False}, {"summary": "moments"}])
@pytest.mark.parametrize("emit", ["constrained", "all"])
def test_finalise_is_the_pinned_emission_to_rounding(module: Convex, x: Tensor, settings, emit) -> None:
    module, x = module.double(), x.double()
    lifted = moved(
        HyperNetwork(3, [16, 16], module, emit=emit, recipe=Lift(**{"rank": 8, **settings}), generator=generator())
    )
    for name, value in lifted.emission(x).items():
        assert not value.requires_grad
        assert torch.equal(dict(lifted.finalise(x).named_parameters())[name], value)
    torch.testing.assert_close(lifted(x[:5], condition=x), lifted.finalise(x)(x[:5]), rtol=1e-13, atol=1e-13)
    assert not torch.allclose(lifted(x[:5]), lifted.finalise(x)(x[:5]), rtol=1e-6)


def test_the_batch_is_the_first_argument_unless_another_is_named(module: Convex, x: Tensor) -> None:
    lifted = moved(HyperNetwork(3, [16], module, generator=generator()))
    assert torch.equal(lifted(x), lifted(x, condition=x))
    assert not torch.equal(lifted(x), lifted(x, condition=2 * x))
    assert torch.equal(lifted(x=x, condition=x), lifted(x))


def test_points_of_many_axes_are_flattened(x: Tensor) -> None:
    image = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 1))
    image[2].weight._pos_required = True
    lifted = moved(HyperNetwork(16, [8], image, generator=generator()))
    batch = torch.randn(5, 1, 4, 4, generator=generator(3))
    assert lifted(batch).shape == (5, 1)
    torch.testing.assert_close(lifted(batch), lifted.finalise(batch.flatten(1))(batch))
    grouped = moved(HyperNetwork(3, [8], Convex(), generator=generator()))
    assert grouped(x.reshape(8, 8, 3)).shape == (8, 8)


def test_starts_where_the_module_stands_if_it_may(x: Tensor) -> None:
    module = Convex().double()
    with torch.no_grad():
        module.inner[0].weight.abs_()
    own = module.inner[0].weight.clone()
    drawn = module.inner[1].weight.clone()
    lifted = HyperNetwork(3, [16], module, initialiser="folded", generator=generator())
    final = lifted.finalise(x)
    torch.testing.assert_close(final.inner[0].weight, own, rtol=1e-9, atol=1e-12)
    assert (drawn < 0).any()
    assert (final.inner[1].weight > 0).all()
    torch.testing.assert_close(final.first.weight, module.first.weight, rtol=0, atol=0)


def test_a_draw_from_the_law_has_its_moments() -> None:
    module = nn.Linear(100, 4000)
    module.weight._pos_required = True
    lifted = HyperNetwork(2, [4], module, initialiser="folded", generator=generator())
    weight = lifted.emission(torch.zeros(1, 2))["weight"]
    assert abs(weight.mean().item() - 0.1) < 1e-3  # E |N(0, pi / (2 N))| = 1 / sqrt(N)


def test_everything_can_be_emitted(module: Convex, x: Tensor) -> None:
    before = copy.deepcopy(module.state_dict())
    lifted = HyperNetwork(3, [16], module, emit="all", generator=generator())
    assert set(lifted.names) == {name for name, _ in module.named_parameters()}
    assert not any(p.requires_grad for p in module.parameters())
    start = lifted.emission(x)
    for name in ("first.weight", "first.bias", "inner.0.bias", "skips.1.weight"):
        torch.testing.assert_close(start[name], before[name])  # unconstrained tensors keep their signs
    lifted(x).sum().backward()
    assert all(weight.b.grad is not None for weight in lifted.weights)


def test_same_generator_same_start(x: Tensor) -> None:
    def start(seed: int) -> Tensor:
        torch.manual_seed(5)
        return HyperNetwork(3, [16], Convex(), generator=generator(seed))(x)

    assert torch.equal(start(0), start(0))
    assert not torch.equal(start(0), start(1))


def test_state_goes_into_another_wrapper(module: Convex, x: Tensor) -> None:
    lifted = moved(HyperNetwork(3, [16], module, generator=generator()))
    other = HyperNetwork(3, [16], Convex(), generator=generator(7))
    other.load_state_dict(lifted.state_dict())
    assert torch.equal(other.finalise(x)(x), lifted.finalise(x)(x))


def test_types_follow_the_module(x: Tensor) -> None:
    lifted = moved(HyperNetwork(3, [16], Convex().double(), generator=generator()))
    assert lifted(x.double()).dtype == torch.float64
    assert lifted.finalise(x).inner[0].weight.dtype == torch.float64  # data of another type are converted
    lifted.float()
    assert lifted(x).dtype == torch.float32


def test_wraps_a_network_of_this_package_too() -> None:
    network = ICNN(2, (6, 6), dtype=torch.float64, generator=generator())
    network.W[0].theta._pos_required = True
    lifted = HyperNetwork(2, [8], network, generator=generator())
    x = torch.randn(20, 2, generator=generator(), dtype=torch.float64)
    lifted(x).sum().backward()
    verify.equivalence(lifted.finalise(x), x[:3], solvers=()).raise_if_failed()
    assert not isinstance(lifted, Freezable)  # it has no program yet
    with pytest.raises(ModelError, match=r"not finalised; pass what `finalise\(train_data\)` returns"):
        verify.equivalence(lifted, x[:1])


def test_unfinalised_use_is_refused(module: Convex, x: Tensor) -> None:
    lifted = HyperNetwork(3, [16], module)
    assert lifted.needs_data
    with pytest.raises(ModelError, match="not finalised cannot be evaluated"):
        lifted.eval()(x)
    with pytest.raises(ModelError, match="requires the training data"):
        lifted.finalise()
    constant = HyperNetwork(3, [16], Convex(), recipe=Lift(conditioning="constant")).eval()
    torch.testing.assert_close(constant(x), constant.finalise()(x))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.zeros(4, 2), r"must have 3 entries per point \(input_size\); received shape \(4, 2\)"),
        (torch.zeros(0, 3), "the conditioning batch is empty"),
        (torch.zeros(()), r"received shape \(\)"),
        (None, "must be a tensor; received NoneType"),
        ([[1.0, 2.0, 3.0]], "must be a tensor; received list"),
    ],
)
def test_batches_that_do_not_fit(module: Convex, batch, message: str) -> None:
    lifted = HyperNetwork(3, [16], module)
    # what is no tensor is read where a training set is given
    calls = [lambda: lifted(batch), *([lambda: lifted.finalise(batch)] if isinstance(batch, torch.Tensor) else [])]
    for call in calls:
        with pytest.raises(ModelError, match=message):
            call()
    with pytest.raises(ModelError, match="received NoneType"):
        lifted()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HyperNetwork(3, [16], Convex(tag=False)), "no parameter of Convex is tagged; .*_pos_required = True"),
        (lambda: HyperNetwork(3, [16]), "downstream_network must be a torch module; received NoneType"),
        (lambda: HyperNetwork(0, [16], Convex()), "input_size must be an integer >= 1; received 0"),
        (lambda: HyperNetwork(3, [], Convex()), "hidden must list widths >= 1"),
        (lambda: HyperNetwork(3, [16], Convex(), emit="hope"), "unknown emit 'hope'; there are: all, constrained"),
        (lambda: HyperNetwork(3, [16], Convex(), recipe=Lift(conditioning="hope")), "unknown conditioning 'hope'"),
        (lambda: HyperNetwork(3, [16], Convex(), recipe=Lift(readout="admm")), "reads out with softplus"),
        (lambda: HyperNetwork(3, [16], Convex(), initialiser="hope"), "unknown initialiser 'hope'"),
    ],
)
def test_arguments_that_cannot_be(make, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make()


def test_non_finite_parameters_are_refused() -> None:
    module = Convex()
    with torch.no_grad():
        module.inner[0].weight[0, 0] = torch.nan
    with pytest.raises(ModelError, match="non-finite"):
        HyperNetwork(3, [16], module)


def test_matches_the_recipe(x: Tensor) -> None:
    """With one head and one tensor the wrapper is psi(b + H code), as `Lift` is."""
    module = nn.Linear(3, 1)
    module.weight._pos_required = True
    lifted = moved(HyperNetwork(3, [16], module, generator=generator()))
    lifted.encoder.condition(x)
    weight = lifted.weights[0]
    raw = weight.b + (lifted.encoder() @ weight.head).reshape(1, 3)
    torch.testing.assert_close(lifted.emission(x)["weight"], Softplus().emit(raw))


def test_settings_of_the_recipe_by_keyword_are_deprecated(x: Tensor) -> None:
    with pytest.warns(DeprecationWarning, match=r"rank, readout moved into `recipe`.*Lift\(rank=..., readout=...\)"):
        old = HyperNetwork(3, [16], Convex(), rank=5, readout="exp", generator=generator())
    new = HyperNetwork(3, [16], Convex(), recipe=Lift(rank=5, readout="exp"), generator=generator())
    assert old.recipe == new.recipe == Lift((16,), rank=5, readout="exp")
    assert HyperNetwork(3, [16], Convex()).recipe.rank == 8
    with pytest.raises(TypeError, match="unexpected keyword argument 'ranks'"):
        HyperNetwork(3, [16], Convex(), ranks=5)
