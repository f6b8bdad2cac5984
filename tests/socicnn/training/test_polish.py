"""The finish by L-BFGS: to the last digit, never worse than before, and resumable."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize
from sklearn.linear_model import QuantileRegressor
from torch import nn

from socicnn import ICNN, SOCICNN, ConvexRegressor, training
from socicnn.training import FitOptions, Quantile
from tests.support.cases import generator
from tests.support.runs import QUIET, Killed, contexts, fit, network, same


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("held", [0, 0.25])
def test_polish_goes_on_to_the_last_digit(dtype: torch.dtype, held: float) -> None:
    """A SOC-ICNN without hidden layer holds the target exactly; Adam stops short of it."""
    x = torch.randn(200, 3, generator=generator(0), dtype=torch.float64)
    y = x.square().sum(dim=1) + x[:, 0]
    models = [SOCICNN(3, (), (3,), (), generator=generator(1), dtype=dtype) for _ in range(2)]
    keywords = {"epochs": 20, "validation": held, **QUIET}
    plain, polished = (fit(m, (x, y), polish=p, **keywords) for m, p in zip(models, (0, 150), strict=True))
    assert plain.train == polished.train
    errors = [((m(x.to(dtype)) - y) / y.std()).detach().square().mean().item() for m in models]
    assert errors[1] < (1e-10 if dtype == torch.float32 else 1e-16) < 1e-3 < errors[0]
    assert "after polishing" in str(polished)
    models[1].finalise().freeze()


def test_polish_keeps_projected_weights_non_negative_and_never_harms() -> None:
    model, data, held = network(), contexts(), contexts(seed=1)
    history = fit(model, data, loss="within_context", epochs=10, polish=40, validation=held, **QUIET)
    assert min(history.polish) < min(history.validation)
    model.freeze(torch.zeros(2))
    bound = [weight() for _, weight in model.constrained()]
    assert all((weight >= 0).all() for weight in bound)


@pytest.mark.parametrize("held", [0, 0.25])
def test_a_lift_is_polished_as_it_ends(held: float) -> None:
    """Its weights depend on the data: in the finish on all of them, as `finalise` emits them."""
    draw = generator(0)
    x, theta = (torch.randn(120, size, generator=draw, dtype=torch.float64) for size in (3, 2))
    y = torch.relu(x[:, 0] - theta[:, 0]) + x.square().sum(dim=1)
    options: dict[str, Any] = {"context_features": 2, "context": "joint", "positivity": "lift"}
    models = [SOCICNN(3, (8,), (3,), (2,), generator=generator(1), **options) for _ in range(2)]
    keywords = {"epochs": 10, "validation": held, **QUIET}
    plain, polished = (fit(m, (x, theta, y), polish=p, **keywords) for m, p in zip(models, (0, 60), strict=True))
    assert plain.train == polished.train
    ends = [m.finalise((x.float(), theta.float())) for m in models]
    errors = [(m(x.float(), theta.float()) - y).detach().square().mean().item() for m in ends]
    assert errors[1] < 0.5 * errors[0]
    assert len(polished.polish) > 0
    ends[1].freeze(torch.zeros(2))


def test_a_polished_run_resumes_and_is_read_back(tmp_path: Path) -> None:
    keywords = {"epochs": 4, "polish": 12, "checkpoint_seconds": 0.0, **QUIET}
    whole, resumed, again = network(), network(), network()
    fit(whole, contexts(), **keywords)

    def stop(step: int, model: nn.Module) -> None:
        if step == 7:
            raise Killed

    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        fit(network(), contexts(), checkpoint=path, on_step=stop, **keywords)
    fit(resumed, contexts(), checkpoint=path, **keywords)
    assert same(whole, resumed)
    history = fit(again, contexts(), checkpoint=path, **keywords)
    assert same(whole, again)
    assert history.resumed == 4


@pytest.mark.parametrize("way", ["fit", "fit_stacked"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("held", [0, 0.1])
def test_where_it_ends_before_the_tenth_iteration_its_result_is_kept(held: float, noise: float, way: str) -> None:
    draw = generator(1)
    x = torch.randn(300, 2, generator=draw, dtype=torch.float64)
    y = x @ torch.tensor([1.0, 2], dtype=torch.float64) + 3 + noise * torch.randn(300, generator=draw)
    model = ICNN(2, (), generator=generator(0))
    keywords = {"epochs": 3, "polish": 200, "validation": held, **QUIET}
    if way == "fit":
        history = fit(model, (x, y), **keywords)
    else:
        (history,) = training.fit_stacked(
            [model], (x, y), epochs=3, validation=held, progress=False, options=FitOptions(polish=200)
        )
    errors = (model(x.float()) - y).detach().square().mean().item()
    assert errors < 1.1 * noise**2 + 1e-12
    assert history.polish
    assert history.iterations > 0


@pytest.mark.parametrize("stop", [7, 13, 18])
def test_the_iterations_after_the_last_look_are_looked_at(stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """SciPy is made to end after some iterations, as a line search that finds no lower value does."""
    whole = optimize.minimize

    def ends(*arguments: Any, **keywords: Any) -> Any:
        return whole(*arguments, **{**keywords, "options": {**keywords["options"], "maxiter": stop}})

    monkeypatch.setattr("socicnn.training._polish.optimize.minimize", ends)
    models = [network(dtype=torch.float64) for _ in range(2)]
    histories = [
        fit(m, contexts(), epochs=2, validation=contexts(seed=1), polish=200, ridge=ridge, **QUIET)
        for m, ridge in zip(models, ((), (1e-12,)), strict=True)
    ]
    assert [len(history.polish) for history in histories] == [stop // 10 + 1] * 2
    assert histories[0].iterations == histories[1].iterations == stop


def test_a_finish_that_changes_nothing_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(60, 2, generator=generator(0), dtype=torch.float64)
    data = x, torch.zeros(60, dtype=torch.float64)
    keywords = {"epochs": 2, "polish": 5, "checkpoint": tmp_path / "run.pt", **QUIET}

    def still() -> ICNN:
        model = ICNN(2, (), dtype=torch.float64)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        return model

    assert fit(still(), data, **keywords).polish
    monkeypatch.setattr("socicnn.training._run.polish", None)
    assert fit(still(), data, **keywords).resumed == 2


def test_strong_penalties_on_a_good_start_do_not_end_the_path() -> None:
    """With the pinball loss the first penalties lose to the weights of Adam, and the weak ones are far better."""
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, (150, 2))
    y = (x**2).sum(axis=1) + 0.05 * draw.normal(size=150)
    columns = np.column_stack([x, x**2, x[:, :1] * x[:, 1:]])
    best = QuantileRegressor(quantile=0.9, alpha=0, solver="highs").fit(columns, y).predict(columns)
    model = ConvexRegressor("quad", hidden=(), random_state=0, loss=Quantile(0.9)).fit(x, y)
    losses = [np.maximum(0.9 * r, -0.1 * r).mean() for r in (y - best, y - model.predict(x))]
    assert losses[1] < 2 * losses[0]
    assert abs((y <= model.predict(x)).mean() - 0.9) < 0.03
