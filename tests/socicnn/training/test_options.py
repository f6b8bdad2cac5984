"""Options of a run: keywords that moved still work and say so; histories speak in one line."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import decision
from socicnn.errors import ModelError
from socicnn.training import FitOptions, History, fit, fit_stacked
from socicnn.training._losses import HuberLoss, Quantile, WithinContext
from tests.support.runs import QUIET, contexts, network, same


def test_keywords_that_moved_still_work_and_say_where_they_went() -> None:
    old, new = network(), network()
    with pytest.warns(DeprecationWarning, match=r"clip, patience moved into `options`; write fit\(..., options="):
        fit(old, contexts(), epochs=2, patience=1, clip=0.1, **QUIET)  # type: ignore[call-arg]
    fit(new, contexts(), epochs=2, options=FitOptions(patience=1, clip=0.1), **QUIET)
    assert same(old, new)
    with pytest.warns(DeprecationWarning, match="schedule moved"):
        decision.fit(network(), contexts(), epochs=1, schedule="constant", **QUIET)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="optimiser moved"):
        fit_stacked([network()], contexts(), epochs=1, optimiser="sgd", **QUIET)  # type: ignore[call-arg]


def test_an_unknown_keyword_is_still_a_type_error() -> None:
    with pytest.raises(TypeError, match="epoch"):
        fit(network(), contexts(), epoch=2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fit(network(), contexts(), learning_rate="1e-3"), "learning_rate must be .*received '1e-3'"),
        (lambda: fit(network(), contexts(), learning_rate=None), "learning_rate must be .*received None"),
        (lambda: fit(network(), contexts(), learning_rate=[1e-3]), "learning_rate must be a finite number"),
        (lambda: fit(network(), contexts(), options={"patience": 3}), r"options must be a FitOptions.* received dict"),
        (lambda: fit_stacked([network()], contexts(), options={"clip": 3}), "options must be a FitOptions"),
        (lambda: fit_stacked([network()], contexts(), learning_rate="1e-3"), "learning_rate must hold real numbers"),
        (lambda: fit_stacked([network()], contexts(), learning_rate=[[1e-3]]), "learning_rate must be one number, or"),
        (lambda: FitOptions(clip="1"), "clip must be a finite number > 0; received '1'"),
        (lambda: FitOptions(gradient_weight=None), "gradient_weight must be a finite number > 0; received None"),
        (lambda: FitOptions(weight_decay="0.1"), "weight_decay must hold real numbers; received text"),
        (lambda: FitOptions(weight_decay=np.array([0.1, -1.0])), "weight_decay must be a finite number >= 0"),
        (lambda: FitOptions(checkpoint_seconds="5"), "checkpoint_seconds must be a number >= 0; received '5'"),
        (lambda: FitOptions(ridge="x"), "ridge must be a sequence of penalties"),
        (lambda: HuberLoss("1"), "delta must be a finite number > 0; received '1'"),
        (lambda: Quantile("0.5"), "level must lie between 0 and 1; received '0.5'"),
        (lambda: WithinContext("1"), "level must be a finite number >= 0; received '1'"),
        (lambda: WithinContext(-1.0), "level must be a finite number >= 0"),
    ],
)
def test_settings_that_are_no_numbers_are_refused_by_name(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        make()


def test_numbers_of_any_type_are_taken() -> None:
    rates = (1e-2, np.float64(1e-2), torch.tensor(1e-2, dtype=torch.float64), np.array(1e-2))
    losses = [fit(network(), contexts(), epochs=1, learning_rate=rate, **QUIET).train for rate in rates]
    assert losses == [losses[0]] * len(rates)
    pair, data = [network(), network()], contexts()
    histories = fit_stacked(pair, data, epochs=1, learning_rate=np.array([1e-2, 2e-2]), seeds=[0, 0], **QUIET)
    assert histories[0].train == pytest.approx(losses[0])
    assert FitOptions(weight_decay=np.array([0.1, 0.2])).weight_decay == (0.1, 0.2)


def test_stacked_models_take_no_checkpoint_and_no_callback(tmp_path: Path) -> None:
    for options in (
        FitOptions(checkpoint=tmp_path / "run.pt"),
        FitOptions(on_step=lambda step, model: None),
        FitOptions(on_epoch=lambda history: None),
        FitOptions(micro_batch=4),
    ):
        with pytest.raises(ModelError, match="is not for stacked models"):
            fit_stacked([network()], contexts(), epochs=1, options=options, **QUIET)
    with pytest.raises(ModelError, match="one number for one model"):
        fit(network(), contexts(), epochs=1, options=FitOptions(weight_decay=(0.1, 0.2)), **QUIET)


def test_a_history_says_its_verdict_and_fits_on_a_line() -> None:
    model = network()
    history = fit(model, contexts(), epochs=30, **QUIET)
    assert history.ok
    assert history.value == min(history.validation)
    assert repr(history) == f"<History: {history.summary()}>"
    assert "\n" not in repr(history)
    assert history._repr_html_().count("<tr>") <= 13
    blank = History()
    assert not blank.ok
    assert math.isnan(blank.value)
    assert blank._repr_html_()
    lost = History(train=[1.0, math.nan])
    assert not lost.ok


def test_a_run_whose_loss_is_lost_leaves_the_best_weights_and_says_so_once() -> None:
    def spoil(step: int, model: torch.nn.Module) -> None:
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)

    with pytest.raises(ModelError, match="no longer finite in epoch 1"):
        fit(network(), contexts(), epochs=3, options=FitOptions(on_step=spoil, polish=5), **QUIET)
