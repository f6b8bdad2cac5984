"""What a user sees of a run: a bar where there is a notebook, lines in the log, a picture."""

import logging
import sys
from types import ModuleType

import pytest
import torch

from socicnn import ICNN, _progress
from socicnn.training import FitOptions, fit
from tests.support.cases import generator


def history(**settings):
    x = torch.rand(64, 2, generator=generator(0))
    options = FitOptions(polish=20)
    return fit(ICNN(2, (4,), generator=generator(0)), (x, x.square().sum(dim=1)), epochs=5, options=options, **settings)


def test_the_log_says_what_happens(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "SECONDS", 0.0)
    with caplog.at_level(logging.INFO, logger="socicnn"):
        history(progress=False)
    lines = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("fit: epoch 3 of 5, loss") for line in lines)
    assert any(line.startswith("fit, polish: iteration") for line in lines)


def test_a_notebook_has_a_bar_and_a_pipe_has_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    history(progress=True)  # the captured stream is not a terminal
    assert capsys.readouterr().err == ""
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    history(progress=True)
    assert "5/5" in capsys.readouterr().err
    history(progress=False)
    assert capsys.readouterr().err == ""


def test_a_run_is_a_picture() -> None:
    figure = pytest.importorskip("matplotlib.figure", reason="pip install 'socicnn[plot]'")
    run = history(progress=False)
    axes = figure.Figure().add_subplot()
    assert run.plot(axes) is axes
    labels = [line.get_label() for line in axes.get_lines()]
    assert labels == ["training", "validation", "kept", "after L-BFGS"]
    assert list(axes.get_lines()[1].get_ydata()) == run.validation
    assert run.plot().figure is not None
