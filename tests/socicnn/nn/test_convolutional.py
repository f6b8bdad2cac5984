"""Convolutional networks: the contract for each case, the formula by another road, sizes, and refusals."""

import copy

import numpy as np
import pytest
import torch
from scipy import sparse

from socicnn._compile import compile_net
from socicnn.errors import ModelError
from socicnn.nn import SOCICNN, AveragePool, Conv, ConvSOCICNN
from tests.contracts.networks import NetworkContract
from tests.support.cases import CONVOLUTIONAL, Case, generator

TORCH = tuple(map(int, torch.__version__.split(".")[:2]))


@pytest.mark.parametrize("case", CONVOLUTIONAL, ids=lambda case: case.name)
class TestConvolutional(NetworkContract):
    @pytest.fixture(autouse=True)
    def _case(self, case: Case) -> None:
        self.case = case


def test_one_pixel_is_the_dense_network() -> None:
    """With a single position every convolution is a matrix, and every mean but the quadratics' a sum."""
    conv = ConvSOCICNN(
        (3, 1), (Conv(4, 1), Conv(2, 1)), (Conv(2, 1),), (Conv(3, 1, group=3),), generator=generator(0)
    ).double()
    dense = SOCICNN(3, (4, 2), (2,), (3,)).double()
    state = dense.state_dict()
    for name, value in conv.state_dict().items():
        other = name.replace("A.0", "A.0.full").replace("C.0", "C.0.full")
        state[other] = value.reshape(state[other].shape) if other in state else value
    state["vectors.positive.beta.theta"] = state["vectors.positive.beta.theta"] / 2
    dense.load_state_dict({name: state[name] for name in dense.state_dict()})
    x = torch.randn(20, 3, generator=generator(1)).double()
    torch.testing.assert_close(conv(x[..., None]), dense(x))


def test_norm_groups_are_channels_of_one_position() -> None:
    model = ConvSOCICNN((2, 3, 4), (), (), (Conv(6, 3, group=3),), generator=generator(0), dtype=torch.float64)
    x = torch.randn(2, 3, 4, generator=generator(1), dtype=torch.float64)
    part = dict(model.vectors(None))
    u = torch.nn.functional.conv2d(x[None], model.C[0], padding=1)[0] + part["d1"]
    total = 0.0
    for g in range(2):
        for i in range(3):
            for j in range(4):
                total += u[3 * g : 3 * g + 3, i, j].norm()
    expected = part["gamma"][0] * total / 24 + (x.mean(dim=(1, 2)) * part["v"].flatten()).sum() + part["c"]
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("context", ["joint", "partial"])
def test_the_order_of_channels_in_memory_changes_nothing(context) -> None:
    """float32 on a processor, with channels last in memory, is float64, where they come first, to rounding."""
    settings = {"context_channels": 2, "context": context, "generator": generator(0)}
    model = ConvSOCICNN((1, 8, 8), (4, AveragePool(2), 4), (Conv(3, 5),), (Conv(4, 3, group=2),), **settings)
    x = torch.rand(3, 5, 1, 8, 8, generator=generator(1))
    theta = torch.rand(3, 1, 2, 8, 8, generator=generator(2))
    assert model.hidden(x, model.vectors(theta))[0].flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    results = []
    for dtype in (torch.float32, torch.float64):
        own = model.to(dtype)
        own.zero_grad()
        point = x.detach().to(dtype, copy=True).requires_grad_()
        value = own(point, theta.to(dtype))
        value.square().sum().backward()
        gradients = [parameter.grad.flatten() for parameter in own.parameters() if parameter.grad is not None]
        results.append([value.detach(), point.grad, torch.cat(gradients)])
    for low, high in zip(*results, strict=True):
        torch.testing.assert_close(low.double(), high, rtol=1e-4, atol=1e-4 * float(high.abs().max()))


