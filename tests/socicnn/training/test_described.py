"""A user's own loss in words: the same in every process, others for another loss, so that its runs resume."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from socicnn.errors import ModelError
from socicnn.training import MSE, HuberLoss, Quantile, WithinContext
from socicnn.training._described import described
from socicnn.training._losses import Loss, Mirrored
from tests.support.runs import QUIET, Killed, contexts, fit, network, same

FILE = """
from functools import partial
import torch
from socicnn.training._losses import Loss
from socicnn.training._described import described

def pinball(f, y, level=0.9):
    kinds = {"a", "b", "c"}
    return torch.maximum(level * (y - f), (level - 1) * (y - f)).mean() if "a" in {"a", "b", "c", "d"} else kinds

def made(level):
    return lambda f, y: pinball(f, y, level)

class Own(Loss):
    name = "own"
    def __init__(self, function, weights):
        self.function, self.weights, self.kinds = function, weights, {"p", "q", "r"}
    def __call__(self, f, y):
        return self.function(f, y)

class Bare:
    __slots__ = ()
    def __call__(self, f, y):
        return (f - y).abs().mean()

ALL = [pinball, made(0.5), partial(pinball, level=0.1), Own(made(0.3), torch.ones(2)), Bare(), Bare().__call__]
if __name__ == "__main__":
    print([described(loss) for loss in ALL])
"""


def test_words_are_the_same_in_every_process(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(FILE)
    words = {
        subprocess.run(
            [sys.executable, path],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(words) == 1
    assert " at 0x" not in next(iter(words))


def pinball(f: Tensor, y: Tensor, level: float = 0.9) -> Tensor:
    return torch.maximum(level * (y - f), (level - 1) * (y - f)).mean()


def at(level: float) -> Any:
    return lambda f, y: pinball(f, y, level)


class Own(Loss):
    name = "own"

    def __init__(self, level: float) -> None:
        self.level = level

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return pinball(prediction, target, self.level)


@dataclass
class Holds(Loss):
    function: Any
    name = "holds"

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.function(prediction, target)


MAKERS: list[Any] = [
    lambda level: lambda f, y: pinball(f, y, level),
    at,
    lambda level: partial(pinball, level=level),
    Own,
    lambda level: Holds(at(level)),
    lambda level: Mirrored(Own(level)),
    lambda level: Own(level).__call__,
    lambda level: nn.HuberLoss(delta=level),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_loss_of_ones_own_resumes_and_another_is_refused(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    keywords = {"epochs": 4, "checkpoint_seconds": 0.0, **QUIET}
    whole, resumed = network(), network()
    fit(whole, contexts(), loss=make(0.9), **keywords)

    def stop(history: Any) -> None:
        if history.epochs == 2:
            raise Killed

    with pytest.raises(Killed):
        fit(network(), contexts(), loss=make(0.9), checkpoint=path, on_epoch=stop, **keywords)
    assert fit(resumed, contexts(), loss=make(0.9), checkpoint=path, **keywords).resumed == 2
    assert same(whole, resumed)
    with pytest.raises(ModelError, match="belongs to another run: different loss_settings"):
        fit(network(), contexts(), loss=make(0.8), checkpoint=path, **keywords)


def test_the_body_of_a_function_counts() -> None:
    losses: list[Any] = [lambda f, y: (f - y).abs().mean(), lambda f, y: (f - y).abs().sum()]
    losses += [lambda f, y: 2 * (f - y).abs().mean(), lambda f, y: 3 * (f - y).abs().mean()]
    assert len({described(loss) for loss in losses}) == 4
    assert described(at(0.5)) == described(at(0.5)) != described(at(0.4))


def test_losses_that_there_are_keep_the_words_of_older_checkpoints() -> None:
    for loss in (MSE(), HuberLoss(2.0), Quantile(0.9), WithinContext(), Mirrored(Quantile(0.1))):
        assert described(loss) == repr(loss)


def test_anything_can_be_described() -> None:
    circle: list[Any] = []
    circle.append(circle)
    own = Own(0.5)
    own.level = own  # type: ignore[assignment]
    values = [circle, own, nn.Linear(2, 3), torch.eye(2).to_sparse(), torch.ones(2, device="meta"), torch.ones(1) * 1j]
    values += [torch.Generator(), object(), torch.ones(2, dtype=torch.bfloat16), torch, Own, len, torch.maximum]
    for value in values:
        text = described(value)
        assert text == described(value)
        assert " at 0x" not in text
