"""What every network must do; a test class names its case and inherits the rest."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

import socicnn
from socicnn._compile import compile_net, value_program
from socicnn.errors import ModelError
from socicnn.nn import Network
from socicnn.positivity._base import Weight
from tests.support.cases import Case, witness_errors

COUNT = 24


def value(model: Network, x: Tensor, context: Tensor | None) -> Tensor:
    return model(x) if context is None else model(x, context)


def spread(model: Network, context: Tensor | None, axes: int = 1) -> Tensor | None:
    """The contexts with axes of size one behind their first, so that they go with candidates."""
    return None if context is None or model.context_shape is None else context[(slice(None), *[None] * axes)]


def units(model: Network) -> None:
    """Give the network units that are not 0 and 1."""
    shape = model.standardisation.x_mean.shape
    sizes = {"x_mean": torch.linspace(-1, 2, max(1, shape.numel())).reshape(shape)}
    sizes["x_scale"] = 0.5 + sizes["x_mean"].abs()
    if model.context_shape is not None:
        sizes |= {"context_mean": 0.25, "context_scale": 2.0}
    model.standardise(**sizes, y_mean=-3.0, y_scale=0.125)


class NetworkContract:
    """Inherit, set `case`."""

    case: Case

    @pytest.fixture
    def model(self) -> Network:
        return self.case.model()

    @pytest.fixture
    def x(self, model: Network) -> Tensor:
        return self.case.points(model, COUNT)

    @pytest.fixture
    def context(self, model: Network) -> Tensor | None:
        return self.case.contexts(model, COUNT)

    @pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
    def test_is_convex_along_segments(self, model: Network, context: Tensor | None, scale: float) -> None:
        a, b = (self.case.points(model, COUNT, seed, scale) for seed in (3, 4))
        t = torch.linspace(0, 1, 11, dtype=a.dtype).reshape(-1, *[1] * a.ndim)
        middle = (1 - t) * a + t * b
        theta = None if context is None else context[None]
        t = t.reshape(-1, 1)
        left, right = value(model, a, context), value(model, b, context)
        above = value(model, middle, theta) - ((1 - t) * left + t * right)
        assert above.max() <= 1e-11 * (1 + left.abs().max() + right.abs().max())

    def test_is_convex_in_the_context_too_where_it_is_joint(self, model: Network, x: Tensor) -> None:
        if model.context_shape is None or model.context != "joint":
            return
        a, b = (self.case.contexts(model, COUNT, seed) for seed in (5, 6))
        y = self.case.points(model, COUNT, 7)
        ends = model(x, a) + model(y, b)
        assert (model((x + y) / 2, (a + b) / 2) - ends / 2).max() <= 1e-11 * (1 + ends.abs().max())

    def test_gradient_is_a_subgradient(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        x.requires_grad_()
        here = value(model, x, context)
        (slope,) = torch.autograd.grad(here.sum(), x)
        y = self.case.points(model, COUNT, 8, 3.0)
        there = value(model, y, context)
        cut = here + (slope * (y - x)).flatten(1).sum(dim=1)
        assert (cut - there).max() <= 1e-11 * (1 + there.abs().max())

    def test_gradients_agree_with_differences_at_smooth_points(self, model: Network) -> None:
        x = self.case.points(model, 3, 9).requires_grad_()
        context = self.case.contexts(model, 3)
        arguments = (x,) if context is None else (x, context.requires_grad_())
        assert torch.autograd.gradcheck(model, arguments, eps=1e-7, atol=1e-5)

    def test_every_parameter_gets_a_finite_gradient(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        with torch.no_grad():
            x[0] = model.standardisation.x_mean  # the norms without offset are at zero here
        (value(model, x, context).square().mean() + model.penalty()).backward()
        lost = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
        assert not lost

    def test_batch_shapes(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        event = model.input_shape
        flat = value(model, x, context)
        assert flat.shape == (COUNT,)
        one = value(model, x[0], None if context is None else context[0])
        assert one.shape == ()
        torch.testing.assert_close(one, flat[0])
        grid = x.reshape(4, 6, *event)
        if context is None:
            torch.testing.assert_close(model(grid).flatten(), flat)
            assert model(x[:0]).shape == (0,)
            return
        torch.testing.assert_close(model(grid, context.reshape(4, 6, *context.shape[1:])).flatten(), flat)
        shared = model(grid, spread(model, context[:4]))
        single = torch.stack([model(grid[i], context[i]) for i in range(4)])
        torch.testing.assert_close(shared, single)
        assert model(x[:0], context[:0]).shape == (0,)

    def test_wrong_arguments_are_named(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        with pytest.raises(ModelError, match="x must have shape"):
            value(model, x[..., :-1], context)
        with pytest.raises(ModelError, match="x has type"):
            value(model, x.half(), context)
        if context is None:
            with pytest.raises(ModelError, match="takes none"):
                model(x, torch.zeros(3))
            with pytest.raises(ModelError, match="takes none"):
                model.freeze(torch.zeros(3))
            return
        for call in (model.freeze, lambda: model(x)):
            with pytest.raises(ModelError, match="context is missing"):
                call()
        with pytest.raises(ModelError, match="context must have shape"):
            model(x, context[..., :-1])
        with pytest.raises(ModelError, match="broadcast"):
            model(x, context[:-1])
        grid = x.reshape(4, 6, *model.input_shape)
        with pytest.raises(ModelError, match="unsqueeze"):
            model(grid, context[:6])  # would be taken for the candidates'

    def test_stacks_for_many_seeds_at_once(self, x: Tensor, context: Tensor | None) -> None:
        models = [self.case.model(seed) for seed in range(3)]
        parameters, buffers = stack_module_state(models)
        one = models[0]

        def call(parameters, buffers):
            arguments = (x,) if context is None else (x, context)
            return functional_call(one, (parameters, buffers), arguments)

        stacked = vmap(call)(parameters, buffers)
        torch.testing.assert_close(stacked, torch.stack([value(model, x, context) for model in models]))

    def test_float32_is_the_same_function_to_rounding(self, x: Tensor, context: Tensor | None) -> None:
        model = self.case.model(dtype=torch.float32)
        assert all(t.dtype == torch.float32 for t in model.state_dict().values() if t.is_floating_point())
        low = value(model, x.float(), None if context is None else context.float())
        assert low.dtype == torch.float32
        high = value(self.case.model(), x, context)
        assert (low.double() - high).abs().max() <= 1e-4 * (1 + high.abs().max())

    def test_copies_and_moves_are_the_same_function(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        units(model)
        before = value(model, x, context)
        assert torch.equal(value(copy.deepcopy(model), x, context), before)
        assert torch.equal(value(model.float().double().to("cpu"), x, context).isfinite(), before.isfinite())

    def test_makes_no_tensor_on_another_device(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        """The meta device stands for an accelerator: an operation that mixes devices fails there too."""
        moved = model.to("meta")
        arguments = (x.to("meta"),) if context is None else (x.to("meta"), context.to("meta"))
        moved.condition(*arguments)
        loss = moved(*arguments).sum() + moved.penalty()
        loss.backward()
        moved.after_step()
        assert loss.device.type == "meta"
        assert {p.grad.device.type for p in moved.parameters() if p.grad is not None} == {"meta"}

    def test_standardisation_is_the_change_of_units(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        plain = value(model, x, context)
        units(model)
        s = model.standardisation
        moved = s.x_mean + s.x_scale * x
        theta = None if context is None else s.get_buffer("context_mean") + s.get_buffer("context_scale") * context
        torch.testing.assert_close(value(model, moved, theta), -3.0 + 0.125 * plain)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_saves_and_loads_bit_for_bit(self, tmp_path: Path, dtype: torch.dtype) -> None:
        model = self.case.model(dtype=dtype)
        units(model)
        x, context = self.case.points(model, COUNT), self.case.contexts(model, COUNT)
        path = tmp_path / "model.safetensors"
        state = torch.get_rng_state()
        socicnn.save(model, path)
        loaded = socicnn.load(path)
        assert torch.equal(torch.get_rng_state(), state)
        assert type(loaded) is type(model)
        assert loaded.config() == model.config()
        assert torch.equal(value(loaded, x, context), value(model, x, context))
        assert {k: v.dtype for k, v in loaded.state_dict().items()} == {
            k: v.dtype for k, v in model.state_dict().items()
        }
        assert all(p.requires_grad for p in loaded.parameters())

    def test_finalise_gives_plain_non_negative_weights(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        final = model.finalise()
        assert final.positivity.name == "projected"
        for _, weight in final.constrained():
            assert (weight() >= 0).all()
        torch.testing.assert_close(value(final, x, context), value(model, x, context), rtol=1e-12, atol=1e-12)
        assert sum(p.numel() for p in final.parameters()) == sum(p.numel() for p in model.parameters())

    # from here on: what is a conic program

    @pytest.mark.parametrize("stack", [False, True])
    def test_freezes_to_the_same_function(self, model: Network, x: Tensor, context: Tensor | None, stack: bool) -> None:
        units(model)
        forward = value(model, x, context).detach().numpy()
        tolerance = 1e-12 * (1 + np.abs(forward).max())
        if context is None:
            np.testing.assert_allclose(model.freeze()(x), forward, atol=tolerance)
        elif stack:
            net = model.freeze(context)
            assert net.contexts == COUNT
            np.testing.assert_allclose(net(x), forward, atol=tolerance)
        else:
            values = [model.freeze(theta.numpy())(point)[0] for theta, point in zip(context, x, strict=True)]
            np.testing.assert_allclose(values, forward, atol=tolerance)

    def test_float32_weights_are_lifted_exactly(self) -> None:
        model = self.case.model(dtype=torch.float32)
        context = self.case.contexts(model, 1)
        net = model.freeze(None if context is None else context[0])
        for layer in net.layers:
            for matrix in (layer.W, layer.U):
                if matrix is not None and isinstance(matrix, np.ndarray):
                    np.testing.assert_array_equal(matrix, matrix.astype(np.float32))

    def test_the_witness_proves_the_forward_value(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        units(model)
        compiled = compile_net(model.freeze(context))
        forward = value(model, x, context).detach().numpy()
        errors = witness_errors(compiled, x.reshape(COUNT, -1).numpy(), forward)
        assert max(errors.values()) <= 1e-12, errors

    def test_a_solver_agrees_with_the_forward_value(self, model: Network, x: Tensor, context: Tensor | None) -> None:
        program = value_program(model, None if context is None else context[0])
        solution = program.at(x[0].flatten().numpy()).solve()
        forward = value(model, x[0], None if context is None else context[0]).item()
        assert solution.ok
        assert abs(solution.value - forward) <= 1e-6 * (1 + abs(forward))

    def test_negative_weights_are_refused_until_finalised(self, model: Network, context: Tensor | None) -> None:
        theta = None if context is None else context[0]
        for name, weight in model.constrained():
            raw = dict(weight.named_parameters()).get("theta")
            if raw is None:
                continue  # a softplus read-out cannot be negative
            spoiled = copy.deepcopy(model)
            holder = spoiled.get_submodule(name)
            assert isinstance(holder, Weight)
            with torch.no_grad():
                holder.get_parameter("theta").view(-1)[0] = -0.25
            with pytest.raises(ModelError, match=r"negative entries \(least -.*finalise"):
                spoiled.freeze(theta)
            spoiled.finalise().freeze(theta)

    def test_weights_that_are_not_finite_are_refused(self, model: Network, context: Tensor | None) -> None:
        with torch.no_grad():
            next(model.parameters()).view(-1)[0] = torch.nan
        with pytest.raises(ModelError, match="non-finite"):
            model.freeze(None if context is None else context[0])

    def test_sizes_may_be_integers_of_numpy(self, model: Network, tmp_path: Path) -> None:
        """A network made with NumPy's integers is the same network, and its configuration is still JSON."""

        def counted(value):  # booleans stay what they are
            if isinstance(value, dict):
                return {key: counted(entry) for key, entry in value.items()}
            if isinstance(value, list | tuple):
                return [counted(entry) for entry in value]
            return np.int64(value) if isinstance(value, int) and not isinstance(value, bool) else value

        again = type(model).from_config(counted(model.config()))
        assert again.config() == model.config()
        again.load_state_dict(model.state_dict())
        socicnn.save(again, tmp_path / "again.safetensors")
        assert socicnn.load(tmp_path / "again.safetensors").config() == model.config()

    def test_sizes_that_are_booleans_or_text_are_refused(self, model: Network) -> None:
        for name, size in model.architecture().items():
            if isinstance(size, int) and not isinstance(size, bool):
                for wrong in (True, "3", 2.5):
                    with pytest.raises(ModelError, match=name):
                        type(model).from_config({**model.config(), name: wrong})