def test_images_in_float32_are_mapped_over() -> None:
    model = ConvSOCICNN((2, 5, 5), (4, 4), (Conv(3, 3),), (Conv(4, 3, group=2),), generator=generator(0))
    x = torch.randn(3, 2, 5, 5, generator=generator(1))
    value, slope = torch.func.vmap(torch.func.grad_and_value(model))(x)[::-1]
    torch.testing.assert_close(value, model(x))
    inputs = x.clone().requires_grad_()
    torch.testing.assert_close(slope, torch.autograd.grad(model(inputs).sum(), inputs)[0], rtol=1e-4, atol=1e-5)
    curvature = torch.func.jacrev(torch.func.jacrev(model))(x[0])
    wide = torch.autograd.functional.hessian(copy.deepcopy(model).double(), x[0].double())
    torch.testing.assert_close(curvature.double(), wide, rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(TORCH < (2, 9), reason="older compilers cannot read a ParameterDict")
def test_images_in_float32_are_compiled_in_one_graph() -> None:
    model, x = ConvSOCICNN((2, 5, 5), (3, 3), generator=generator(0)), torch.rand(3, 2, 5, 5, generator=generator(1))
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))


@pytest.mark.parametrize("activation", ["relu", "softplus", "leaky_relu"])
@pytest.mark.parametrize("norm", [(), (Conv(4, 3, per_position=True, group=2),)])
@pytest.mark.parametrize("quadratic", [(), (Conv(2, 3, per_position=True), Conv(2, 3), Conv(1, 1, per_position=True))])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 3), (AveragePool(2), 3)])
@pytest.mark.filterwarnings("ignore::socicnn.errors.DyingUnits")
def test_without_passthrough_branches_are_frozen_as_they_compute(hidden, quadratic, norm, activation) -> None:
    shape = ((1, 6, 6), hidden, quadratic, norm)
    model = ConvSOCICNN(*shape, passthrough=False, activation=activation, generator=generator(3))
    x = torch.randn(5, 1, 6, 6, dtype=torch.float64, generator=generator(0))
    net = model.double().freeze()
    with torch.no_grad():
        np.testing.assert_allclose(net(x), model(x), rtol=1e-12, atol=1e-12)
    compile_net(net)


def test_exported_arrays_are_sparse_and_of_the_right_size() -> None:
    model = ConvSOCICNN((1, 16, 16), (4, 4), (Conv(2, 5),), (Conv(4, 5, group=2),), generator=generator(0))
    net = model.freeze()
    assert net.input_shape == (1, 16, 16)
    assert all(sparse.issparse(m) for k in net.layers for m in (k.W, k.U) if m.shape[1])
    assert net.layers[1].W.nnz <= 4 * 4 * 9 * 256
    assert net.layers[1].W.nnz > 0.8 * 4 * 4 * 9 * 256
    assert net.norms[0].group == 2
    assert compile_net(net).program.cones.second_order == (2 * 256 + 2, *(3,) * 512)


