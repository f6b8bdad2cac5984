"""The cross-covariance estimator: its formula, its structural zeros, the ablation of four architectures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from socicnn.errors import ModelError
from socicnn.nn import ICNN
from socicnn.positivity import HyperNetwork, Lift, recipe
from socicnn.positivity.diagnostics import CrossCovariance, cross_covariance, probe


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def batches(count: int, seed: int = 3, size: int = 16) -> list[Tensor]:
    return list(normal(count, size, 2, seed=seed))


ARCHITECTURES = {
    "softplus(raw)": "softplus",
    "softplus(b + raw)": "biased",
    "softplus(h(X))": Lift(hidden=(8, 8), rank=8, slack=False),
    "softplus(b + h(X))": Lift(hidden=(8, 8), rank=8),
}
DELETIONS = [name for name in ARCHITECTURES if name != "softplus(b + h(X))"]


def trained(positivity, seed: int = 0) -> ICNN:
    """A few steps on, so that heads have left zero."""
    model = ICNN(2, (8, 8), positivity=recipe(positivity), generator=generator(seed), dtype=torch.float64)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-2)
    for batch in batches(20, seed=4):
        optimiser.zero_grad()
        loss_of(model)(batch).backward()
        optimiser.step()
    return model


def loss_of(model: ICNN):
    def loss(batch: Tensor) -> Tensor:
        model.condition(batch)
        return (model(batch) - batch.square().sum(dim=1)).square().mean()

    return loss


def test_matches_the_matrix_it_never_forms() -> None:
    theta, gradient = normal(7, 30), normal(7, 30, seed=2)
    a, b = theta - theta.mean(dim=0), gradient - gradient.mean(dim=0)
    sigma = a.T @ b / 7
    norm, trace = cross_covariance(theta, gradient)
    assert abs(norm - sigma.norm().item()) < 1e-12
    assert abs(trace - sigma.trace().item()) < 1e-12


def test_float32_windows_are_read_in_float64() -> None:
    theta, gradient = 1e4 + normal(5, 40).float(), normal(5, 40, seed=2).float()
    norm, trace = cross_covariance(theta, gradient)
    assert (norm, trace) == cross_covariance(theta.double(), gradient.double())


@pytest.mark.parametrize("name", DELETIONS)
def test_every_deletion_reads_zero_identically(name: str) -> None:
    model = trained(ARCHITECTURES[name])
    reading = probe(model, loss_of(model), batches(8))
    assert (reading.norm, reading.trace, reading.count) == (0.0, 0.0, 8)
    window = CrossCovariance(model, window=8)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-2)
    for batch in batches(12, seed=5):
        optimiser.zero_grad()
        loss_of(model)(batch).backward()
        window.record()
        optimiser.step()
    reading = window.reading()
    assert (reading.norm, reading.trace, reading.count) == (0.0, 0.0, 8)


def test_the_full_lift_reads_a_finite_number() -> None:
    model = trained(ARCHITECTURES["softplus(b + h(X))"])
    reading = probe(model, loss_of(model), batches(32))
    assert reading.norm > 1e-4
    assert abs(reading.trace) <= reading.norm * model.W[0].b.numel() ** 0.5 * 4
    window = CrossCovariance(model, window=16)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    for batch in batches(16, seed=5):
        optimiser.zero_grad()
        loss_of(model)(batch).backward()
        window.record()
        optimiser.step()
    assert window.reading().norm > 1e-4


def test_the_probe_is_the_formula() -> None:
    model, draws = trained(Lift(hidden=(8, 8), rank=8)), batches(5)
    thetas, gradients = [], []
    for batch in draws:
        model.condition(batch)
        holders = [weight for _, weight in model.constrained()]
        raws = [holder.raw for holder in holders]
        thetas.append(torch.cat([raw.detach().reshape(-1) for raw in raws]))
        model.zero_grad()
        loss_of(model)(batch).backward()
        gradients.append(torch.cat([holder.b.grad.reshape(-1).clone() for holder in holders]))
    theta, gradient = torch.stack(thetas), torch.stack(gradients)
    a, b = theta - theta.mean(dim=0), gradient - gradient.mean(dim=0)
    reading = probe(model, loss_of(model), draws)
    assert abs(reading.norm - (a.T @ b / 5).norm().item()) < 1e-10 * reading.norm
    assert reading.least == theta.min().item()


def test_a_constant_code_reads_zero() -> None:
    model = trained(Lift(hidden=(8, 8), rank=8, conditioning="constant"))
    assert probe(model, loss_of(model), batches(8)).norm == 0.0


@pytest.fixture(scope="module")
def moving() -> ICNN:
    """A lift whose heads are large, so that much depends on the batch."""
    model = trained(Lift(hidden=(8, 8), rank=8))
    with torch.no_grad():
        for _, weight in model.constrained():
            weight.head.mul_(3)
    return model


def parted_norm(model: ICNN, count: int) -> float:
    """Mean reading where theta and the gradient have batches of their own."""
    pairs = [(batches(count, 100 + s), batches(count, 200 + s)) for s in range(6)]
    return sum(probe(model, loss_of(model), *pair).norm for pair in pairs) / len(pairs)


@pytest.fixture(scope="module")
def many(moving: ICNN) -> float:
    """The mean reading of independent batches, of 256 each."""
    return parted_norm(moving, 256)


def test_independent_batches_read_zero_in_expectation_at_the_rate_of_the_root(moving: ICNN, many: float) -> None:
    few = parted_norm(moving, 8)
    assert 0.08 < many / few < 0.45  # thirty-two times the batches: 0.18, but for chance
    assert probe(moving, loss_of(moving), batches(256)).norm > 3 * many


def test_weights_emitted_from_another_batch_still_move_the_gradient(moving: ICNN, many: float) -> None:
    """Emitting from another batch than the loss's does not part the two: the gradient is taken at those weights."""
    draw = generator(9)

    def loss(batch: Tensor) -> Tensor:
        moving.condition(torch.randn(16, 2, generator=draw, dtype=torch.float64))
        return (moving(batch) - batch.square().sum(dim=1)).square().mean()

    assert probe(moving, loss, batches(256)).norm > 3 * many


def test_reads_a_wrapper_too() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Softplus(), torch.nn.Linear(8, 1)).double()
    module[2].weight._pos_required = True
    lifted = HyperNetwork(2, [8], module, generator=generator())
    with torch.no_grad():
        lifted.weights[0].head.add_(0.2)
    reading = probe(lifted, lambda batch: lifted(batch).square().mean(), batches(8))
    assert reading.norm > 0
    other = probe(lifted, lambda batch: lifted(batch).square().mean(), batches(8), batches(8, seed=8))
    assert other.norm != reading.norm


def test_refusals() -> None:
    model = trained("lift")
    with pytest.raises(ModelError, match="at least one batch"):
        probe(model, loss_of(model), [])
    window = CrossCovariance(model)
    with pytest.raises(ModelError, match="nothing was recorded"):
        window.reading()
    model.zero_grad()
    with pytest.raises(ModelError, match=r"call record\(\) after loss.backward"):
        window.record()
    with pytest.raises(ModelError, match="window must be at least 2"):
        CrossCovariance(model, window=1)
    with pytest.raises(ModelError, match="no weight with a read-out"):
        CrossCovariance(ICNN(2, (4, 4)))
    with pytest.raises(ModelError, match="both have shape"):
        cross_covariance(torch.zeros(3, 2), torch.zeros(2, 2))
