"""Somebody's torch module read as a frozen network: the same values, or a refusal that names the layer."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import verify
from socicnn._compile import value_program
from socicnn.errors import ModelError
from socicnn.frozen import FrozenNet
from socicnn.positivity import HyperNetwork


class Softplus(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return nn.functional.softplus(weight)


class Convex(nn.Module):
    """A plain ICNN with skips; `way` says how its hidden weights are made non-negative."""

    def __init__(self, way: str, sizes: tuple[int, ...] = (3, 6, 5, 1)) -> None:
        super().__init__()
        self.way = way
        n = sizes[0]
        self.skips = nn.ModuleList(nn.Linear(n, size) for size in sizes[1:])
        self.hidden = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(sizes[1:]))
        if way == "parametrisation":
            for layer in self.hidden:
                parametrize.register_parametrization(layer, "weight", Softplus())
        if way == "plain":
            for layer in self.hidden:
                layer.weight.data.abs_()

    def forward(self, x: Tensor) -> Tensor:
        ways = {"softplus": nn.functional.softplus, "exp": torch.exp, "clamp": lambda w: w.clamp(min=0)}
        z = torch.relu(self.skips[0](x))
        for place, (hidden, skip) in enumerate(zip(self.hidden, self.skips[1:], strict=True)):
            weight = ways.get(self.way, lambda w: w)(hidden.weight)
            a = nn.functional.linear(z, weight) + skip(x)
            z = a if place + 1 == len(self.hidden) else torch.relu(a)
        return z.squeeze(-1)


def check(module: nn.Module, n: int = 3) -> FrozenNet:
    net = FrozenNet.from_torch(module, torch.zeros(1, n))
    x = 3 * torch.randn(50, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        expected = module.double()(x).reshape(-1).numpy()
    np.testing.assert_allclose(net(x.numpy()), expected, rtol=1e-11, atol=1e-11)
    return net


@pytest.mark.parametrize("exponent", [torch.full((3,), 2), torch.full((2, 3), 2.0), torch.ones(3), torch.tensor(2)])
def test_an_exponent_may_be_a_tensor_of_equal_entries(exponent: Tensor) -> None:
    check(Written(lambda x: (x**exponent).reshape(len(x), -1) if exponent.ndim < 2 else (x ** exponent[:1])))
    net = FrozenNet.from_torch(Written(lambda x: (x**exponent).reshape(1, -1)), torch.zeros(1, 3))
    power, copies = int(exponent.max()), max(1, exponent.numel() // 3)
    np.testing.assert_allclose(net([[1.0, -2.0, 3.0]]), copies * np.sum(np.array([1.0, -2.0, 3.0]) ** power))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_torch_recomputes_before_each_call_is_read() -> None:
    """It keeps tensors with a graph, which torch does not copy."""
    torch.manual_seed(0)
    for normed in (nn.utils.weight_norm, nn.utils.spectral_norm, nn.utils.parametrizations.weight_norm):
        module = nn.Sequential(normed(nn.Linear(3, 5)), nn.ReLU(), nn.Linear(5, 1))
        module[2].weight.data.abs_()
        module.eval()(torch.zeros(1, 3))
        check(module)
    module.register_buffer("open", None)
    module.stream = (number for number in range(3))
    with pytest.raises(ModelError, match=r"the module cannot be copied .*; give one that copy\.deepcopy copies"):
        FrozenNet.from_torch(module, torch.zeros(1, 3))


@pytest.mark.parametrize("way", ["plain", "parametrisation", "softplus", "exp", "clamp"])
def test_every_way_to_non_negative_weights_is_read(way: str) -> None:
    torch.manual_seed(0)
    net = check(Convex(way))
    assert net.hidden_features == (6, 5)
    x = np.array([0.3, -0.2, 1.0])
    assert value_program(net).at(x).solve().value == pytest.approx(float(net(x[None])[0]), abs=1e-6)


class Pieces(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        top = torch.maximum(a, b).sum(dim=-1) + 0.5 * (a**2).mean(dim=-1) + (b * b).sum(dim=-1) / 3
        tail = nn.functional.leaky_relu(torch.cat([a, b], dim=-1), 0.2)[:, 1:].sum(dim=-1)
        return top + x.abs().sum(dim=1) + tail - 2.0 + torch.relu(tail - 1)


def test_maxima_squares_and_pieces_are_read() -> None:
    torch.manual_seed(0)
    net = check(Pieces())
    assert net.quadratics


class Modern(nn.Module):
    """What modules are made of beside Linear and ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 4)
        self.norm, self.slopes = nn.BatchNorm1d(4), nn.PReLU(4)
        self.norm.running_mean = torch.randn(4)
        self.norm.running_var = torch.rand(4) + 0.5
        self.b.weight.data.abs_()
        self.F = nn.Parameter(torch.randn(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        z = self.slopes(self.b(self.slopes(self.norm(a))))
        Q = self.F.T @ self.F
        form = torch.einsum("bi,ij,bj->b", x, Q, x) + (x @ Q * (x - 1)).sum(dim=-1)
        lengths = torch.linalg.vector_norm(a, dim=-1) + a.norm(p=1, dim=-1) + torch.sqrt((a**2).sum(dim=-1) + 1)
        squared = 0.5 * torch.linalg.vector_norm(x, dim=-1) ** 2
        most = torch.amax(a, dim=-1) + a.max(dim=1).values + torch.clamp(a, min=-0.5).sum(-1)
        return z.sum(dim=-1) + form + lengths + squared + most


class NormsInside(nn.Module):
    """Units that take norms: one each, one for all of them, a norm and squares, and the root of 1 + ||p||^2."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 6), nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        z = torch.relu(b + 0.5 * torch.linalg.vector_norm(a, dim=-1, keepdim=True))
        each = torch.linalg.vector_norm(a.unflatten(-1, (3, 2)), dim=-1)
        u = nn.functional.softplus(0.05 * (nn.functional.linear(z, self.c.weight.abs()) + 0.7 * each + (a**2)[:, :3]))
        both = nn.functional.leaky_relu(each.sum(dim=-1) - 2, 0.25)
        return u.sum(dim=-1) + torch.relu(torch.sqrt((b**2).sum(dim=-1) + 1) - 1.5) + both


def test_norms_inside_units_are_read() -> None:
    """At most one in each unit stays there, others are carried by units of a layer below."""
    torch.manual_seed(3)
    net = check(NormsInside().eval())
    inside = [[name for name, _ in layer.named_inner()] for layer in net.layers]
    assert inside == [["norms"], ["norms"], ["squares", "norms"]]
    assert verify.certify(net, np.random.default_rng(0).normal(size=(5, 3)), proof=True).ok


def test_norms_forms_slopes_normalisation_and_maxima_over_axes_are_read() -> None:
    torch.manual_seed(2)
    module = Modern().eval()
    net = check(module)
    assert len(net.norms) == 2
    assert net.quadratics


@pytest.mark.parametrize("beta", [1.0, 5.0])
def test_softplus_is_read_by_its_exact_formula(beta: float) -> None:
    """torch's own drops the tail beyond 20 / beta, by which the values may differ."""
    torch.manual_seed(4)
    layers = [nn.Linear(3, 6), nn.Softplus(beta), nn.Linear(6, 4), nn.Softplus(beta), nn.Linear(4, 1)]
    for layer in layers[2::2]:
        layer.weight.data.abs_()
    module = nn.Sequential(*layers)
    net = FrozenNet.from_torch(module, torch.zeros(1, 3))
    assert [float(layer.smoothing) for layer in net.layers] == [1 / beta, 1 / beta]
    x = 30 * torch.randn(50, 3, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(net(x.numpy()), module.double()(x)[:, 0].numpy(), rtol=1e-9, atol=1e-9)
        layers[1].threshold = layers[3].threshold = 60
        np.testing.assert_allclose(net(x.numpy()), module(x)[:, 0].numpy(), rtol=1e-12, atol=1e-12)


class Late(nn.Module):
    """Softplus units of x that the read-out alone reads, beside a chain of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.late = nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        soft = nn.functional.softplus
        z = soft(nn.functional.linear(soft(self.first(x)), self.second.weight.abs(), self.second.bias))
        return z.sum(dim=-1) + soft(self.late(x)).sum(dim=-1)


def test_units_stand_in_the_last_layer_that_their_readers_allow() -> None:
    torch.manual_seed(0)
    net = FrozenNet.from_torch(Late(), torch.zeros(1, 3))
    assert net.hidden_features == (4, 7)
    assert [float(layer.smoothing) for layer in net.layers] == [1.0, 1.0]


def test_softplus_units_stand_beside_others_and_are_passed() -> None:
    """Softplus of several sharpness, relu and a maximum in one layer; units that are read past a softplus layer."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            f = nn.functional
            a = self.first(x)
            z = torch.cat([f.softplus(a[:, :1], 4.0), torch.relu(a[:, 1:3]), f.softplus(a[:, 3:])], dim=1)
            y = f.softplus(f.linear(z, self.second.weight.abs(), self.second.bias))
            y = f.linear(y, self.third.weight.abs()).relu() + z[:, :2]
            return (y + f.leaky_relu(y, 0.5)).sum(dim=1) + torch.maximum(x[:, 0], x[:, 1])

    torch.manual_seed(6)
    module = Mixed()
    net = FrozenNet.from_torch(module, torch.zeros(1, 3))
    assert any(layer.smoothing.ndim for layer in net.layers)
    x = 3 * np.random.default_rng(0).normal(size=(40, 3))
    with torch.no_grad():
        np.testing.assert_allclose(net(x), module.double()(torch.tensor(x)).numpy(), rtol=1e-9, atol=1e-9)
    verify.equivalence(net, x, proof=True).raise_if_failed()


def test_log_sum_exp_of_affine_pieces_is_a_branch() -> None:
    torch.manual_seed(5)
    A, b = torch.randn(3, 5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    net = check(Written(lambda x: torch.logsumexp(x @ A.to(x) + b.to(x), dim=-1, keepdim=True)))
    assert (net.hidden_features, net.logsumexps[0].group) == ((), 5)


def test_smooth_terms_stand_beside_relu_units() -> None:
    """Softplus units and groups of log-sum-exps that the output alone reads are branches; others stay in layers."""
    torch.manual_seed(6)
    A, B, C = (torch.randn(3, k, dtype=torch.float64) for k in (4, 2, 6))

    def function(x: Tensor) -> Tensor:
        soft = nn.functional.softplus(x @ B.to(x) + 0.5, beta=2.0, threshold=60.0)
        groups = torch.logsumexp((x @ C.to(x)).unflatten(-1, (2, 3)), dim=-1)
        return torch.cat([torch.relu(x @ A.to(x)), 2 * soft, groups, soft + 0.1], dim=-1)

    net = check(Written(function))
    assert net.hidden_features == (4,)
    assert ([part.group for part in net.logsumexps], [part.omega.size for part in net.logistics]) == ([3], [2])
    above = check(Written(lambda x: torch.relu(nn.functional.softplus(x @ A.to(x), threshold=60.0) - 1.0)))
    assert (above.hidden_features, above.logistics) == ((4, 4), ())


class Written(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x).sum(dim=-1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: torch.clamp(x, 0, 6), "clamps from above"),
        (lambda x: nn.functional.leaky_relu(x, 1.5), "slope 1.5, above 1"),
        (lambda x: nn.functional.leaky_relu(torch.relu(x), -0.5), "slope -0.5, below 0"),
        (lambda x: x * (1 - x), "a quadratic form that is not positive semidefinite"),
        (lambda x: torch.relu(x) * x, "multiplies something that is not affine in x"),
        (lambda x: (torch.relu(x) - 1).abs(), "takes the absolute value"),
        (lambda x: torch.maximum(torch.relu(torch.relu(x) - 1), x**2), "takes the maximum of"),
        (lambda x: torch.linalg.vector_norm(x, ord=3, dim=-1, keepdim=True), "is a norm of order 3"),
        (lambda x: x**3, "has exponent 3"),
        (lambda x: x ** torch.tensor([1.0, 2.0, 3.0]), "has exponent 1, 2, 3; 2, 1 and"),
        (lambda x: 2**x, "has an exponent that depends on x"),
        (lambda x: x**x, "has an exponent that depends on x"),
        (lambda x: x.max(dim=-1, keepdim=True).indices + x, "reads more than the first result"),
    ],
)
def test_the_true_reason_is_given(function, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        FrozenNet.from_torch(Written(function), torch.zeros(1, 3))


def test_a_sequential_and_a_convolution_are_read() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 1)).eval()
    plain[3].weight.data.abs_()
    check(plain)
    image = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 1)
    ).eval()
    image[4].weight.data.abs_()
    net = FrozenNet.from_torch(image, torch.zeros(1, 1, 4, 4))
    x = torch.randn(5, 1, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(net(x.numpy()), image.double()(x)[:, 0].numpy(), rtol=1e-10, atol=1e-12)


def test_what_a_lift_ends_as_is_read() -> None:
    torch.manual_seed(0)
    module = Convex("plain")
    for layer in module.hidden:
        layer.weight._pos_required = True
    lifted = HyperNetwork(3, (8,), module)
    with pytest.raises(ModelError, match="finalise"):
        FrozenNet.from_torch(lifted, torch.zeros(1, 3))
    check(lifted.finalise(torch.randn(40, 3)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)),
            r"layer '3' \(ReLU\) takes layer '2' \(Linear\) with \d+ negative hidden weights",
        ),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), r"layer '1' \(Tanh\) is tanh"),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.ELU(), nn.Linear(4, 1)), r"layer '1' \(ELU\) is elu"),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), "negative hidden weights"),
        (lambda: nn.Linear(3, 2), "one value per point"),
        (lambda: "module", "received str"),
    ],
)
def test_what_is_not_convex_is_refused_by_layer(make, message: str) -> None:
    torch.manual_seed(3)
    with pytest.raises(ModelError, match=message):
        FrozenNet.from_torch(make(), torch.zeros(1, 3))


@pytest.mark.parametrize("example", [np.zeros((0, 2)), "x", None, [[0.0, np.nan]]])
def test_an_example_that_is_no_batch_of_points_is_refused(example) -> None:
    """No points ended in an IndexError, text and None in a TypeError."""
    with pytest.raises(ModelError, match="example must"):
        FrozenNet.from_torch(nn.Linear(2, 1), example)


def test_a_module_without_values_is_refused() -> None:
    with pytest.raises(ModelError, match="on the meta device, where weights have no values"):
        FrozenNet.from_torch(nn.Linear(2, 1, device="meta"), np.zeros((1, 2)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_module_on_a_gpu_is_read() -> None:
    module = nn.Linear(2, 1, device="cuda")
    net = FrozenNet.from_torch(module, torch.zeros(1, 2, device="cuda"))
    assert module.weight.is_cuda
    assert net([[0.0, 0.0]])[0] == module.bias.item()
