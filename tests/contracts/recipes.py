"""What every recipe must do; a test class names its recipe and inherits the rest."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

import socicnn
import verify
from socicnn.errors import ModelError
from socicnn.nn import ICNN, SOCICNN, Network
from socicnn.positivity import Recipe, recipe
from socicnn.positivity._base import Weight

SHAPES = [(5,), (4, 3), (4, 3, 2), (4, 3, 2, 2), (1, 1), ()]  # vectors, dense, temporal and image kernels, numbers
NETWORKS = {
    "icnn": lambda **means: ICNN(3, (9, 7), **means),
    "soc": lambda **means: SOCICNN(3, (8, 6), (3,), (3, 2), **means),
    "joint": lambda **means: SOCICNN(3, (6, 5), context_features=2, context="joint", **means),
    "partial": lambda **means: SOCICNN(3, (6, 5), context_features=2, **means),
    "one-unit": lambda **means: ICNN(1, (1, 1), **means),
}


WIDE = [kind for kind in NETWORKS if kind != "one-unit"]  # a single unit may be off, and then learns nothing


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def target(x: Tensor) -> Tensor:
    return x.square().sum(dim=1) + x.abs().sum(dim=1)


def train(model: Network, steps: int, learning_rate: float = 1e-2) -> None:
    """Fit a convex function by a loop with every hook."""
    draw = generator(3)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    model.train()
    for _ in range(steps):
        x = torch.randn(64, model.input_shape[0], generator=draw, dtype=model.dtype)
        context = None if model.context_shape is None else torch.randn(64, 2, generator=draw, dtype=model.dtype)
        model.condition(x, context)
        loss = (model(x, context) - target(x)).square().mean()
        optimiser.zero_grad()
        (loss + model.penalty()).backward()
        optimiser.step()
        model.after_step()


def data(model: Network, count: int = 50) -> tuple[Tensor, Tensor | None]:
    x = normal(count, *model.input_shape, seed=5).to(model.dtype)
    return x, None if model.context_shape is None else normal(count, 2, seed=6).to(model.dtype)


class RecipeContract(ABC):
    """Inherit, give `make`; `least` is the least weight that the recipe can start at."""

    least = 0.0

    @abstractmethod
    def make(self) -> Recipe: ...

    def network(self, kind: str = "soc", seed: int = 0, dtype: torch.dtype = torch.float64) -> Network:
        return NETWORKS[kind](positivity=self.make(), generator=generator(seed), dtype=dtype)

    def holder(self, initial: Tensor) -> Weight:
        """A weight that can be read, outside of any network."""
        made = self.make()
        shared = made.shared(3, generator())
        if shared is not None:
            shared.double()
            shared.condition(normal(20, 3))
        return made.weight(initial, shared)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_starts_where_it_is_told(self, shape: tuple[int, ...]) -> None:
        initial = 0.01 + normal(*shape).abs() * torch.logspace(-3, 3, 6, dtype=torch.float64)[len(shape)]
        weight = self.holder(initial)
        torch.manual_seed(0)  # the noisy recipe draws as dropout does
        read = weight.eval().final()
        assert read.shape == torch.Size(shape)
        torch.testing.assert_close(read, initial.clamp(min=self.least), rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_zero_starts_at_the_least_weight(self, shape: tuple[int, ...]) -> None:
        read = self.holder(torch.zeros(shape, dtype=torch.float64)).final()
        assert (read >= 0).all()
        torch.testing.assert_close(read, torch.full(shape, self.least, dtype=torch.float64), rtol=1e-6, atol=0.0)

    def test_final_is_a_copy_without_a_graph(self) -> None:
        weight = self.holder(normal(4, 3).abs())
        final = weight.final()
        assert not final.requires_grad
        kept = final.clone()
        with torch.no_grad():
            for tensor in [*weight.parameters(), *weight.buffers()]:
                tensor.add_(1)
        assert torch.equal(final, kept)

    def test_its_description_makes_it_again(self) -> None:
        made = self.make()
        assert recipe(made.name, **made.config()) == made
        assert recipe(made.name, **recipe(made.name, **made.config()).config()) == made

    def test_emits_non_negative_values_of_any_number(self) -> None:
        raw = torch.tensor([-1e6, -30.0, -1.0, 0.0, 1.0, 30.0, 80.0], dtype=torch.float64)
        emitted = self.make().emit(raw)
        assert (emitted >= 0).all()
        assert emitted.isfinite().all()

    @pytest.mark.parametrize("kind", WIDE)
    def test_trains(self, kind: str) -> None:
        torch.manual_seed(0)
        model = self.network(kind)
        x, context = data(model, 200)

        def error() -> float:
            return (model.finalise((x, context))(x, context) - target(x)).square().mean().item()

        before = error()
        train(model, 40)
        assert error() < 0.8 * before

    @pytest.mark.parametrize("kind", WIDE)
    def test_every_parameter_learns(self, kind: str) -> None:
        torch.manual_seed(0)
        model = self.network(kind)
        train(model, 2)  # a head that starts at zero lets nothing through before its first step
        before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
        train(model, 2)
        still = [name for name, tensor in model.named_parameters() if torch.equal(tensor, before[name])]
        assert not still

    @pytest.mark.parametrize("kind", NETWORKS)
    @pytest.mark.parametrize("learning_rate", [3e-3, 1.0])
    def test_ends_non_negative_exports_and_verifies(self, kind: str, learning_rate: float) -> None:
        torch.manual_seed(0)
        model = self.network(kind)
        train(model, 8, learning_rate)  # with steps of one, weights are thrown far to both sides
        final = model.finalise(data(model))
        assert all((weight() >= 0).all() for _, weight in final.constrained())
        x, context = data(model, 4)
        theta = None if context is None else context[0]
        forward = final(x, theta).detach().numpy()
        np.testing.assert_allclose(final.freeze(theta)(x), forward, rtol=1e-12, atol=1e-12 * (1 + abs(forward).max()))
        verify.equivalence(final, x, theta, solvers=()).raise_if_failed()

    @pytest.mark.parametrize("kind", NETWORKS)
    def test_training_mode_freezes_as_evaluation_mode_does(self, kind: str) -> None:
        model = self.network(kind)
        theta = None if model.context_shape is None else np.array([0.5, -1.0])
        if model.needs_data:  # refused in either mode
            with pytest.raises(ModelError, match="depend on data"):
                model.freeze(theta)
            return
        frozen = model.eval().freeze(theta)
        model.train()
        part = next(model.constrained())[1].eval()  # modes may be mixed
        modes = [module.training for module in model.modules()]
        assert model.freeze(theta).fingerprint == frozen.fingerprint
        standard = model.standard_context(theta)
        assembled = model.assemble(model.vectors.frozen(standard)).fingerprint  # as decisions read it
        assert [module.training for module in model.modules()] == modes
        assert not part.training
        model.eval()
        assert assembled == model.assemble(model.vectors.frozen(standard)).fingerprint

    def test_its_emission_is_what_the_network_was(self) -> None:
        torch.manual_seed(0)
        model = self.network()
        train(model, 5)
        finals = [weight.final() for _, weight in model.finalise(data(model)).constrained()]
        own = [weight.final() for _, weight in model.constrained()]
        assert all(torch.equal(a, b) for a, b in zip(finals, own, strict=True))

    def test_a_solver_agrees_with_the_trained_network(self) -> None:
        torch.manual_seed(0)
        model = self.network("soc")
        train(model, 10)
        final = model.finalise(data(model))
        verify.equivalence(final, data(model, 2)[0], solvers=("clarabel",)).raise_if_failed()

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_saves_and_loads_in_the_middle_of_training(self, tmp_path: Path, dtype: torch.dtype) -> None:
        torch.manual_seed(0)
        model = self.network("soc", dtype=dtype)
        train(model, 3)
        socicnn.save(model, tmp_path / "model.safetensors")
        loaded = socicnn.load(tmp_path / "model.safetensors")
        assert loaded.config() == model.config()
        assert loaded.positivity == model.positivity
        x, _ = data(model)
        final, again = model.finalise(x), loaded.finalise(x)
        assert torch.equal(final(x), again(x))
        for continued in (model, loaded):
            torch.manual_seed(1)
            train(continued, 3)
        torch.testing.assert_close(model.finalise(x)(x), loaded.finalise(x)(x))

    def test_copies_train_apart(self) -> None:
        torch.manual_seed(0)
        model = self.network()
        train(model, 2)
        x, _ = data(model)
        before = model.finalise(x)(x)
        twin = copy.deepcopy(model)
        train(twin, 2)
        assert torch.equal(model.finalise(x)(x), before)
        assert not torch.equal(twin.finalise(x)(x), before)

    def test_is_convex_while_it_trains(self) -> None:
        torch.manual_seed(0)
        model = self.network("icnn")
        train(model, 10, 0.5)
        x, _ = data(model)
        model.condition(x)
        assert all((weight() >= 0).all() for _, weight in model.constrained())

    def test_many_seeds_train_stacked(self) -> None:
        models = [self.network(seed=seed) for seed in range(3)]
        x = normal(3, 16, 3)
        state = stack_module_state(models)

        def energy(parameters: dict[str, Tensor], buffers: dict[str, Tensor], points: Tensor) -> Tensor:
            return functional_call(_Conditioned(models[0]), (_below(parameters), _below(buffers)), (points,))

        torch.manual_seed(0)
        stacked = vmap(energy, randomness="different")(*state, x)
        stacked.sum().backward()
        torch.manual_seed(0)
        apart = [_Conditioned(model)(points) for model, points in zip(models, x, strict=True)]
        sum(value.sum() for value in apart).backward()
        if self.make().name == "noisy":
            return  # stacked draws are other draws
        torch.testing.assert_close(stacked, torch.stack(apart))
        for index, model in enumerate(models):
            for name, parameter in model.named_parameters():
                torch.testing.assert_close(state[0][name].grad[index], parameter.grad, msg=name)

    def test_settings_out_of_range_are_refused(self) -> None:
        with pytest.raises(ModelError, match="does not take these settings"):
            recipe(self.make().name, hope=1)


class _Conditioned(torch.nn.Module):
    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        self.model.condition(x)
        return self.model(x)


def _below(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"model.{name}": tensor for name, tensor in state.items()}
