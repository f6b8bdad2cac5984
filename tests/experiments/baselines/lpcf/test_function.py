import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import verify
from decision._deciding import decide
from decision._minimise.smoothing import Smoothing
from decision.sets import Box, Budget, FeasibleSet, Simplex
from decision.tasks import Data
from experiments.baselines.lpcf import process as lpcf_process
from experiments.baselines.lpcf.fitting import Fit, fit_each
from experiments.baselines.lpcf.function import LPCF, LPCFSettings
from experiments.baselines.lpcf.process import call, interpreter
from socicnn.errors import MissingExtra, ModelError, SolverError

N, P = 3, 2
SETTINGS = {
    "layers and low rank": LPCFSettings(widths=(4, 3), widths_psi=(5,), quadratic=2),
    "affine weights and a triangle": LPCFSettings(widths=(4,), quadratic=0, loss="lpcf"),
    "no quadratic": LPCFSettings(widths=(4,), widths_psi=(3, 2), quadratic=None),
    "softplus": LPCFSettings(widths=(3, 2), widths_psi=(4,), activation="logistic"),
}
SETS = [Simplex(N), Box(N, -1.0, 2.0), Budget(N, 1.2), Budget(N, 1.2, equality=False)]


def widths(settings: LPCFSettings) -> list[tuple[int, ...]]:
    """Return the shapes of psi's matrices and offsets: between layers, from theta, offsets."""
    h, n = (*settings.widths, 1), N
    emitted = sum(a * b for a, b in pairwise(h)) + sum(h) * (n + 1)
    emitted += {None: 0, 0: n * (n + 1) // 2}.get(settings.quadratic, (settings.quadratic or 0) * n + n)
    psi = (P, *settings.widths_psi, emitted)
    return (
        [(psi[j + 1], psi[j]) for j in range(1, len(psi) - 1)]
        + [(size, P) for size in psi[1:]]
        + [(size, 1) for size in psi[1:]]
    )


def model_of(name: str, seed: int = 0) -> LPCF:
    """Return a PCF of random weights, in units of their own."""
    rng = np.random.default_rng(seed)
    units = {
        "x_mean": rng.normal(size=N),
        "x_scale": rng.uniform(0.5, 2, size=N),
        "theta_mean": rng.normal(size=P),
        "theta_scale": rng.uniform(0.5, 2, size=P),
        "y_mean": 0.7,
        "y_scale": 3.0,
    }
    return LPCF(SETTINGS[name], [rng.normal(size=shape) for shape in widths(SETTINGS[name])], units)


def points(count: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(count, size, generator=draw, dtype=torch.float64) for size in (N, P))


def formula(model: LPCF, x: np.ndarray, theta: np.ndarray) -> float:
    """Return f at one point, read off the paper's formula."""
    settings, weights = model.settings, [weight.detach().numpy() for weight in model.weights]
    relu = lambda a: np.maximum(a, 0)  # noqa: E731
    s = relu if settings.activation == "relu" else lambda a: np.log1p(np.exp(a))
    unit = {name: model.get_buffer(name).numpy() for name in ("x_mean", "x_scale", "theta_mean", "theta_scale")}
    x, theta = (x - unit["x_mean"]) / unit["x_scale"], (theta - unit["theta_mean"]) / unit["theta_scale"]
    M = len(settings.widths_psi) + 1
    out = weights[M - 1] @ theta + weights[2 * M - 1][:, 0]
    for j in range(1, M):
        out = weights[j - 1] @ s(out) + weights[M - 1 + j] @ theta + weights[2 * M - 1 + j][:, 0]
    h, at = (*settings.widths, 1), 0

    def take(*shape: int) -> np.ndarray:
        nonlocal at
        at += int(np.prod(shape))
        return out[at - int(np.prod(shape)) : at].reshape(shape)

    W = [relu(take(b, a)) for a, b in pairwise(h)]
    V, omega = [take(size, N) for size in h], [take(size) for size in h]
    z = V[0] @ x + omega[0]
    for j in range(1, len(h)):
        z = W[j - 1] @ s(z) + V[j] @ x + omega[j]
    value = z[0]
    if settings.quadratic == 0:
        triangle = np.zeros((N, N))
        triangle[np.triu_indices(N)] = take(N * (N + 1) // 2)
        value += sum((triangle @ x) ** 2)
    elif settings.quadratic is not None:
        value += sum((take(settings.quadratic, N) @ x) ** 2) + sum((take(N) * x) ** 2)
    assert at == len(out)
    return float(model.y_mean + model.y_scale * value)


@pytest.mark.parametrize("name", SETTINGS)
def test_value_is_the_formula(name: str) -> None:
    model, (x, theta) = model_of(name), points(4)
    expected = [formula(model, a, b) for a, b in zip(x.numpy(), theta.numpy(), strict=True)]
    np.testing.assert_allclose(model(x, theta).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
def test_candidates_of_each_context_are_evaluated_as_points_are(name: str) -> None:
    model, (x, theta) = model_of(name), points(12)
    theta = theta[:4]
    together = model(x.reshape(4, 3, N), theta.unsqueeze(1))
    apart = model(x, theta.repeat_interleave(3, dim=0)).reshape(4, 3)
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SETTINGS)
def test_frozen_network_has_the_same_values_and_is_verified(name: str) -> None:
    model, (x, theta) = model_of(name), points(3)
    for i in range(3):
        net = model.freeze(theta[i])
        at_one = model(x, theta[i].expand(3, P)).detach().numpy()
        np.testing.assert_allclose(net(x.numpy()), at_one, rtol=1e-11)
        report = verify.equivalence(net, x.numpy())
        assert report.ok, str(report)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("feasible_set", SETS, ids=lambda X: f"{X.name}-{getattr(X, 'equality', '')}")
def test_decisions_are_feasible_and_their_bounds_hold(name: str, feasible_set: FeasibleSet) -> None:
    model, (_, theta) = model_of(name), points(3)
    answer = decide(model, feasible_set, theta)
    assert answer.x.shape == (3, N)
    assert feasible_set.violation(answer.x).max() <= 1e-9
    assert answer.certified.all(), answer.status
    torch.testing.assert_close(answer.value, model(answer.x, theta).detach(), rtol=1e-9, atol=1e-9)
    others = feasible_set.sample(300, torch.Generator().manual_seed(2))
    values = model(others.expand(3, -1, -1), theta.unsqueeze(1)).detach()
    assert (values.min(dim=1).values >= answer.value - answer.gap - 1e-9).all()


def test_smoothing_while_bounds_are_computed_leaves_the_weights_alone() -> None:
    """The bound of a module smooths relu in x: psi and the non-negative weights must not be touched by it."""
    model = model_of("layers and low rank")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    _, theta = points(5)
    plain = model.emit(theta)
    with Smoothing(torch.tensor([0.5])):
        smooth = model.emit(theta)
    for one, other in zip((*plain.W, *plain.V, *plain.omega), (*smooth.W, *smooth.V, *smooth.omega), strict=True):
        assert torch.equal(one, other)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ModelError, match="unknown loss 'mse'; there are: lpcf, within_context"):
        LPCFSettings(loss="mse")
    with pytest.raises(ModelError, match="unknown activation 'swish'; there are: logistic, relu"):
        LPCFSettings(activation="swish")
    with pytest.raises(ModelError, match="at least one hidden layer"):
        LPCFSettings(widths=())
    with pytest.raises(ModelError, match=r"one context of shape \(2,\).*\(4, 2\)"):
        model_of("no quadratic").freeze(torch.zeros(4, P))
    good = model_of("softplus")
    with pytest.raises(ModelError, match="do not belong to a psi"):
        LPCF(SETTINGS["no quadratic"], list(good.weights), dict(good.named_buffers()))


class TestEnvironment:
    def test_a_missing_one_is_named_with_the_mend(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv(lpcf_process.VARIABLE, str(tmp_path / "python"))
        with pytest.raises(MissingExtra, match=r"no .*python\. Run `make \.venv-pcf/\.ready`.*SOCICNN_LPCF_PYTHON"):
            interpreter()
        monkeypatch.delenv(lpcf_process.VARIABLE)
        monkeypatch.setattr(lpcf_process, "_ROOT", tmp_path)
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
        with pytest.raises(MissingExtra, match=r"\.venv-pcf/bin/python and no .*venv-pcf/bin/python"):
            interpreter()

    def test_the_argument_stands_before_the_variable(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv(lpcf_process.VARIABLE, str(tmp_path / "python"))
        assert interpreter(sys.executable) == Path(sys.executable)
        monkeypatch.setenv(lpcf_process.VARIABLE, sys.executable)
        assert interpreter() == Path(sys.executable)

    def test_one_without_lpcf_is_named(self) -> None:
        given = {"0_x": np.zeros((2, 1)), "0_theta": np.zeros((2, 1)), "0_y": np.zeros(2)}
        fits = [{"shape": {}, "within_context": False, "argmin_penalty": None}]
        with pytest.raises(MissingExtra, match=r"lacks a package \(.*No module named '(jax|lpcf)"):
            call("fit", given, {"fits": fits}, python=sys.executable)

    def test_what_fails_there_is_said_here(self) -> None:
        with pytest.raises(SolverError, match="lpcf's `fit` failed: KeyError: 'fits'"):
            call("fit", {}, {}, python=sys.executable)
        with pytest.raises(SolverError, match=r"did not end within 0\.001 s"):
            call("fit", {}, {}, python=sys.executable, timeout=0.001)


def test_several_contexts_share_no_matrices() -> None:
    x, theta = points(4)
    with pytest.raises(ModelError, match="the same in one context only; received 4 contexts"):
        Fit(Data(x[:, None], theta, x[:, :1]), LPCFSettings(), share_matrices=True)


def python() -> Path:
    try:
        return interpreter()
    except MissingExtra as error:
        pytest.skip(str(error))


@pytest.mark.extra
@pytest.mark.parametrize("name", SETTINGS)
def test_values_and_decisions_are_those_of_lpcf_and_of_its_export(name: str) -> None:
    python()
    model, (x, theta) = model_of(name), points(4)
    found = model.export("evaluate", x=x, theta=theta)
    values = ((model(x, theta) - model.y_mean) / model.y_scale).detach().numpy()
    np.testing.assert_allclose(found["predicted"], values, rtol=1e-10)
    np.testing.assert_allclose(found["exported"], values, rtol=1e-10)


@pytest.mark.extra
def test_decisions_are_those_of_its_export() -> None:
    python()
    model, (_, theta) = model_of("layers and low rank"), points(3)
    for feasible_set in (Simplex(N), Budget(N, 1.2, equality=False)):
        answer = decide(model, feasible_set, theta)
        x, seconds = model.decide_exported(feasible_set, theta)
        assert feasible_set.contains(x).all()
        assert seconds > 0
        torch.testing.assert_close(model(x, theta).detach(), answer.value, rtol=1e-5, atol=1e-5)


@pytest.mark.extra
def test_it_learns_and_each_loss_is_the_one_asked_for() -> None:
    """f = |x|^2 + theta'x and a level of each context: ours ignores a change of the level that lpcf's own does not."""
    python()
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(40, 5, N, generator=draw, dtype=torch.float64)
    theta = torch.randn(40, P, generator=draw, dtype=torch.float64)
    y = (x**2).sum(dim=-1) + (x[..., :P] * theta.unsqueeze(1)).sum(dim=-1)
    level = 0.5 * torch.randn(40, 1, generator=draw, dtype=torch.float64)
    data = Data(x, theta, y + level)
    common = {"widths": (3,), "adam_epochs": 50, "lbfgs_epochs": 150}
    settings = [
        LPCFSettings(loss="within_context", **common),
        LPCFSettings(loss="lpcf", **common),
        LPCFSettings(loss="within_context", argmin_penalty=1e4, **common),
    ]
    models = fit_each([Fit(data, one, seed=1) for one in settings])

    def error(model: LPCF) -> float:
        e = model(x, theta.unsqueeze(1)).detach() - y
        return float((e - e.mean(dim=1, keepdim=True)).square().mean().sqrt())

    within, own, held = map(error, models)
    assert within < 0.06
    assert own > 3 * within
    assert (
        held > 5 * within
    )  # the minimiser of a candidate is not where the gradient vanishes: a strong wish for it hurts
    assert all(model.seconds > 0 for model in models)


@pytest.mark.extra
@pytest.mark.parametrize("quadratic", [0, 1])
def test_matrices_that_points_share_change_no_fit(quadratic: int) -> None:
    """With one context lpcf's matrices are emitted once, not for every point: the same fit but for rounding."""
    python()
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 3))
    given = {"x": x, "theta": np.zeros((60, 1)), "y": np.abs(x).sum(axis=1)}
    shape = LPCFSettings(widths=(4, 4), quadratic=quadratic, loss="lpcf").shape()
    options = {"adam_epochs": 20, "lbfgs_epochs": 5}
    asked = [
        {
            "shape": shape,
            "seed": 0,
            "within_context": False,
            "argmin_penalty": None,
            "options": options,
            "share_matrices": k,
        }
        for k in (True, False)
    ]
    arrays = {f"{f}_{name}": values for f in range(2) for name, values in given.items()}
    found = call("fit", arrays, {"fits": asked})
    for w in range(2):
        np.testing.assert_allclose(found[f"0_{w}"], found[f"1_{w}"], rtol=1e-6, atol=1e-8)
