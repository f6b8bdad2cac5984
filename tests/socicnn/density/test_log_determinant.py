"""Estimated log-determinants and their gradients against exact ones; brackets, residuals, errors, stacks, files."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import socicnn
from socicnn.density import (
    ComposedFlow,
    LogDetEstimate,
    PotentialFlow,
    StochasticLogDet,
    fit,
    fit_stacked,
    negative_log_likelihood,
)
from socicnn.density._log_determinant import lanczos, quadrature
from socicnn.errors import ModelError

N = 40


def flow(n: int = N, seed: int = 0, **settings) -> PotentialFlow:
    draw = torch.Generator().manual_seed(seed)
    made = PotentialFlow.dense(n, (16, 16), generator=draw, dtype=torch.float64, **settings)
    with torch.no_grad():
        made.w0.fill_(-2.0)
        made.w1.fill_(2.0)
    return made


def points(count: int = 30, n: int = N) -> Tensor:
    return 2 * torch.randn((count, n), generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def matrices(n: int, condition: float, count: int = 6) -> Tensor:
    """Return symmetric matrices with eigenvalues from 0.05 to 0.05 times the condition."""
    draw = torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn((count, n, n), generator=draw, dtype=torch.float64))[0]
    values = 0.05 * torch.logspace(0, math.log10(condition), n, dtype=torch.float64)
    return turn @ torch.diag(values) @ turn.mT


def flat(value: Tensor, flow: torch.nn.Module) -> Tensor:
    parameters = list(flow.parameters())
    slopes = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([slope.reshape(-1) for slope in slopes])


def test_it_is_chosen_by_dimension() -> None:
    assert PotentialFlow.dense(32, (4,)).estimator is None
    assert PotentialFlow.dense(33, (4,)).estimator == StochasticLogDet(probes=1, steps=20)
    assert PotentialFlow.dense(33, (4,), log_det="exact").estimator is None
    own = StochasticLogDet(probes=2, steps=5)
    assert ComposedFlow.dense(3, (4,), blocks=2, log_det=own).blocks[1].estimator == own


@pytest.mark.parametrize("made", [flow(), ComposedFlow([flow(seed=seed) for seed in (1, 2)])], ids=["one", "two"])
def test_mean_over_probes_is_the_log_determinant(made: PotentialFlow | ComposedFlow) -> None:
    torch.manual_seed(0)
    x = points(20)
    with torch.no_grad():
        found = made.transport_and_estimate(x, probes=24)[1]
        assert made.transport_and_estimate(x)[1].standard_error.mean() > 1.5 * found.standard_error.mean()
    for block in made.blocks if isinstance(made, ComposedFlow) else [made]:
        block.log_det = "exact"
    with torch.no_grad():
        exact = made.transport_and_estimate(x)[1]
    assert not exact.standard_error.any()
    assert not exact.truncation.any()
    assert not exact.residual.any()
    off = (found.value - exact.value) / found.standard_error
    assert abs(float(off.mean())) < 4 / math.sqrt(len(x))
    assert 0.6 < float(off.std()) < 1.6
    assert float(found.standard_error.max()) < 1
    assert float(found.truncation.max()) < 1e-9
    assert float(found.residual.max()) < 1e-7


def test_gradient_is_unbiased() -> None:
    torch.manual_seed(0)
    made, x = flow(8, log_det="exact"), points(8, 8).requires_grad_()
    value = made.transport_and_log_det(x)[1].mean()
    exact = torch.cat([flat(value, made), torch.autograd.grad(made.transport_and_log_det(x)[1].sum(), x)[0].flatten()])
    made.log_det = StochasticLogDet(steps=8)
    drawn = []
    for _ in range(100):
        value = made.transport_and_estimate(x, training=True)[1].value
        slope = torch.autograd.grad(value.sum(), x, retain_graph=True)[0].flatten()
        drawn.append(torch.cat([flat(value.mean(), made), slope]))
    off = torch.stack(drawn) - exact
    error = off.std(dim=0) / math.sqrt(len(drawn))
    assert bool((off.mean(dim=0)[error < 1e-12].abs() < 1e-12).all())  # what the determinant does not depend on
    scores = (off.mean(dim=0) / error)[error >= 1e-12]
    assert len(scores) > 300
    assert float(scores.abs().max()) < 5
    assert 0.5 < float(scores.square().mean()) < 1.6  # of 1, were they independent


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e6])
@pytest.mark.parametrize("steps", [1, 4, 12, 60])
def test_quadratures_enclose_and_residuals_are_true(condition: float, steps: int) -> None:
    h = matrices(20, condition)
    v = 2.0 * torch.randint(2, (6, 20), generator=torch.Generator().manual_seed(1)).double() - 1
    middle, half, solution, residual = quadrature(
        lambda v: (h @ v[..., None])[..., 0], v, torch.tensor(0.049, dtype=torch.float64), steps
    )
    values, turn = torch.linalg.eigh(h)
    exact = ((turn.mT @ v[..., None])[..., 0].square() * values.log()).sum(dim=-1)
    assert bool(((middle - exact).abs() <= half + 1e-9).all())
    true = torch.linalg.vector_norm((h @ solution[..., None])[..., 0] - v, dim=-1) / math.sqrt(20)
    assert torch.allclose(true, residual, rtol=1e-6, atol=1e-7)
    if steps == 60:  # more than there are dimensions: exact for each v
        assert float(half.max()) < 1e-8
        assert float(residual.max()) < 1e-7
    elif condition == 1e6:
        assert float(half.min()) > 1e-3


def test_exhausted_spaces_end_in_the_identity() -> None:
    h = torch.diag(torch.tensor([2.0, 2.0, 5.0, 5.0, 5.0], dtype=torch.float64))
    basis, tridiagonal, last = lanczos(lambda v: v @ h, torch.ones((1, 5), dtype=torch.float64), 4)
    assert torch.allclose(torch.linalg.eigvalsh(tridiagonal[0]), torch.tensor([1.0, 1.0, 2.0, 5.0]).double())
    assert not basis[0, 2:].any()
    assert not last.any()
    assert torch.allclose(basis[0, :2] @ basis[0, :2].T, torch.eye(2).double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_single_precision_is_near(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    made = flow().to(dtype)
    with torch.no_grad():
        found = made.transport_and_estimate(points().to(dtype))[1]
    assert found.value.dtype == dtype
    assert bool(torch.isfinite(found.value).all())
    assert float(found.residual.max()) < (1e-4 if dtype == torch.float32 else 1e-8)


def test_likelihood_has_the_error_of_the_probes() -> None:
    torch.manual_seed(0)
    made, x = flow(), points(200)
    found = negative_log_likelihood(made, None, x)
    made.log_det = "exact"
    exact = negative_log_likelihood(made, None, x)
    assert exact.error == 0 < found.error < 0.1
    assert abs(found - exact) < 4 * found.error
    made.log_det = StochasticLogDet(steps=1)
    assert negative_log_likelihood(made, None, x).error > found.error  # Lanczos was stopped early, and it is said


def test_training_reaches_what_the_exact_one_reaches() -> None:
    torch.manual_seed(0)
    x = points(400, 6) @ torch.linspace(0.2, 1.5, 36, dtype=torch.float64).reshape(6, 6) + 0.3 * points(400, 6)
    nats = []
    for log_det in ("exact", StochasticLogDet(probes=2, steps=6)):
        made = ComposedFlow([flow(6, seed, log_det=log_det) for seed in (0, 1)]).normalise(x)
        before = negative_log_likelihood(made, None, x)
        history = fit(made, x, steps=40, batch_size=64, learning_rate=2e-2, note_every=10)
        assert all(map(math.isfinite, history.train))
        for block in made.blocks:
            block.log_det = "exact"
        nats.append(float(negative_log_likelihood(made, None, x)))
        assert nats[-1] < before - 0.5
    assert nats[0] == pytest.approx(nats[1], abs=0.5)


def test_flows_are_stacked() -> None:
    made = [PotentialFlow.dense(35, (5,), generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    start = [model.w0.item() for model in made]
    histories = fit_stacked(made, points(50, 35).float(), steps=3, batch_size=8, note_every=1)
    assert all(math.isfinite(value) for history in histories for value in history.train)
    assert all(model.w0.item() != before for model, before in zip(made, start, strict=True))
    with pytest.raises(ModelError, match="must share"):
        fit_stacked([made[0], PotentialFlow.dense(35, (5,), log_det="exact")], points(50, 35).float(), steps=1)


def test_files_keep_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "flow.safetensors"
    for setting in (None, "exact", StochasticLogDet(2, 7, 9)):
        made = PotentialFlow.dense(3, (4,), log_det=setting)
        assert ("log_det" in made.config()) is (setting is not None)
        socicnn.save(ComposedFlow([made]), path)
        assert socicnn.load(path, ComposedFlow).blocks[0].log_det == made.finalise().log_det == setting
    with pytest.raises(ModelError, match=r"does not describe|log_det must be"):
        PotentialFlow.from_config({**made.config(), "log_det": {"colour": 1}})


def test_invalid_settings_are_refused() -> None:
    for name in ("probes", "steps", "evaluation_probes"):
        with pytest.raises(ModelError, match=f"{name} must be an integer"):
            StochasticLogDet(**{name: 0})
    with pytest.raises(ModelError, match="log_det must be"):
        PotentialFlow.dense(3, (4,), log_det="quick")
    with pytest.raises(ModelError, match="probes must be an integer"):
        flow().transport_and_estimate(points(2), probes=0)
    alone = flow().transport_and_estimate(points(2), probes=1)[1]
    assert isinstance(alone, LogDetEstimate)
    assert bool(alone.standard_error.isnan().all())
