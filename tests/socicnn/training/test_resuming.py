"""Checkpoints: a killed run goes on bit for bit, and files that cannot be gone on from are named."""

from pathlib import Path

import pytest
import torch
from torch import nn

from socicnn import SOCICNN
from socicnn._files import FileError
from socicnn.errors import ModelError
from socicnn.positivity import Lift
from socicnn.training import History, WithinContext
from tests.support.runs import QUIET, Killed, contexts, fit, network, same


@pytest.mark.parametrize("when", ["mid-epoch", "after an epoch", "twice"])
@pytest.mark.parametrize("settings", [{}, {"optimiser": "sgd", "schedule": "constant", "loss": "within_context"}])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, when: str, settings: dict) -> None:
    path = tmp_path / "run.pt"
    keywords = {"epochs": 8, "batch_size": 10, "checkpoint_seconds": 0.0, **settings, **QUIET}
    whole = network()
    expected = fit(whole, contexts(), **keywords)

    def kill_at(last: int):
        def stop(step: int, model: nn.Module) -> None:
            if step == last:
                raise Killed

        return stop

    for last in {"mid-epoch": (13,), "after an epoch": (15,), "twice": (7, 22)}[when]:
        with pytest.raises(Killed):
            fit(network(), contexts(), checkpoint=path, on_step=kill_at(last), **keywords)
    resumed = network()
    history = fit(resumed, contexts(), checkpoint=path, **keywords)
    assert same(resumed, whole)
    assert history.resumed >= 1
    assert (history.train, history.validation) == (expected.train, expected.validation)
    assert history.best_epoch == expected.best_epoch


def test_a_finished_run_is_read_back_without_training(tmp_path: Path) -> None:
    keywords = {"epochs": 4, "checkpoint": tmp_path / "run.pt", **QUIET}
    first, second = network(), network()
    fit(first, contexts(), **keywords)
    steps = []
    history = fit(second, contexts(), on_step=lambda step, model: steps.append(step), **keywords)
    assert not steps
    assert history.resumed == 4
    assert same(first, second)


def test_checkpoints_of_other_runs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    fit(network(), contexts(), epochs=2, checkpoint=path, **QUIET)
    others = [
        (network(1), contexts(), {}, r"different initial weights; delete"),
        (network(), contexts(seed=3), {}, "different training data and validation data; delete"),
        (network(), contexts(), {"learning_rate": 0.1}, r"different learning_rate \(then 0.01, now 0.1\); delete"),
        (network(), contexts(), {"epochs": 4}, r"different epochs \(then 2, now 4\); delete"),
        (network(), contexts(), {"seed": 5}, "different seed, training data and validation data; delete"),
        (network(), contexts(), {"loss": WithinContext(0.5)}, r"different loss"),
    ]
    for model, data, settings, message in others:
        with pytest.raises(ModelError, match=message):
            fit(model, data, checkpoint=path, **{"epochs": 2, **QUIET, **settings})


@pytest.mark.parametrize("content", [b"", b"noise" * 100, None])
def test_broken_checkpoints_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.pt"
    fit(network(), contexts(), epochs=2, checkpoint=path, **QUIET)
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(FileError, match=r"run.pt is not a valid socicnn checkpoint; delete it to start over"):
        fit(network(), contexts(), epochs=2, checkpoint=path, **QUIET)
    with pytest.raises(FileError, match="does not exist"):
        fit(network(), contexts(), epochs=2, checkpoint=tmp_path / "no" / "run.pt", **QUIET)


@pytest.mark.parametrize("settings", [{}, {"points": 5}])
def test_a_lift_on_points_of_earlier_steps_goes_on_bit_for_bit(tmp_path: Path, settings: dict) -> None:
    """Those points are no weights."""
    path = tmp_path / "run.pt"
    keywords = {"epochs": 6, "batch_size": 10, "checkpoint_seconds": 0.0, **QUIET}

    def lifted() -> nn.Module:
        return network(context="joint", positivity=Lift(conditioning="independent", **settings))

    whole, resumed = lifted(), lifted()
    expected = fit(whole, contexts(), **keywords)

    def stop(step: int, model: nn.Module) -> None:
        if step == 12:
            raise Killed

    with pytest.raises(Killed):
        fit(lifted(), contexts(), checkpoint=path, on_step=stop, **keywords)
    history = fit(resumed, contexts(), checkpoint=path, **keywords)
    assert history.resumed == 2
    assert same(resumed, whole)
    assert (history.train, history.validation) == (expected.train, expected.validation)


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1), nn.Flatten(-2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


@pytest.mark.parametrize("kind", ["dropout", "noisy"])
def test_what_torchs_own_generator_draws_goes_on_too(tmp_path: Path, kind: str) -> None:
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    keywords = {"epochs": 4, "batch_size": 10, "checkpoint_seconds": 0.0, **QUIET}

    def run(seed: int, **settings: object) -> tuple[nn.Module, History]:
        torch.manual_seed(1)
        model = Dropping() if kind == "dropout" else SOCICNN(3, (6,), positivity="noisy")
        torch.manual_seed(seed)
        return model, fit(model, (x, x.square().sum(dim=1)), **keywords, **settings)

    def stop(step: int, model: nn.Module) -> None:
        if step == 15:
            raise Killed

    whole, expected = run(2)
    with pytest.raises(Killed):
        run(2, checkpoint=tmp_path / "run.pt", on_step=stop)
    resumed, history = run(3, checkpoint=tmp_path / "run.pt")
    assert history.resumed == 2
    assert history.train == expected.train
    assert same(resumed, whole)