def test_the_size_of_the_paper_compiles_and_certifies() -> None:
    """Three layers of ten channels on 64 x 64, 123,000 units."""
    model = ConvSOCICNN((1, 64, 64), (10, 10, 10), generator=generator(0), dtype=torch.float64)
    x = torch.rand(1, 64, 64, generator=generator(1), dtype=torch.float64)
    compiled = compile_net(model.freeze())
    point = x.reshape(1, -1).numpy()
    witness = compiled.witness(point)
    program = compiled.program.rescaled(witness.k[0])
    assert program.A.shape[1] == 3 * 40960 + 1 + 8 * 4096
    v, y = witness.v[0], witness.y[0]
    affine, right = program.d @ point[0] + program.r, program.b + program.B @ point[0]
    forward = model(x).item()
    assert abs(program.q @ v + affine - forward) <= 1e-12 * (1 + abs(forward))
    assert abs(-right @ y + affine - forward) <= 1e-12 * (1 + np.abs(right) @ np.abs(y))
    assert np.abs(program.A.T @ y + program.q).max() <= 1e-12


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (((4,),), {}, r"input_shape must be \(channels, \*size\) with one to three sizes"),
        (((1, 0),), {}, "input_shape must be"),
        (((1, 4), (0,)), {}, "channels of a convolution must be an integer >= 1; received 0"),
        (((1, 4), ("3x3",)), {}, "each entry of hidden_features must be Conv or AveragePool; received '3x3'"),
        (((1, 4), (), (AveragePool(2),)), {}, "each entry of quadratic must be Conv; received AveragePool"),
        (((1, 4), (), 3), {}, "quadratic lists the branches, one entry each; received 3"),
        (((1, 4), (AveragePool(2),)), {}, "hidden_features has pools but no layer"),
        (((1, 4), (Conv(2, 3, group=1),)), {}, "group of a hidden layer must be left out"),
        (((1, 4), (), (Conv(2, 3, group=1),)), {}, "group of a quadratic branch must be left out"),
        (((1, 4), (Conv(2, 3, per_position=True),)), {}, "per_position of a hidden layer must be left out"),
        (((1, 4), (), (), (Conv(2, 3, per_position=True),)), {}, "per_position of a norm branch needs a group"),
        (((1, 4), (), (), (Conv(4, 3, group=3),)), {}, "group of a norm branch must divide its 4 channels; received 3"),
        (((1, 4), (Conv(2, 7, padding=0),)), {}, "leaves nothing of an image of size"),
        (((1, 4), (AveragePool(5), 2)), {}, "leaves nothing of an image of size"),
        (((1, 4), (AveragePool(2, 1, 2), 2)), {}, "padding of .* must be at most half of the kernel"),
        (((1, 4), (Conv(2, (3, 3)),)), {}, "kernel must be an integer >= 1, or one for each of 1 axes"),
        (((1, 4), (Conv(2, 3, padding="full"),)), {}, "padding must be 'same' or a number of zeros"),
        (((1, 4), (Conv(2, 2, transposed=True),)), {}, "cannot keep the size: a transposed 'same' needs an odd kernel"),
        (((1, 4),), {"context_features": 2, "context_channels": 2}, "a vector.*or.*an image.*not both"),
        (((1, 4),), {"context_channels": -1}, "context_channels must be an integer >= 0"),
        (
            ((1, 4),),
            {"context_channels": 1, "context": "joint", "quadratic_offset": False},
            "a joint context enters the quadratics through their offsets",
        ),
    ],
)
def test_refusals_name_the_argument(arguments, settings, message) -> None:
    with pytest.raises(ModelError, match=message):
        ConvSOCICNN(*arguments, **settings)


def test_the_old_name_of_the_layers_is_read_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="hidden is now hidden_features"):
        old = ConvSOCICNN((1, 4), hidden=(3,), generator=torch.Generator().manual_seed(0))  # type: ignore[call-arg]
    new = ConvSOCICNN((1, 4), hidden_features=(3,), generator=torch.Generator().manual_seed(0))
    assert old.config() == new.config()


def test_a_configuration_of_an_older_file_is_read() -> None:
    config = ConvSOCICNN((1, 4), (3, AveragePool(2), 2)).config()
    older = {"hidden" if name == "hidden_features" else name: value for name, value in config.items()}
    assert ConvSOCICNN.from_config(older).config() == config


def test_parameter_counts_of_smooth_branches() -> None:
    """A kernel, an offset per channel, and one weight of a log-sum-exp or one per channel of a logistic branch."""
    count = lambda **more: sum(p.numel() for p in ConvSOCICNN((2, 5, 5), (3,), (), (), **more).parameters())  # noqa: E731
    base = count()
    assert count(logsumexp=(Conv(4, 3, group=2),)) - base == 4 * 2 * 9 + 4 + 1
    assert count(logsumexp=(4, 1)) - base == 5 * 2 * 9 + 5 + 2
    assert count(logistic=(Conv(4, 5),)) - base == 4 * 2 * 25 + 2 * 4
    with pytest.raises(ModelError, match="group of a logistic branch must be left out"):
        ConvSOCICNN((2, 5, 5), logistic=(Conv(4, 3, group=2),))
    with pytest.raises(ModelError, match="group of a logsumexp branch must divide its 4 channels"):
        ConvSOCICNN((2, 5, 5), logsumexp=(Conv(4, 3, group=3),))
